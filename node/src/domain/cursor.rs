//! Cursors, sealed with a MAC over the user's id, so that a damaged or another user's cursor is refused. That of a list says where its
//! next page begins, and is good in that list only. That of a sync says for each shard the epoch, the timeline and a transaction number
//! from which on everything has to be looked at again (DESIGN 7).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::ids::UserId;

const VERSION: u8 = 1;
const MARK_BYTES: usize = 20;
const MAC_BYTES: usize = 16;
/// More shards than any cluster has; bounds what is read from a client.
const MARKS_MAX: usize = 255;

/// So far below the oldest running transaction a cursor begins: a crash gives numbers of transactions that ended without a flush out
/// again. So a sync repeats a little of what was before its cursor, and its `has_gap` and `hidden` may speak of that only: whether an
/// entry of these numbers came before the cursor or after such a crash, its number does not say, and a gap too many is harmless.
pub const REACH_BACK: u64 = 1_000;
/// So much further after a failover, which may have lost the end of a log.
pub const REACH_BACK_AFTER_FAILOVER: u64 = 100_000;

/// A shard at one moment, as its primary says: all transactions below `xmin` had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub epoch: i64,
    pub timeline: u32,
    pub xmin: u64,
}

/// The cursor of a list: the place of the last item that was shown, as JSON.
pub fn encode_place(list: &str, place: &[u8], user: UserId, keys: &CursorKeys) -> String {
    let mut bytes = place.to_vec();
    bytes.extend_from_slice(&keys.seal(user, &[list.as_bytes(), place].concat()));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `None`: damaged, of another user or list, or sealed with a key that is no longer known.
pub fn decode_place(text: &str, list: &str, user: UserId, keys: &CursorKeys) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let mac = bytes.split_off(bytes.len().checked_sub(MAC_BYTES)?);
    keys.is_sealed(user, &[list.as_bytes(), &bytes].concat(), &mac).then_some(bytes)
}

/// One shard in a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// See [`shard_key`].
    pub shard: u32,
    pub epoch: u32,
    pub timeline: u32,
    pub tx: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub marks: Vec<Mark>,
}

/// What a sync has to read of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Entries and positions of transactions not below this; 0: all.
    pub tx: u64,
    /// The log was restored, or may have lost its end: every conversation gets a page, so that clients see the new epoch.
    pub is_new_epoch: bool,
}

impl Since {
    pub const ALL: Self = Self { tx: 0, is_new_epoch: false };
}

/// How a shard is named in cursors: a hash of its name in the configuration, so that the order there does not matter.
pub fn shard_key(name: &str) -> u32 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(4).fold(0, |key, byte| (key << 8) | u32::from(*byte))
}

impl Mark {
    /// The mark of a shard whose snapshot was taken before anything was read of it.
    pub fn of(shard: u32, snapshot: &Snapshot) -> Self {
        Self {
            shard,
            epoch: low_bits(snapshot.epoch),
            timeline: snapshot.timeline,
            tx: snapshot.xmin.saturating_sub(REACH_BACK),
        }
    }

    /// What there is to read for a client that holds this mark.
    pub fn since(&self, now: &Snapshot) -> Since {
        let is_new_epoch = self.epoch != low_bits(now.epoch);
        if !is_new_epoch && self.timeline == now.timeline {
            return Since { tx: self.tx, is_new_epoch };
        }
        // A restored database may count from below where the cursor is: then nothing is known.
        let tx = if now.xmin < self.tx { 0 } else { self.tx.saturating_sub(REACH_BACK_AFTER_FAILOVER) };
        Since { tx, is_new_epoch }
    }
}

fn low_bits(epoch: i64) -> u32 {
    u32::try_from(epoch & i64::from(u32::MAX)).unwrap_or_default()
}

impl Cursor {
    pub fn mark(&self, shard: u32) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.shard == shard)
    }

    pub fn encode(&self, user: UserId, keys: &CursorKeys) -> String {
        let mut bytes = Vec::with_capacity(2 + self.marks.len() * MARK_BYTES + MAC_BYTES);
        bytes.push(VERSION);
        for mark in self.marks.iter().take(MARKS_MAX) {
            bytes.extend_from_slice(&mark.shard.to_be_bytes());
            bytes.extend_from_slice(&mark.epoch.to_be_bytes());
            bytes.extend_from_slice(&mark.timeline.to_be_bytes());
            bytes.extend_from_slice(&mark.tx.to_be_bytes());
        }
        let mac = keys.seal(user, &bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None`: damaged, of another user, or sealed with a key that is no longer known.
    pub fn decode(text: &str, user: UserId, keys: &CursorKeys) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sealed, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        let (version, marks) = sealed.split_first()?;
        if *version != VERSION || !marks.len().is_multiple_of(MARK_BYTES) || !keys.is_sealed(user, sealed, mac) {
            return None;
        }
        let marks = marks.chunks_exact(MARK_BYTES).map(read_mark).collect::<Option<Vec<_>>>()?;
        Some(Self { marks })
    }
}

fn read_mark(bytes: &[u8]) -> Option<Mark> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let tx = bytes.get(12..20).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)?;
    Some(Mark { shard: word(0)?, epoch: word(4)?, timeline: word(8)?, tx })
}

/// Keys of cursors, derived from the secrets that all nodes share: the first seals, all of them open.
#[derive(Clone)]
pub struct CursorKeys(Vec<[u8; 32]>);

impl std::fmt::Debug for CursorKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CursorKeys").field(&self.0.len()).finish()
    }
}

impl CursorKeys {
    /// Of secrets, the one that signs now first. Without any (all keys only check) cursors are sealed with a key that all nodes know
    /// as well: they are then checked for damage only, and still bound to the user.
    pub fn derive<'a>(secrets: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut keys: Vec<[u8; 32]> =
            secrets.filter(|secret| !secret.is_empty()).map(|secret| hmac(secret, &[b"herald sync cursor"])).collect();
        if keys.is_empty() {
            keys.push(hmac(b"herald", &[b"herald sync cursor"]));
        }
        Self(keys)
    }

    fn seal(&self, user: UserId, bytes: &[u8]) -> [u8; MAC_BYTES] {
        self.0.first().map(|key| mac(key, user, bytes)).unwrap_or_default()
    }

    fn is_sealed(&self, user: UserId, bytes: &[u8], given: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        self.0.iter().any(|key| mac(key, user, bytes).ct_eq(given).into())
    }
}

fn mac(key: &[u8], user: UserId, bytes: &[u8]) -> [u8; MAC_BYTES] {
    let full = hmac(key, &[user.0.as_bytes(), bytes]);
    let mut short = [0; MAC_BYTES];
    short.iter_mut().zip(full).for_each(|(to, from)| *to = from);
    short
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block.iter_mut().zip(Sha256::digest(key)).for_each(|(to, from)| *to = from);
    } else {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(secret: &str) -> CursorKeys {
        CursorKeys::derive(std::iter::once(secret.as_bytes()))
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let of_two = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(of_two[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert_eq!(of_two[24..], [0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43]);
        let long = hmac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert_eq!(long[..4], [0x60, 0xe4, 0x31, 0x59]);
    }

    #[test]
    fn after_a_failover_it_reaches_further_back() {
        let before = Snapshot { epoch: 3, timeline: 1, xmin: 500_000 };
        let mark = Mark::of(7, &before);
        assert_eq!(mark.since(&before), Since { tx: 499_000, is_new_epoch: false });
        let synchronous = Snapshot { timeline: 2, xmin: 500_100, ..before };
        assert_eq!(mark.since(&synchronous), Since { tx: 399_000, is_new_epoch: false });
        let lossy = Snapshot { epoch: 4, timeline: 2, xmin: 500_100 };
        assert_eq!(mark.since(&lossy), Since { tx: 399_000, is_new_epoch: true });
        let restored = Snapshot { epoch: 4, timeline: 2, xmin: 700 };
        assert_eq!(mark.since(&restored), Since { tx: 0, is_new_epoch: true });
    }

    #[test]
    fn an_older_key_still_opens() {
        let user = UserId::random();
        let old = keys("an old secret");
        let both = CursorKeys::derive([b"a new secret".as_slice(), b"an old secret".as_slice()].into_iter());
        let text = Cursor::default().encode(user, &old);
        assert_eq!(Cursor::decode(&text, user, &both), Some(Cursor::default()));
        assert_eq!(Cursor::decode(&text, user, &keys("a new secret")), None);
    }

    fn marks() -> impl Strategy<Value = Vec<Mark>> {
        let mark = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>());
        prop::collection::vec(mark.prop_map(|(shard, epoch, timeline, tx)| Mark { shard, epoch, timeline, tx }), 0..9)
    }

    proptest! {
        #[test]
        fn is_read_back_by_its_user_only(marks in marks()) {
            let (user, keys) = (UserId::random(), keys("secret"));
            let cursor = Cursor { marks };
            let text = cursor.encode(user, &keys);
            prop_assert!(text.len() <= 24 + cursor.marks.len() * 27);
            prop_assert_eq!(Cursor::decode(&text, user, &keys), Some(cursor));
            prop_assert_eq!(Cursor::decode(&text, UserId::random(), &keys), None);
        }

        #[test]
        fn any_damage_is_noticed(marks in marks(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let (user, keys) = (UserId::random(), keys("secret"));
            let text = Cursor { marks }.encode(user, &keys);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Cursor::decode(&URL_SAFE_NO_PAD.encode(&bytes), user, &keys), None);
            prop_assert_eq!(Cursor::decode(&text[..at], user, &keys), None);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            prop_assert_eq!(Cursor::decode(&text, UserId::random(), &keys("secret")), None);
        }
    }
}
