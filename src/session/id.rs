//! Session ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

/// Makes a session id: 20 characters of `[A-Za-z0-9_-]`, 120 random bits from the system's generator.
///
/// Length and alphabet are relied upon by load balancers that look for `sid=([\w-]{20})` and by the
/// cluster engine. The original spends 24 of these bits on a counter of all connections; we do not
/// tell clients how many there were.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn generate_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 15];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_20_url_safe_characters() {
        for _ in 0..1000 {
            let id = generate_id().unwrap();
            assert_eq!(id.len(), 20);
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
        }
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| generate_id().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
