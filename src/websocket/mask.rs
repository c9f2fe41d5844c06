//! Taking the mask off (RFC 6455, 5.3).

/// Bytes handled at once: a shape that compiles to vector instructions on every target.
const LANE: usize = 32;

/// Takes the mask off in place. `offset` is the number of payload bytes of the same frame that came
/// before `payload`.
pub fn unmask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    // All zero leaves the payload as it is; benchmark clients do send that.
    if mask == [0; 4] {
        return;
    }
    let mask = rotate(mask, offset);
    let mut lane = [0; LANE];
    for part in lane.chunks_exact_mut(mask.len()) {
        part.copy_from_slice(&mask);
    }
    let mut lanes = payload.chunks_exact_mut(LANE);
    for part in &mut lanes {
        for (byte, key) in part.iter_mut().zip(&lane) {
            *byte ^= key;
        }
    }
    for (byte, key) in lanes.into_remainder().iter_mut().zip(&lane) {
        *byte ^= key;
    }
}

/// The mask as it applies to a payload of which `offset` bytes are gone.
pub(super) fn rotate(mut mask: [u8; 4], offset: usize) -> [u8; 4] {
    mask.rotate_left(offset % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_offset_agrees_with_the_definition() {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let plain: Vec<u8> = (0..=255).collect();
        for len in 0..100 {
            for offset in 0..9 {
                let mut payload = plain[..len].to_vec();
                unmask(&mut payload, mask, offset);
                for (i, (masked, plain)) in payload.iter().zip(&plain).enumerate() {
                    assert_eq!(masked ^ mask[(i + offset) % 4], *plain);
                }
            }
        }
    }
}
