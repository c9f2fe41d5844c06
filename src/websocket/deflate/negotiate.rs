//! Which offer is accepted, and on what terms (RFC 7692, 5 and 7.1; `ws` decides the free choices).

use std::fmt::Write as _;

use super::NAME;
use super::offer::{ExtensionError, Offer, Param, parse};

/// The options `serverNoContextTakeover` and `clientNoContextTakeover`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContextTakeover {
    /// Not given: as the client wishes.
    #[default]
    AsOffered,
    /// `false`: the server keeps its context, and refuses offers that ask it not to. Without effect
    /// for the client's.
    Keep,
    /// `true`: each message stands alone.
    Drop,
}

/// The options `serverMaxWindowBits` and `clientMaxWindowBits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowBits {
    /// Not given, or `true`: as the client wishes.
    #[default]
    AsOffered,
    /// `false`: offers that restrict the server's window are refused; for the client's, nothing is
    /// answered.
    Unlimited,
    /// A number, 8 to 15: the window in use, refused if the offer wants it smaller still.
    Bits(u8),
}

/// The part of the option `perMessageDeflate` that takes part in the negotiation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `serverNoContextTakeover`.
    pub server_no_context_takeover: ContextTakeover,
    /// `clientNoContextTakeover`.
    pub client_no_context_takeover: ContextTakeover,
    /// `serverMaxWindowBits`.
    pub server_max_window_bits: WindowBits,
    /// `clientMaxWindowBits`.
    pub client_max_window_bits: WindowBits,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The server compresses each message on its own.
    pub server_no_context_takeover: bool,
    /// The client compresses each message on its own.
    pub client_no_context_takeover: bool,
    /// The server's window is at most 2^bits bytes; `None` is 15.
    pub server_max_window_bits: Option<u8>,
    /// The client's window is at most 2^bits bytes; `None` is 15.
    pub client_max_window_bits: Option<u8>,
    /// The value of `Sec-WebSocket-Extensions` in the 101 response.
    pub header: String,
}

/// Accepts the first offer of permessage-deflate in a `Sec-WebSocket-Extensions` header that the
/// options allow. `None` if the header does not offer it.
pub fn negotiate(header: &str, options: &Options) -> Result<Option<Agreement>, ExtensionError> {
    let offers = parse(header)?;
    if offers.is_empty() {
        return Ok(None);
    }
    let offer = offers.into_iter().find(|offer| is_acceptable(offer, options));
    offer.map(|offer| Some(agree(offer, options))).ok_or(ExtensionError::Unacceptable)
}

fn is_acceptable(offer: &Offer, options: &Options) -> bool {
    if options.server_no_context_takeover == ContextTakeover::Keep
        && offer.get(Param::ServerNoContextTakeover).is_some()
    {
        return false;
    }
    let server = match (options.server_max_window_bits, offer.get(Param::ServerMaxWindowBits)) {
        (WindowBits::Unlimited, Some(_)) => false,
        (WindowBits::Bits(own), Some(Some(wanted))) => own <= wanted,
        _ => true,
    };
    let client = match (options.client_max_window_bits, offer.get(Param::ClientMaxWindowBits)) {
        (WindowBits::Bits(own), Some(Some(wanted))) => own <= wanted,
        // The client does not understand the parameter, so it could not be told.
        (WindowBits::Bits(_), None) => false,
        _ => true,
    };
    server && client
}

fn agree(mut offer: Offer, options: &Options) -> Agreement {
    if options.server_no_context_takeover == ContextTakeover::Drop {
        offer.set(Param::ServerNoContextTakeover, None);
    }
    if options.client_no_context_takeover == ContextTakeover::Drop {
        offer.set(Param::ClientNoContextTakeover, None);
    }
    if let WindowBits::Bits(bits) = options.server_max_window_bits {
        offer.set(Param::ServerMaxWindowBits, Some(bits));
    }
    match (options.client_max_window_bits, offer.get(Param::ClientMaxWindowBits)) {
        (WindowBits::Bits(bits), _) => offer.set(Param::ClientMaxWindowBits, Some(bits)),
        (WindowBits::Unlimited, _) | (_, Some(None)) => {
            offer.params.retain(|(param, _)| *param != Param::ClientMaxWindowBits);
        }
        _ => {}
    }
    let mut header = String::from(NAME);
    for (param, value) in &offer.params {
        // Writing to a String cannot fail.
        let _ = match value {
            Some(bits) => write!(header, "; {}={bits}", param.name()),
            None => write!(header, "; {}", param.name()),
        };
    }
    Agreement {
        server_no_context_takeover: offer.get(Param::ServerNoContextTakeover).is_some(),
        client_no_context_takeover: offer.get(Param::ClientNoContextTakeover).is_some(),
        server_max_window_bits: offer.get(Param::ServerMaxWindowBits).flatten(),
        client_max_window_bits: offer.get(Param::ClientMaxWindowBits).flatten(),
        header,
    }
}
