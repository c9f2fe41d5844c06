//! Session ids that name their owner.

use std::collections::HashSet;

use engine_io_native::cluster::id::{Key, Member};

const MEMBER: Member = Member { number: 3, boot: 7 };

fn key(seed: u8) -> Key {
    Key::new(&std::array::from_fn(|at| seed.wrapping_mul(31).wrapping_add(at as u8)))
}

/// Random bytes that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn bytes(&mut self) -> [u8; 9] {
        let (a, b) = (self.next().to_le_bytes(), self.next().to_le_bytes());
        std::array::from_fn(|at| if at < 8 { a[at] } else { b[0] })
    }
}

#[test]
fn an_id_has_20_url_safe_characters_and_names_its_owner() {
    let mut random = Random(1);
    for _ in 0..10_000 {
        let owner = Member { number: random.next() as u16, boot: random.next() as u8 };
        for key in [key(1), key(1).showing_owner(true)] {
            let id = key.issue(random.bytes(), owner);
            assert!(id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)));
            assert_eq!(key.owner_of(&id), Some(owner));
        }
    }
}

#[test]
fn an_id_with_one_changed_character_is_refused() {
    let (key, mut random) = (key(1), Random(2));
    for _ in 0..100 {
        let id = key.issue(random.bytes(), MEMBER);
        for at in 0..id.len() {
            let mut forged = id;
            forged[at] = if id[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.owner_of(&forged), None);
        }
    }
}

#[test]
fn ids_of_other_keys_are_refused() {
    let mut random = Random(3);
    let others = [key(2), key(2).showing_owner(true)];
    for _ in 0..1000 {
        for other in &others {
            let bytes = random.bytes();
            assert_eq!(key(1).owner_of(&other.issue(bytes, MEMBER)), None);
            assert_eq!(other.owner_of(&key(1).issue(bytes, MEMBER)), None);
        }
    }
}

#[test]
fn members_that_show_the_owner_and_members_that_do_not_know_each_other() {
    let (hides, shows) = (key(1), key(1).showing_owner(true));
    let mut random = Random(8);
    for _ in 0..1000 {
        let bytes = random.bytes();
        let ids = [hides.issue(bytes, MEMBER), shows.issue(bytes, MEMBER)];
        assert_ne!(ids[0], ids[1]);
        for id in ids {
            assert_eq!([hides.owner_of(&id), shows.owner_of(&id)], [Some(MEMBER); 2]);
        }
    }
}

#[test]
fn what_is_no_id_is_refused() {
    let key = key(1);
    let id = key.issue([5; 9], MEMBER);
    for text in
        [&b""[..], &id[..19], &[&id[..], b"A"].concat(), b"====================", b"!!!!!!!!!!!!!!!!!!!!", &[0xff; 20]]
    {
        assert_eq!(key.owner_of(text), None, "{text:?}");
    }
}

#[test]
fn random_ids_are_refused() {
    let (key, mut random) = (key(1), Random(4));
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // one of 16 million passes
    for _ in 0..100_000 {
        let forged: [u8; 20] = std::array::from_fn(|_| alphabet[random.next() as usize % 64]);
        assert_eq!(key.owner_of(&forged), None);
    }
}

/// Chi-square over 64 characters has 63 degrees of freedom; a uniform source exceeds 130 once in 300,000 tries.
const MAX_CHI_SQUARE: f64 = 130.0;

fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
}

#[test]
fn the_ids_of_one_owner_cannot_be_told_from_random_ones() {
    let (key, mut random) = (key(1), Random(5));
    let mut characters = vec![[0_u32; 128]; 20];
    let mut differences = vec![[0_u32; 64]; 20];
    let mut last = [0; 20];
    for _ in 0..64_000 {
        let id = key.issue(random.bytes(), MEMBER);
        for at in 0..20 {
            characters[at][usize::from(id[at])] += 1;
            differences[at][usize::from(value(id[at]) ^ value(last[at]))] += 1;
        }
        last = id;
    }
    for at in 0..20 {
        let counts: Vec<_> = characters[at].iter().copied().filter(|&count| count > 0).collect();
        assert_eq!(counts.len(), 64, "each character comes at place {at}");
        assert!(chi_square(&counts) < MAX_CHI_SQUARE, "the characters at place {at} are not uniform");
        // nor does one id tell anything of the next
        assert!(
            chi_square(&differences[at]) < MAX_CHI_SQUARE,
            "ids that follow each other differ evenly at place {at}"
        );
    }
}

#[test]
fn ids_of_one_owner_are_no_more_alike_than_those_of_two() {
    let (key, mut random) = (key(1), Random(6));
    let other = Member { number: 900, boot: 1 };
    let mut alike = [0_u32; 2];
    for _ in 0..200_000 {
        let id = key.issue(random.bytes(), MEMBER);
        for (at, owner) in [MEMBER, other].into_iter().enumerate() {
            let next = key.issue(random.bytes(), owner);
            // the place of the owner
            alike[at] += id[12..16].iter().zip(&next[12..16]).filter(|(a, b)| a == b).count() as u32;
        }
    }
    // 12,500 of 800,000 are expected, with a standard deviation of 111
    assert!(alike.iter().all(|&count| count.abs_diff(12_500) < 600), "{alike:?}");
}

fn value(character: u8) -> u8 {
    match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        _ => 63,
    }
}

#[test]
fn a_shown_owner_can_be_read_from_the_15th_and_the_16th_character() {
    let (key, mut random) = (key(1).showing_owner(true), Random(7));
    for number in [0, 1, 25, 26, 63, 64, 4095] {
        for boot in [0, 1, 255] {
            let id = key.issue(random.bytes(), Member { number, boot });
            assert_eq!(u16::from(value(id[14])) << 6 | u16::from(value(id[15])), number);
        }
    }
}

#[test]
fn a_tag_holds_for_one_key_one_domain_and_these_bytes() {
    let tags = HashSet::from([
        key(1).tag(16, b"abc"),
        key(1).tag(17, b"abc"),
        key(1).tag(16, b"abd"),
        key(2).tag(16, b"abc"),
        key(1).tag(16, b""),
    ]);
    assert_eq!(tags.len(), 5);
    assert_eq!(key(1).tag(16, b"abc"), key(1).tag(16, b"abc"));
}

#[test]
fn a_key_is_not_printed() {
    assert_eq!(format!("{:?}", key(1)), "Key { shows_owner: false, .. }");
}
