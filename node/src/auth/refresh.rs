//! Refresh tokens: 64 bytes that name their login, hold a secret, and carry a mark of ours. The mark tells an old token of ours from
//! an invented one; each token's successor follows from it by a key of ours, so that any node can give the same one again.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::keys::{Keys, keyed_hash};
use crate::domain::LoginId;
use crate::domain::rotation::{Presented, TokenHash};

const PURPOSE: &str = "refresh tokens";
const MARK_LENGTH: usize = 16;

#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    login: LoginId,
    secret: [u8; 32],
    mark: [u8; MARK_LENGTH],
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefreshToken({}, ***)", self.login)
    }
}

impl RefreshToken {
    /// The first of a login; `None` only where no key has a secret, which the configuration excludes.
    pub fn first(keys: &Keys, login: LoginId) -> Option<Self> {
        let key = keys.derived(PURPOSE).into_iter().next()?;
        Some(Self::marked(&key, login, rand::random()))
    }

    pub const fn login(&self) -> LoginId {
        self.login
    }

    /// What may follow: by the key that signs now first, then by those that signed before.
    pub fn successors(&self, keys: &Keys) -> Vec<Self> {
        let follow = |key: [u8; 32]| {
            Self::marked(&key, self.login, keyed_hash(&key, &[b"next".as_slice(), &self.secret].concat()))
        };
        keys.derived(PURPOSE).into_iter().map(follow).collect()
    }

    /// What storage decides by.
    pub fn presented(&self, keys: &Keys, successors: &[Self]) -> Presented {
        Presented {
            hash: self.hash(),
            is_genuine: self.is_genuine(keys),
            successors: successors.iter().map(Self::hash).collect(),
        }
    }

    pub fn is_genuine(&self, keys: &Keys) -> bool {
        keys.derived(PURPOSE).iter().any(|key| mark_of(key, self.login, &self.secret).ct_eq(&self.mark).into())
    }

    /// What the directory keeps instead of the token.
    pub fn hash(&self) -> TokenHash {
        Sha256::digest(self.bytes()).into()
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 64] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (login, rest) = bytes.split_first_chunk::<16>()?;
        let (secret, mark) = rest.split_first_chunk::<32>()?;
        Some(Self { login: LoginId(Uuid::from_bytes(*login)), secret: *secret, mark: mark.try_into().ok()? })
    }

    /// As clients keep it.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes())
    }

    fn bytes(&self) -> Vec<u8> {
        [self.login.0.as_bytes().as_slice(), &self.secret, &self.mark].concat()
    }

    fn marked(key: &[u8; 32], login: LoginId, secret: [u8; 32]) -> Self {
        Self { login, secret, mark: mark_of(key, login, &secret) }
    }
}

fn mark_of(key: &[u8; 32], login: LoginId, secret: &[u8; 32]) -> [u8; MARK_LENGTH] {
    let hash = keyed_hash(key, &[b"mark".as_slice(), login.0.as_bytes(), secret].concat());
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, Key};

    fn keys(kids: &[&str]) -> Keys {
        let key = |kid: &&str| Key {
            kid: (*kid).to_owned(),
            algorithm: "HS256".to_owned(),
            secret: kid.repeat(40),
            ..Key::default()
        };
        Keys::from_config(&Auth { keys: kids.iter().map(key).collect(), ..Auth::default() }).unwrap()
    }

    #[test]
    fn every_node_gives_the_same_successor_also_after_a_rotation_of_keys() {
        let old = keys(&["a"]);
        let first = RefreshToken::first(&old, LoginId::random()).unwrap();
        let next = first.successors(&old).remove(0);
        assert_eq!(RefreshToken::parse(&next.text()), Some(next.clone()));
        assert_ne!(first.hash(), next.hash());
        let rotated = keys(&["b", "a"]);
        assert_eq!(first.successors(&rotated)[1], next);
        assert!(first.is_genuine(&rotated) && next.is_genuine(&rotated));
        assert!(!first.is_genuine(&keys(&["b"])));
    }

    #[test]
    fn what_is_invented_is_not_genuine() {
        let keys = keys(&["a"]);
        let mut token = RefreshToken::first(&keys, LoginId::random()).unwrap();
        token.login = LoginId::random();
        assert!(!token.is_genuine(&keys));
        for text in ["", "x", "%%%", &"A".repeat(85), &"A".repeat(87)] {
            assert_eq!(RefreshToken::parse(text), None, "{text}");
        }
    }
}
