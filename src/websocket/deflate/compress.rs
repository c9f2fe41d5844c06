//! Deflating what the server sends.

use flate2::{Compress, Compression, FlushCompress};

use super::{Agreement, TRAILER, zlib_window_bits};

/// Window bits if none were agreed on: 8 KiB, where 32 KiB are allowed. Each bit less halves what zlib has to search
/// and to keep in the cache for each connection. JSON of 1 KiB, with 100 connections in turn, takes 67 us instead of
/// 144 and becomes as small (0.29). Text that repeats itself over longer distances becomes up to a tenth larger; the
/// option `serverMaxWindowBits` avoids that.
const USUAL_WINDOW_BITS: u8 = 13;

/// The smallest number of bytes by which the room for compressed bytes grows.
const MIN_ROOM: usize = 64;

/// The sending end of a connection with permessage-deflate.
///
/// zlib's state (about 220 KiB with the usual window) is created with the first message that is
/// to be compressed. It stays as long as later messages may refer to earlier ones, otherwise it
/// goes after every message.
#[derive(Debug)]
pub struct Deflate {
    stream: Option<Box<Compress>>,
    level: Compression,
    window_bits: u8,
    no_context_takeover: bool,
}

impl Deflate {
    /// The sending end as negotiated. `level` is zlib's, 0 to 9, with 6 as its default; more counts
    /// as 9.
    pub fn new(agreement: &Agreement, level: u32) -> Self {
        Self {
            stream: None,
            level: Compression::new(level.min(9)),
            window_bits: agreement.server_max_window_bits.map_or(USUAL_WINDOW_BITS, zlib_window_bits),
            no_context_takeover: agreement.server_no_context_takeover,
        }
    }

    /// Appends the compressed form of a whole message to `out`: the payload of a frame with RSV1
    /// set.
    ///
    /// Once it was called, the result has to be sent and in the order of the calls, as what follows
    /// may refer to it. `false` means that zlib failed, `out` is as before, and the message is to
    /// be sent as it is.
    #[must_use]
    pub fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        if message.is_empty() {
            // A flush with nothing new yields nothing; this is an empty block without its trailer
            // (RFC 7692, 7.2.3.6).
            out.push(0x00);
            return true;
        }
        let start = out.len();
        let done = self.run(message, out) && out.ends_with(&TRAILER);
        out.truncate(if done { out.len() - TRAILER.len() } else { start });
        if !done || self.no_context_takeover {
            self.stream = None;
        }
        done
    }

    /// Compresses up to and including the sync flush.
    fn run(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> bool {
        let (level, bits) = (self.level, self.window_bits);
        let stream = self.stream.get_or_insert_with(|| Box::new(Compress::new_with_window_bits(level, false, bits)));
        out.reserve(input.len() / 4 + MIN_ROOM);
        loop {
            let before = stream.total_in();
            if stream.compress_vec(input, out, FlushCompress::Sync).is_err() {
                return false;
            }
            let consumed = usize::try_from(stream.total_in() - before).unwrap_or(usize::MAX);
            input = input.get(consumed..).unwrap_or_default();
            // The flush is complete once zlib leaves room unused.
            if input.is_empty() && out.len() < out.capacity() {
                return true;
            }
            out.reserve((input.len() / 4).max(MIN_ROOM));
        }
    }
}
