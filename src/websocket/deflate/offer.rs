//! The `Sec-WebSocket-Extensions` header (RFC 6455, 9.1), read as `ws` reads it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use super::NAME;
use crate::protocol::number::js_number;
use crate::websocket::handshake::HandshakeError;
use crate::websocket::token::{is_space, is_token_byte};

/// The header is malformed, or offers permessage-deflate only in ways that cannot be accepted.
/// Answered with status 400, see [`HandshakeError::Extensions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionError {
    /// Not a list of extensions.
    Syntax,
    /// An offer of permessage-deflate has a parameter that is unknown, repeated or has a wrong
    /// value, even if another offer would do.
    Parameter,
    /// The server's options exclude every offer.
    Unacceptable,
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "malformed list of extensions",
            Self::Parameter => "invalid parameter of permessage-deflate",
            Self::Unacceptable => "no offer of permessage-deflate is acceptable",
        })
    }
}

impl Error for ExtensionError {}

impl From<ExtensionError> for HandshakeError {
    fn from(_: ExtensionError) -> Self {
        Self::Extensions
    }
}

/// The parameters of permessage-deflate (RFC 7692, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    ServerNoContextTakeover,
    ClientNoContextTakeover,
    ServerMaxWindowBits,
    ClientMaxWindowBits,
}

impl Param {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "server_no_context_takeover" => Self::ServerNoContextTakeover,
            "client_no_context_takeover" => Self::ClientNoContextTakeover,
            "server_max_window_bits" => Self::ServerMaxWindowBits,
            "client_max_window_bits" => Self::ClientMaxWindowBits,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ServerNoContextTakeover => "server_no_context_takeover",
            Self::ClientNoContextTakeover => "client_no_context_takeover",
            Self::ServerMaxWindowBits => "server_max_window_bits",
            Self::ClientMaxWindowBits => "client_max_window_bits",
        }
    }
}

/// One offer of permessage-deflate: its parameters in the order given, each with the window bits if
/// it has a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub params: Vec<(Param, Option<u8>)>,
}

impl Offer {
    /// The value of a parameter; `Some(None)` is a parameter without value.
    pub(super) fn get(&self, param: Param) -> Option<Option<u8>> {
        self.params.iter().find(|(name, _)| *name == param).map(|(_, value)| *value)
    }

    /// Sets a parameter, at its place if it is there already, else at the end.
    pub(super) fn set(&mut self, param: Param, value: Option<u8>) {
        match self.params.iter_mut().find(|(name, _)| *name == param) {
            Some((_, old)) => *old = value,
            None => self.params.push((param, value)),
        }
    }

    fn add(&mut self, name: &str, value: Option<&str>) -> Result<(), ExtensionError> {
        let param = Param::from_name(name).ok_or(ExtensionError::Parameter)?;
        if self.get(param).is_some() {
            return Err(ExtensionError::Parameter);
        }
        let value = match (param, value) {
            (Param::ServerMaxWindowBits, None) => return Err(ExtensionError::Parameter),
            (_, None) => None,
            (Param::ServerMaxWindowBits | Param::ClientMaxWindowBits, Some(text)) => Some(
                js_number(text)
                    .filter(|bits| (8.0..=15.0).contains(bits) && bits.fract() == 0.0)
                    .ok_or(ExtensionError::Parameter)? as u8,
            ),
            _ => return Err(ExtensionError::Parameter),
        };
        self.params.push((param, value));
        Ok(())
    }
}

/// Reads the header and keeps the offers of permessage-deflate, in order. Others have to be
/// well-formed.
///
/// A fault in the syntax counts before a fault in the parameters, also if it stands behind it; for the peer
/// they look the same.
pub(super) fn parse(header: &str) -> Result<Vec<Offer>, ExtensionError> {
    let mut offers = Vec::new();
    let mut fault = None;
    let mut cursor = Cursor { text: header, at: 0 };
    if cursor.peek().is_some_and(is_space) {
        return Err(ExtensionError::Syntax);
    }
    loop {
        let is_deflate = cursor.name()? == NAME;
        let mut offer = Offer::default();
        let mut next = cursor.separator()?;
        while next == Some(Separator::Parameter) {
            let name = cursor.name()?;
            let value = cursor.value()?;
            next = cursor.separator()?;
            if is_deflate && fault.is_none() {
                fault = offer.add(name, value.as_deref()).err();
            }
        }
        if is_deflate {
            offers.push(offer);
        }
        if next.is_none() {
            return fault.map_or(Ok(offers), Err);
        }
    }
}

/// What follows an extension or a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `;`
    Parameter,
    /// `,`
    Extension,
}

/// A place in the header. Every step moves forward, so that reading is linear.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_while(&mut self, pred: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&pred) {
            self.at += 1;
        }
    }

    /// A token, at least one character.
    fn token(&mut self) -> Result<&'a str, ExtensionError> {
        let start = self.at;
        self.skip_while(is_token_byte);
        self.text.get(start..self.at).filter(|token| !token.is_empty()).ok_or(ExtensionError::Syntax)
    }

    /// The name of an extension or parameter; white space may precede it.
    fn name(&mut self) -> Result<&'a str, ExtensionError> {
        self.skip_while(is_space);
        self.token()
    }

    /// `=` and a token, or a token in quotes, with no white space around the `=`.
    fn value(&mut self) -> Result<Option<Cow<'a, str>>, ExtensionError> {
        if self.peek() != Some(b'=') {
            return Ok(None);
        }
        self.at += 1;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return self.quoted().map(|value| Some(Cow::Owned(value)));
        }
        self.token().map(|value| Some(Cow::Borrowed(value)))
    }

    /// The inside of a quoted string, which must be a token once backslashes are taken away.
    fn quoted(&mut self) -> Result<String, ExtensionError> {
        let mut value = String::new();
        loop {
            let mut byte = self.peek().ok_or(ExtensionError::Syntax)?;
            self.at += 1;
            if byte == b'"' && !value.is_empty() {
                return Ok(value);
            }
            if byte == b'\\' {
                byte = self.peek().ok_or(ExtensionError::Syntax)?;
                self.at += 1;
            }
            if !is_token_byte(byte) {
                return Err(ExtensionError::Syntax);
            }
            value.push(char::from(byte));
        }
    }

    /// `;` or `,`, perhaps after white space, or the end of the header right here.
    fn separator(&mut self) -> Result<Option<Separator>, ExtensionError> {
        if self.peek().is_none() {
            return Ok(None);
        }
        self.skip_while(is_space);
        let separator = match self.peek() {
            Some(b';') => Separator::Parameter,
            Some(b',') => Separator::Extension,
            _ => return Err(ExtensionError::Syntax),
        };
        self.at += 1;
        Ok(Some(separator))
    }
}
