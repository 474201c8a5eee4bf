//! The keys that tokens are signed and checked with, by `kid`. Each key has one algorithm: what a token's header says about it
//! is only compared. Several keys at once make rotation possible: add the new one everywhere, then sign with it, then drop the old.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use sha2::{Digest, Sha256};

use crate::config::{Auth, Key};

/// Shortest secret of HS256, in bytes: as long as its hash.
const SECRET_BYTES_MIN: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("auth.keys: at least one key is needed")]
    None,
    #[error("auth.keys `{0}`: the algorithm must be HS256 or EdDSA")]
    Algorithm(String),
    #[error("auth.keys `{0}`: the secret must have at least 32 bytes")]
    Short(String),
    #[error("auth.keys `{0}`: neither a public nor a private key")]
    Empty(String),
    #[error("auth.keys `{0}`: two keys have this kid")]
    Doubled(String),
    #[error("auth.keys `{0}`: not an Ed25519 key in PEM")]
    Pem(String, #[source] jsonwebtoken::errors::Error),
    #[error("auth.signing_kid: `{0}` is no key that can sign")]
    Signing(String),
}

/// One key.
#[derive(Debug)]
pub struct KeyRecord {
    pub kid: String,
    pub algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    /// None: a key that only checks.
    pub(super) encoding: Option<EncodingKey>,
    /// Hash of the secret part, from which other secrets are derived; none for keys that only check.
    root: Option<[u8; 32]>,
}

/// All keys of this node.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    by_kid: HashMap<String, Arc<KeyRecord>>,
    signing: Arc<KeyRecord>,
    /// The only HS256 key, if there is one only: tokens without `kid` are checked with it.
    unnamed: Option<Arc<KeyRecord>>,
    issuer: String,
    audience: String,
}

impl Keys {
    pub fn from_config(auth: &Auth) -> Result<Self, KeyError> {
        let mut by_kid = HashMap::new();
        let mut first = None;
        for key in &auth.keys {
            let record = Arc::new(read_key(key)?);
            first.get_or_insert_with(|| Arc::clone(&record));
            if by_kid.insert(key.kid.clone(), record).is_some() {
                return Err(KeyError::Doubled(key.kid.clone()));
            }
        }
        let first = first.ok_or(KeyError::None)?;
        let signing =
            if auth.signing_kid.is_empty() { Some(first) } else { by_kid.get(&auth.signing_kid).map(Arc::clone) };
        let signing =
            signing.filter(|key| key.encoding.is_some()).ok_or_else(|| KeyError::Signing(auth.signing_kid.clone()))?;
        let mut symmetric = by_kid.values().filter(|key| key.algorithm == Algorithm::HS256);
        let unnamed = match (symmetric.next(), symmetric.next()) {
            (Some(only), None) => Some(Arc::clone(only)),
            _ => None,
        };
        let (issuer, audience) = (auth.issuer.clone(), auth.audience.clone());
        Ok(Self(Arc::new(Inner { by_kid, signing, unnamed, issuer, audience })))
    }

    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    pub fn audience(&self) -> &str {
        &self.0.audience
    }

    pub(super) fn signing(&self) -> &KeyRecord {
        &self.0.signing
    }

    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Arc<KeyRecord>> {
        match kid {
            Some(kid) => self.0.by_kid.get(kid),
            None => self.0.unnamed.as_ref(),
        }
    }

    /// Secrets for one purpose, the same on all nodes: of the signing key first, then of the others, so that what was made
    /// before a rotation is still known.
    pub fn derived(&self, purpose: &str) -> Vec<[u8; 32]> {
        let signing = &self.0.signing;
        let mut others: Vec<_> = self.0.by_kid.values().filter(|key| key.kid != signing.kid).collect();
        others.sort_by(|one, other| one.kid.cmp(&other.kid));
        std::iter::once(signing)
            .chain(others)
            .filter_map(|key| key.root)
            .map(|root| keyed_hash(&root, purpose.as_bytes()))
            .collect()
    }
}

/// A hash that only who has the key can make: nested, so that nothing can be appended (as HMAC does).
pub fn keyed_hash(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let inner = Sha256::new().chain_update(key).chain_update(message).finalize();
    Sha256::new().chain_update(key).chain_update([0x5c]).chain_update(inner).finalize().into()
}

fn read_key(key: &Key) -> Result<KeyRecord, KeyError> {
    let kid = key.kid.clone();
    let pem = |error| KeyError::Pem(kid.clone(), error);
    match key.algorithm.as_str() {
        "HS256" => {
            if key.secret.len() < SECRET_BYTES_MIN {
                return Err(KeyError::Short(kid));
            }
            Ok(KeyRecord {
                algorithm: Algorithm::HS256,
                decoding: DecodingKey::from_secret(key.secret.as_bytes()),
                encoding: Some(EncodingKey::from_secret(key.secret.as_bytes())),
                root: Some(root_of(&key.secret)),
                kid,
            })
        }
        "EdDSA" => {
            let encoding = if key.private_key.is_empty() {
                None
            } else {
                Some(EncodingKey::from_ed_pem(key.private_key.as_bytes()).map_err(pem)?)
            };
            if key.public_key.is_empty() {
                return Err(KeyError::Empty(kid));
            }
            let decoding = DecodingKey::from_ed_pem(key.public_key.as_bytes()).map_err(pem)?;
            let root = encoding.is_some().then(|| root_of(&key.private_key));
            Ok(KeyRecord { algorithm: Algorithm::EdDSA, decoding, encoding, root, kid })
        }
        _ => Err(KeyError::Algorithm(kid)),
    }
}

fn root_of(secret: &str) -> [u8; 32] {
    Sha256::new().chain_update(b"herald derived keys 1").chain_update(secret.trim()).finalize().into()
}
