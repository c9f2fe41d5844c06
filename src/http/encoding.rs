//! Compression of responses: which encoding a client takes, and the encoding itself.

use std::cmp::Ordering;

use flate2::{Compress, Compression, FlushCompress, Status};

/// A `Content-Encoding` that the engine writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEncoding {
    /// The format of gzip.
    Gzip,
    /// zlib's format, as HTTP means it.
    Deflate,
}

/// The option `httpCompression`.
#[derive(Clone, Copy, Debug)]
pub struct CompressionOptions {
    /// Bytes below which a payload is not compressed. With NaN all payloads are compressed.
    pub threshold: f64,
    /// zlib's level, 0 to 9.
    pub level: u32,
    /// The base two logarithm of the window, 9 to 15.
    pub window_bits: u8,
}

impl ContentEncoding {
    /// The one that an `Accept-Encoding` header prefers, judged as the npm package `accepts` does; of
    /// two that are equally welcome, gzip.
    pub fn negotiate(accepted: &str) -> Option<Self> {
        let ranges: Vec<_> =
            accepted.split(',').enumerate().filter_map(|(at, range)| Range::parse(range, at)).collect();
        let gzip = priority("gzip", &ranges);
        let deflate = priority("deflate", &ranges);
        match (gzip.quality > 0.0, deflate.quality > 0.0) {
            (true, true) if deflate.quality > gzip.quality => Some(Self::Deflate),
            (true, true) if deflate.quality < gzip.quality => Some(Self::Gzip),
            (true, true) if deflate.exact != gzip.exact => Some(if gzip.exact { Self::Gzip } else { Self::Deflate }),
            (true, true) if deflate.at < gzip.at => Some(Self::Deflate),
            (true, _) => Some(Self::Gzip),
            (false, true) => Some(Self::Deflate),
            (false, false) => None,
        }
    }

    /// The name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// A whole body in this encoding; `None` if zlib fails.
    pub fn encode(self, body: &[u8], options: CompressionOptions) -> Option<Vec<u8>> {
        let level = Compression::new(options.level.min(9));
        let bits = options.window_bits.clamp(9, 15);
        let mut stream = match self {
            Self::Gzip => Compress::new_gzip(level, bits),
            Self::Deflate => Compress::new_with_window_bits(level, true, bits),
        };
        let mut out = Vec::with_capacity(body.len() / 3 + 64);
        loop {
            let consumed = usize::try_from(stream.total_in()).ok()?;
            match stream.compress_vec(body.get(consumed..)?, &mut out, FlushCompress::Finish).ok()? {
                Status::StreamEnd => return Some(out),
                Status::Ok | Status::BufError => out.reserve(out.capacity().max(64)),
            }
        }
    }
}

/// One item of the header.
struct Range<'a> {
    name: &'a str,
    quality: f64,
    at: usize,
}

impl<'a> Range<'a> {
    /// `None` for an item that is not an encoding. It is ignored.
    fn parse(text: &'a str, at: usize) -> Option<Self> {
        let text = text.trim();
        let (name, params) = match text.split_once(';') {
            Some((name, params)) => (name.trim_end(), params),
            None => (text, ""),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        let quality = params.split(';').find_map(|param| {
            let mut parts = param.trim().split('=');
            (parts.next() == Some("q")).then(|| parse_float(parts.next().unwrap_or("")))
        });
        Some(Self { name, quality: quality.unwrap_or(1.0), at })
    }
}

/// How welcome an encoding is.
#[derive(Clone, Copy)]
struct Priority {
    /// Named, not only covered by `*`.
    exact: bool,
    quality: f64,
    at: usize,
}

/// A later mention counts if it is at least as specific and as welcome as those before.
fn priority(name: &str, ranges: &[Range<'_>]) -> Priority {
    let mut best: Option<Priority> = None;
    for range in ranges {
        let exact = range.name.eq_ignore_ascii_case(name);
        if !exact && range.name != "*" {
            continue;
        }
        let replaces = match best {
            None => true,
            Some(best) if best.exact != exact => exact,
            Some(best) => best.quality.partial_cmp(&range.quality) != Some(Ordering::Greater),
        };
        if replaces {
            best = Some(Priority { exact, quality: range.quality, at: range.at });
        }
    }
    best.unwrap_or(Priority { exact: false, quality: 0.0, at: usize::MAX })
}

/// `parseFloat` of JavaScript for what is written in headers: the longest prefix that is a number.
fn parse_float(text: &str) -> f64 {
    let text = text.trim_start();
    let numeric =
        text.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E')).count();
    (1..=numeric).rev().find_map(|end| text.get(..end)?.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_preferred_encoding_is_the_one_that_accepts_finds() {
        use ContentEncoding::{Deflate, Gzip};
        // each expectation was printed by `accepts(req).encodings(["gzip", "deflate"])`
        for (header, expected) in [
            ("", None),
            ("gzip, deflate, br", Some(Gzip)),
            ("deflate, gzip", Some(Deflate)),
            ("deflate;q=1, gzip;q=0.5", Some(Deflate)),
            ("gzip;q=0.5, deflate;q=0.5", Some(Gzip)),
            ("*", Some(Gzip)),
            ("*;q=0.1, deflate;q=0.1", Some(Deflate)),
            ("gzip;q=0, *", Some(Deflate)),
            ("*;q=0", None),
            ("GZIP", Some(Gzip)),
            ("br", None),
            ("identity", None),
            ("gzip;q=0", None),
            ("gzip;q=abc", None),
            ("gzip;Q=0", Some(Gzip)),
            ("gzip ; q=0.5x, deflate; q=0.4", Some(Gzip)),
            ("gzip deflate", None),
            (";q=1", None),
            ("gzip;q=0, gzip", Some(Gzip)),
            ("gzip, gzip;q=0", Some(Gzip)),
            ("gzip;level=3;q=0", None),
        ] {
            assert_eq!(ContentEncoding::negotiate(header), expected, "{header}");
        }
    }

    #[test]
    fn bodies_of_all_sizes_survive() {
        for len in [0, 1, 100, 5000, 300_000] {
            let body: Vec<u8> = (0..len).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 20) as u8).collect();
            for (level, window_bits) in [(0, 15), (1, 9), (6, 15), (9, 15), (42, 99)] {
                let options = CompressionOptions { threshold: 0.0, level, window_bits };
                let mut gzip = Vec::new();
                let encoded = ContentEncoding::Gzip.encode(&body, options).unwrap();
                flate2::read::GzDecoder::new(&encoded[..]).read_to_end(&mut gzip).unwrap();
                let mut deflate = Vec::new();
                let encoded = ContentEncoding::Deflate.encode(&body, options).unwrap();
                flate2::read::ZlibDecoder::new(&encoded[..]).read_to_end(&mut deflate).unwrap();
                assert!(gzip == body && deflate == body, "{len} bytes, level {level}");
            }
        }
    }
}
