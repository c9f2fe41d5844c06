//! permessage-deflate (RFC 7692): negotiation, and the two ends of a connection that agreed on it.

mod compress;
mod inflate;
mod negotiate;
mod offer;

pub use compress::Deflate;
pub use inflate::Inflate;
pub use negotiate::{Agreement, ContextTakeover, Options, WindowBits, negotiate};
pub use offer::ExtensionError;

/// The name of the extension.
pub const NAME: &str = "permessage-deflate";

/// What ends a message on the wire and is left out there: an empty stored block (RFC 7692, 7.2.1).
const TRAILER: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The largest window, 2^15 bytes, and the default.
pub const MAX_WINDOW_BITS: u8 = 15;

/// The smallest window zlib works with. A peer that agreed on 2^8 bytes is served, too: inflating, a larger window
/// accepts all that a smaller one does; deflating, zlib keeps 262 bytes of its window as look-ahead, so that with 2^9
/// bytes no distance exceeds 250.
const MIN_WINDOW_BITS: u8 = 9;

/// The window that zlib uses for the agreed one.
fn zlib_window_bits(agreed: u8) -> u8 {
    agreed.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS)
}
