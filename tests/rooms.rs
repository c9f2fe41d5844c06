//! The rooms of `src/`, and which may use which (docs/ARCHITECTURE.md, "Rooms, and what each may know").

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room of `src/`, and those that it may use besides itself.
const ROOMS: [(&str, &[&str]); 7] = [
    ("protocol", &[]),
    ("websocket", &["protocol"]),
    ("session", &["protocol"]),
    ("runtime", &["protocol", "websocket", "session"]),
    ("http", &["protocol", "websocket", "session", "runtime"]),
    ("cluster", &["session", "runtime"]),
    ("node", &["protocol", "websocket", "session", "runtime", "http", "cluster"]),
];

/// The same within `src/runtime/`.
const ROOMS_OF_RUNTIME: [(&str, &[&str]); 5] = [
    ("clock", &[]),
    ("owner", &["clock"]),
    ("session", &["clock", "owner"]),
    ("channel", &["clock", "owner", "session"]),
    ("io", &["clock", "owner", "session", "channel"]),
];

/// Files that use each other, each pair with its reason.
const PAIRS: [(&str, &str, &str); 1] = [(
    "session/machine.rs",
    "session/upgrade.rs",
    "one state machine in two files: its upgrade is a part of its state",
)];

/// Rooms whose `mod.rs` defines types of its own. Files of the others name the file that they use, so that circles show.
const ROOMS_WITH_TYPES: [&str; 2] = ["session", "websocket"];

type Edges = BTreeMap<String, BTreeSet<String>>;

/// For each file of `src/`, the files that it uses. What tests use is left out.
fn edges() -> Edges {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let edges: Edges = files
        .iter()
        .map(|path| {
            let file = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
            let text = fs::read_to_string(path).unwrap();
            let uses = paths(&text).iter().map(|path| resolve(&src, &file, path)).collect::<BTreeSet<_>>();
            let uses = uses.into_iter().filter(|used| *used != file).collect();
            (file, uses)
        })
        .filter(|(file, _)| !file.ends_with("mod.rs") && file != "lib.rs")
        .collect();
    assert!(edges.values().map(BTreeSet::len).sum::<usize>() > 150, "the uses are found");
    edges
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The paths in a source text that begin with `crate` or `super`, wherever they stand.
fn paths(text: &str) -> Vec<Vec<String>> {
    let text = text.split("\nmod tests {").next().unwrap();
    let code: String = text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join(" ");
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && !"_:$".contains(before) {
                read_path(&code[at..], &mut Vec::new(), &mut paths);
            }
        }
    }
    paths
}

/// Reads a path, or what one with braces stands for. Returns what follows it.
fn read_path<'a>(mut rest: &'a str, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let depth = path.len();
    loop {
        rest = rest.trim_start();
        if let Some(mut list) = rest.strip_prefix('{') {
            while !list.trim_start().starts_with('}') {
                list = read_path(list, path, paths);
                // a name that is given by `as`
                let end = list.find([',', '}']).expect("a list ends");
                list = list[end..].trim_start_matches(',');
            }
            rest = &list.trim_start()[1..];
            break;
        }
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(rest.len());
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(more) => rest = more,
            None => {
                paths.push(path.clone());
                break;
            }
        }
    }
    path.truncate(depth);
    rest
}

/// The file that a path in `file` leads to.
fn resolve(src: &Path, file: &str, path: &[String]) -> String {
    let mut at: Vec<_> = file.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    for name in path {
        match name.as_str() {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            name => {
                let next = [&*at, &[name]].concat().join("/");
                if !src.join(&next).is_dir() && !src.join(format!("{next}.rs")).is_file() {
                    break;
                }
                at.push(name);
            }
        }
    }
    let at = at.join("/");
    if src.join(format!("{at}.rs")).is_file() { format!("{at}.rs") } else { format!("{at}/mod.rs") }
}

/// The uses that the rooms below `folder` do not allow.
fn wrong(edges: &Edges, folder: &str, rooms: &[(&str, &[&str])]) -> Vec<String> {
    let room_of = |file: &str| Some(file.strip_prefix(folder)?.split(['/', '.']).next()?.to_owned());
    let mut wrong = Vec::new();
    for (file, uses) in edges {
        let Some(room) = room_of(file) else { continue };
        let Some((_, below)) = rooms.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{file} is in no room"));
            continue;
        };
        let used_above =
            uses.iter().filter(|used| room_of(used).is_some_and(|used| used != room && !below.contains(&&*used)));
        wrong.extend(used_above.map(|used| format!("{file} uses {used}")));
    }
    wrong
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    assert_eq!(wrong(&edges(), "", &ROOMS), [""; 0]);
}

#[test]
fn a_room_of_the_runtime_uses_only_rooms_below_it() {
    assert_eq!(wrong(&edges(), "runtime/", &ROOMS_OF_RUNTIME), [""; 0]);
}

#[test]
fn the_protocol_between_machines_is_pure() {
    let pure = |used: &String| used.starts_with("cluster/bus/") || used == "cluster/id.rs";
    let edges = edges();
    let bus = edges.iter().filter(|(file, _)| file.starts_with("cluster/bus/")).collect::<Vec<_>>();
    assert!(!bus.is_empty());
    for (file, uses) in bus {
        assert!(uses.iter().all(pure), "{file} uses {uses:?}");
    }
}

#[test]
fn files_name_the_files_of_their_own_room() {
    let mut hidden = Vec::new();
    for (file, uses) in edges() {
        let room = file.split('/').next().unwrap().to_owned();
        if !ROOMS_WITH_TYPES.contains(&&*room) {
            let roundabout =
                uses.iter().filter(|used| used.ends_with("mod.rs") && used.starts_with(&format!("{room}/")));
            hidden.extend(roundabout.map(|used| format!("{file} uses {used}")));
        }
    }
    assert_eq!(hidden, [""; 0]);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut edges = edges();
    for (one, other, _) in PAIRS {
        assert!(edges[one].contains(other) && edges[other].contains(one), "{one} and {other} are a pair no longer");
        edges.get_mut(one).unwrap().remove(other);
    }
    let mut done = BTreeSet::new();
    for file in edges.keys() {
        visit(&edges, file, &mut Vec::new(), &mut done);
    }
    assert_eq!(done.len(), edges.len());
}

fn visit<'a>(edges: &'a Edges, file: &'a str, way: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) {
    if let Some(start) = way.iter().position(|on_the_way| *on_the_way == file) {
        panic!("a circle: {} -> {file}", way[start..].join(" -> "));
    }
    if done.contains(file) {
        return;
    }
    way.push(file);
    for used in edges[file].iter().filter(|used| edges.contains_key(*used)) {
        visit(edges, used, way, done);
    }
    way.pop();
    done.insert(file);
}
