//! Session ids that name their owner.
//!
//! ```text
//!  byte 0         9            12           15
//!       | random  | boot number | check      |     as 20 characters of base64url
//!                   XOR mask(random)
//! ```
//!
//! The id alone tells a holder of the key which member has made it, or that no member has. Without the key the
//! ids of one member look like those of all others. If the owner is shown, the mask is left out: the 15th and the 16th
//! character are then the lower 12 bits of the owner's number, by which a load balancer can choose the process. The check
//! tells which of both an id is, so that members that show the owner and members that do not know each other's ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::SipHasher24;

use crate::session::ID_LENGTH as LENGTH;

/// Random bytes of an id.
pub const RANDOM: usize = 9;

/// The bytes before the check.
const CHECKED: usize = RANDOM + 3;

const BYTES: usize = CHECKED + 3;

/// The domain of the check of an id, see [`Key::tag`].
const ID: u8 = 0;

/// The same if the owner is shown.
const SHOWN_ID: u8 = 1;

/// The domain of the mark of a key, see [`Key::tag`]; 2 is that of a hello.
const MARK: u8 = 3;

/// What tells keys apart, for those who may know that there are several.
pub type Mark = [u8; 8];

/// A process among those that serve each other's sessions: its number, and how often the number was taken before,
/// modulo 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// No two members have the same number at a time.
    pub number: u16,
    /// Tells members apart that have had the number one after the other.
    pub boot: u8,
}

/// The secret that the members share.
#[derive(Clone)]
pub struct Key {
    mask: SipHasher24,
    check: SipHasher24,
    shows_owner: bool,
}

impl Key {
    /// Bytes of a key.
    pub const LENGTH: usize = 32;

    /// The key of these bytes.
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        let half = |from: usize| std::array::from_fn(|at| bytes[from + at]);
        Self {
            mask: SipHasher24::new_with_key(&half(0)),
            check: SipHasher24::new_with_key(&half(16)),
            shows_owner: false,
        }
    }

    /// The same key, which makes ids that show their owner, or that hide it. It knows those of both.
    pub fn showing_owner(self, shows_owner: bool) -> Self {
        Self { shows_owner, ..self }
    }

    /// Makes the id of a session. The random bytes are used for this id only.
    pub fn issue(&self, random: [u8; RANDOM], owner: Member) -> [u8; LENGTH] {
        let mut bytes = [0; BYTES];
        bytes[..RANDOM].copy_from_slice(&random);
        let [high, low] = owner.number.to_be_bytes();
        let mask = self.mask(&random, self.shows_owner);
        for (at, byte) in [owner.boot, high, low].into_iter().enumerate() {
            bytes[RANDOM + at] = byte ^ mask[at];
        }
        let check = self.check(&bytes[..CHECKED], self.shows_owner);
        bytes[CHECKED..].copy_from_slice(&check);
        let mut id = [0; LENGTH];
        // 15 bytes fill 20 characters
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut id);
        debug_assert_eq!(written.ok(), Some(LENGTH));
        id
    }

    /// The member that has made an id; `None` if it was made without the key.
    pub fn owner_of(&self, id: &[u8]) -> Option<Member> {
        let mut bytes = [0; BYTES];
        if id.len() != LENGTH || URL_SAFE_NO_PAD.decode_slice(id, &mut bytes).ok()? != BYTES {
            return None;
        }
        let shows_owner = [false, true].into_iter().find(|&shows_owner| {
            // all bytes are compared, so that the time does not tell how many are right
            let check = self.check(&bytes[..CHECKED], shows_owner);
            check.iter().zip(&bytes[CHECKED..]).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
        })?;
        let mask = self.mask(&bytes[..RANDOM], shows_owner);
        let [boot, high, low] = std::array::from_fn(|at| bytes[RANDOM + at] ^ mask[at]);
        Some(Member { number: u16::from_be_bytes([high, low]), boot })
    }

    /// Authenticates bytes. `domain` says what they are, so that a tag does not hold for bytes of another kind. Domains
    /// from 16 on are free for use.
    pub fn tag(&self, domain: u8, bytes: &[u8]) -> [u8; 16] {
        let mut text = Vec::with_capacity(1 + bytes.len());
        text.push(domain);
        text.extend_from_slice(bytes);
        self.check.hash(&text).as_bytes()
    }

    /// The mark of this key, whether ids show their owner or not. It does not help to guess the key.
    pub fn mark(&self) -> Mark {
        let tag = self.tag(MARK, &[]);
        std::array::from_fn(|at| tag[at])
    }

    fn mask(&self, random: &[u8], shows_owner: bool) -> [u8; 3] {
        if shows_owner {
            return [0; 3];
        }
        let hash = self.mask.hash(random).as_bytes();
        [hash[0], hash[1], hash[2]]
    }

    fn check(&self, bytes: &[u8], shows_owner: bool) -> [u8; 3] {
        let mut text = [0; 1 + CHECKED];
        text[0] = if shows_owner { SHOWN_ID } else { ID };
        text[1..].copy_from_slice(bytes);
        let hash = self.check.hash(&text).as_bytes();
        [hash[0], hash[1], hash[2]]
    }
}

/// The key itself is not printed.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("shows_owner", &self.shows_owner).finish_non_exhaustive()
    }
}
