//! Writes `lib/native/contract.js`, in the form that prettier gives it.

use std::fmt::Write as _;

/// One name that JavaScript knows.
pub(super) struct Item {
    name: String,
    docs: Vec<&'static str>,
    value: Value,
}

/// What the name stands for.
pub(super) enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Group(Vec<Item>),
}

impl Item {
    pub(super) fn new(name: &str, docs: &[&'static str], value: impl Into<Value>) -> Self {
        Self { name: name.to_owned(), docs: docs.to_vec(), value: value.into() }
    }

    /// A variant of an enum, which is spelled as a constant.
    pub(super) fn variant(name: &str, docs: &[&'static str], value: u32) -> Self {
        let mut constant = String::new();
        for (at, letter) in name.char_indices() {
            if at > 0 && letter.is_ascii_uppercase() {
                constant.push('_');
            }
            constant.push(letter.to_ascii_uppercase());
        }
        Self::new(&constant, docs, value)
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl From<$type> for Value {
            fn from(number: $type) -> Self {
                Self::Number(number as u64)
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, usize);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(list: [T; N]) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl From<Vec<Item>> for Value {
    fn from(items: Vec<Item>) -> Self {
        Self::Group(items)
    }
}

const WIDTH: usize = 120;

/// The whole file.
pub(super) fn module(source: &str, items: &[Item]) -> String {
    let mut text = format!("'use strict'\n\n// Generated from {source} by `npm run contract`.\n");
    for item in items {
        text.push('\n');
        push_docs(&mut text, "", &item.docs);
        match &item.value {
            Value::Group(members) => {
                let _ = writeln!(text, "const {} = {{", item.name);
                for member in members {
                    push_docs(&mut text, "  ", &member.docs);
                    let _ = writeln!(text, "  {}: {},", member.name, literal(&member.value));
                }
                text.push_str("}\n");
            }
            Value::List(list) => text.push_str(&list_of(&item.name, list)),
            value => {
                let _ = writeln!(text, "const {} = {}", item.name, literal(value));
            }
        }
    }
    text.push_str("\nmodule.exports = {\n");
    items.iter().for_each(|item| text.push_str(&format!("  {},\n", item.name)));
    text.push_str("}\n");
    text
}

/// A list in one line if that fits, else an element per line; lists in a list always.
fn list_of(name: &str, list: &[Value]) -> String {
    let elements: Vec<_> = list.iter().map(literal).collect();
    let line = format!("const {name} = [{}]\n", elements.join(", "));
    let is_nested = list.iter().any(|element| matches!(element, Value::List(_)));
    if line.len() <= WIDTH + 1 && !is_nested {
        return line;
    }
    let lines: String = elements.iter().map(|element| format!("  {element},\n")).collect();
    format!("const {name} = [\n{lines}]\n")
}

fn literal(value: &Value) -> String {
    match value {
        Value::Number(number) if *number > 0xffff => format!("{number:#x}"),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => {
            assert!(!text.contains(['\'', '\\', '\n']), "write {text:?} with escapes");
            format!("'{text}'")
        }
        Value::List(list) => format!("[{}]", list.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Group(_) => unreachable!("a group in a list"),
    }
}

/// The comment of a Rust item as one of JavaScript: without links.
fn push_docs(text: &mut String, indent: &str, docs: &[&str]) {
    let lines: Vec<_> = docs.iter().map(|line| line.trim().replace("[`", "`").replace("`]", "`")).collect();
    let single = format!("{indent}/** {} */\n", lines.join(" "));
    if single.len() <= WIDTH + 1 {
        text.push_str(&single);
        return;
    }
    let _ = writeln!(text, "{indent}/**");
    for line in lines {
        let _ = writeln!(text, "{indent} * {line}");
    }
    let _ = writeln!(text, "{indent} */");
}

#[test]
fn the_contract_of_javascript_is_current() {
    let text = module("src/runtime/owner/contract.rs", &super::items());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/lib/native/contract.js");
    if std::env::var_os("WRITE_CONTRACT").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let current = std::fs::read_to_string(file).unwrap_or_default().replace("\r\n", "\n");
    assert!(current == text, "lib/native/contract.js differs from the contract: run `npm run contract`");
}
