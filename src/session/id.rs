//! Session ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

/// Random bytes of an id: 120 bits.
const BYTES: usize = 15;

/// Characters of an id.
pub const LENGTH: usize = BYTES / 3 * 4;

/// Ids per call of the system's generator.
const IDS: usize = 64;

/// Makes session ids: [`LENGTH`] characters, 20, of `[A-Za-z0-9_-]`, 120 random bits from the system's generator.
///
/// Length and alphabet are relied upon by load balancers that look for `sid=([\w-]{20})` and by the
/// cluster engine. The original spends 24 of these bits on a counter of all connections; we do not
/// tell clients how many there were.
#[derive(Debug)]
pub struct IdGenerator {
    random: [u8; BYTES * IDS],
    used: usize,
}

impl Default for IdGenerator {
    fn default() -> Self {
        Self { random: [0; BYTES * IDS], used: BYTES * IDS }
    }
}

impl IdGenerator {
    /// The next id.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn next_id(&mut self) -> Result<String, getrandom::Error> {
        if self.used == self.random.len() {
            getrandom::fill(&mut self.random)?;
            self.used = 0;
        }
        let bytes = &mut self.random[self.used..self.used + BYTES];
        self.used += BYTES;
        let id = URL_SAFE.encode(&*bytes);
        // an id is a credential: no copy of it stays behind
        bytes.fill(0);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_20_url_safe_characters() {
        let mut ids = IdGenerator::default();
        for _ in 0..1000 {
            let id = ids.next_id().unwrap();
            assert_eq!(id.len(), 20);
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
        }
    }

    #[test]
    fn ids_do_not_repeat() {
        let mut generator = IdGenerator::default();
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| generator.next_id().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
