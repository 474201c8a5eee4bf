//! Links by which users join a group themselves: the token says which group, and holds a secret that only who has the link knows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::ids::{ConversationId, InviteSecret};
use super::timestamp::Timestamp;

/// Links of one group that can be used at the same time.
pub const INVITES_MAX: usize = 100;
/// Most uses that a link may be limited to.
pub const USES_MAX: i32 = 100_000;
/// Longest life of a link that has an end, in seconds: a year.
pub const LIFE_MAX_S: i64 = 366 * 24 * 3_600;

/// Of a conversation's id the bytes that are not zero in all of them.
const ID_BYTES: usize = 11;
const TOKEN_BYTES: usize = ID_BYTES + 16;

/// What a link carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InviteToken {
    pub group: ConversationId,
    pub secret: InviteSecret,
}

impl fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteToken({}, ***)", self.group)
    }
}

impl InviteToken {
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; TOKEN_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (id, secret) = bytes.split_first_chunk::<ID_BYTES>()?;
        let mut whole = [0; 16];
        whole.get_mut(..ID_BYTES)?.copy_from_slice(id);
        let group = ConversationId::from_uuid(Uuid::from_bytes(whole))?;
        Some(Self { group, secret: InviteSecret(Uuid::from_bytes(secret.try_into().ok()?)) })
    }

    pub fn text(&self) -> String {
        let id = self.group.0.as_bytes();
        let bytes: Vec<u8> = id.iter().take(ID_BYTES).chain(self.secret.0.as_bytes()).copied().collect();
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// A link as the lane finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteState {
    pub uses: i32,
    pub max_uses: Option<i32>,
    pub expires_at: Option<Timestamp>,
    /// The row is to be written.
    pub is_changed: bool,
}

impl InviteState {
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.max_uses.is_none_or(|max| self.uses < max) && self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_its_group() {
        let token = InviteToken { group: ConversationId::random(), secret: InviteSecret::random() };
        let text = token.text();
        assert_eq!((text.len(), InviteToken::parse(&text)), (36, Some(token)));
        for bad in ["", "x", &text[1..], &format!("{text}A"), &"A".repeat(36), "%%"] {
            assert_eq!(InviteToken::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_link_ends_by_time_or_by_use() {
        let now = Timestamp(5);
        let state = |uses, max_uses, expires_at| InviteState { uses, max_uses, expires_at, is_changed: false };
        assert!(state(7, None, None).is_good(now) && state(1, Some(2), Some(Timestamp(6))).is_good(now));
        assert!(!state(2, Some(2), None).is_good(now) && !state(0, None, Some(now)).is_good(now));
    }
}
