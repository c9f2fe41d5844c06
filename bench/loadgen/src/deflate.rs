//! permessage-deflate as a client does it. What is sent is compressed once, message by message, without the window of
//! earlier messages (always allowed); what is received is inflated with the window kept, whatever was agreed.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

pub const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

pub fn compress(data: &[u8]) -> Vec<u8> {
    let mut z = Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(data.len() * 2 + 64);
    z.compress_vec(data, &mut out, FlushCompress::Sync).expect("deflate");
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - 4);
    out
}

pub struct Inflate(Decompress);

impl Inflate {
    pub fn new() -> Inflate {
        Inflate(Decompress::new(false))
    }

    pub fn message(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.clear();
        for part in [data, &TAIL] {
            let before = self.0.total_in();
            loop {
                let used = (self.0.total_in() - before) as usize;
                out.reserve(4096);
                let status = self.0.decompress_vec(&part[used..], out, FlushDecompress::Sync);
                let all = (self.0.total_in() - before) as usize == part.len();
                match status {
                    // Room left: nothing is held back.
                    Ok(Status::Ok | Status::BufError) if all && out.len() < out.capacity() => break,
                    Ok(Status::StreamEnd) => self.0.reset(false),
                    Ok(Status::BufError) if out.len() < out.capacity() => return Err("inflate is stuck".into()),
                    Ok(_) => {}
                    Err(e) => return Err(format!("inflate: {e}")),
                }
            }
        }
        Ok(())
    }
}

impl Default for Inflate {
    fn default() -> Self {
        Inflate::new()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn round_trip() {
        let mut z = super::Inflate::new();
        let mut out = vec![];
        for n in [0usize, 1, 300, 70_000] {
            let data: Vec<u8> = (0..n).map(|i| (i % 251) as u8).collect();
            z.message(&super::compress(&data), &mut out).unwrap();
            assert_eq!(out, data);
        }
    }
}
