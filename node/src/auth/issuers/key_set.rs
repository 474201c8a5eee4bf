//! Keys of one issuer, by `kid`, each with the one algorithm that its type says: what a token's header says about it is only
//! compared.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys of a set that are looked at.
const KEYS_MAX: usize = 100;
/// Shortest secret of HS256, in bytes: as long as its hash.
const SECRET_BYTES_MIN: usize = 32;
/// Lengths of uncompressed points, in bytes.
const P256_POINT_BYTES: usize = 65;
const P384_POINT_BYTES: usize = 97;

#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    #[error("the secret must have at least 32 bytes")]
    Short,
    #[error("not a public key in PEM: RSA, P-256, P-384 or Ed25519")]
    Pem,
    #[error("not a JSON Web Key Set")]
    Json(#[from] serde_json::Error),
    #[error("the key set has no key that can be used")]
    Empty,
}

/// A key that checks.
#[derive(Debug)]
pub struct CheckKey {
    kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// What an issuer signs with, as far as it is known.
#[derive(Debug, Default)]
pub struct KeySet(Vec<CheckKey>);

#[derive(Deserialize)]
struct KeySetJson {
    /// Each by itself, so that one of a kind nobody knows does not spoil the others.
    keys: Vec<Value>,
}

impl KeySet {
    pub fn of_secret(secret: &str) -> Result<Self, KeySetError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeySetError::Short);
        }
        let decoding = DecodingKey::from_secret(secret.as_bytes());
        Ok(Self(vec![CheckKey { kid: None, algorithm: Algorithm::HS256, decoding }]))
    }

    pub fn of_pem(pem: &str) -> Result<Self, KeySetError> {
        let pem = pem.as_bytes();
        let readers = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
        let decoding = readers.iter().find_map(|read| read(pem).ok()).ok_or(KeySetError::Pem)?;
        let algorithm = algorithm_of_pem(&decoding).ok_or(KeySetError::Pem)?;
        Ok(Self(vec![CheckKey { kid: None, algorithm, decoding }]))
    }

    /// Of RFC 7517. Keys that cannot sign tokens are left out.
    pub fn of_json(json: &[u8]) -> Result<Self, KeySetError> {
        let set: KeySetJson = serde_json::from_slice(json)?;
        let keys: Vec<CheckKey> = set.keys.into_iter().take(KEYS_MAX).filter_map(read_key).collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    pub const fn len(&self) -> usize {
        self.0.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token names. A token that names none is for the only key, and so is any token where that has no name.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&CheckKey> {
        let only = || self.0.first().filter(|_| self.0.len() == 1);
        match kid {
            None => only(),
            Some(kid) => {
                let named = self.0.iter().find(|key| key.kid.as_deref() == Some(kid));
                named.or_else(|| only().filter(|key| key.kid.is_none()))
            }
        }
    }
}

fn algorithm_of_pem(key: &DecodingKey) -> Option<Algorithm> {
    match key.family() {
        AlgorithmFamily::Rsa => Some(Algorithm::RS256),
        AlgorithmFamily::Ed => Some(Algorithm::EdDSA),
        AlgorithmFamily::Ec => match key.try_get_as_bytes().ok()?.len() {
            P256_POINT_BYTES => Some(Algorithm::ES256),
            P384_POINT_BYTES => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmFamily::Hmac => None,
    }
}

fn read_key(json: Value) -> Option<CheckKey> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|used_for| *used_for != PublicKeyUse::Signature) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    let by_type = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::OctetKey(_)
            if decoding.try_get_as_bytes().is_ok_and(|key| key.len() >= SECRET_BYTES_MIN) =>
        {
            Algorithm::HS256
        }
        _ => return None,
    };
    // A key may say which of its type's algorithms it is for.
    let algorithm = match jwk.common.key_algorithm {
        None => by_type,
        Some(said) => Algorithm::try_from(said).ok().filter(|said| said.family() == by_type.family())?,
    };
    Some(CheckKey { kid: jwk.common.key_id, algorithm, decoding })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ED: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    fn ed_jwk(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": kid})
    }

    fn kids(set: &Value) -> Vec<String> {
        let set = KeySet::of_json(set.to_string().as_bytes());
        set.map(|set| set.0.into_iter().filter_map(|key| key.kid).collect()).unwrap_or_default()
    }

    #[test]
    fn the_type_of_a_key_says_its_algorithm() {
        assert_eq!(KeySet::of_pem(ED).unwrap().0[0].algorithm, Algorithm::EdDSA);
        assert_eq!(KeySet::of_secret(&"s".repeat(32)).unwrap().0[0].algorithm, Algorithm::HS256);
        assert!(KeySet::of_secret("short").is_err() && KeySet::of_pem("nonsense").is_err());
        let set = KeySet::of_json(json!({"keys": [ed_jwk("a")]}).to_string().as_bytes()).unwrap();
        assert_eq!(set.0[0].algorithm, Algorithm::EdDSA);
    }

    #[test]
    fn what_is_of_no_use_does_not_spoil_a_set() {
        let mut for_encryption = ed_jwk("enc");
        for_encryption["use"] = json!("enc");
        let mut of_another = ed_jwk("alg");
        of_another["alg"] = json!("RS256");
        let short = json!({"kty": "oct", "k": "c2hvcnQ", "kid": "short"});
        let unknown = json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x", "kid": "new"});
        let keys = json!({"keys": [unknown, for_encryption, of_another, short, 5, ed_jwk("good")]});
        assert_eq!(kids(&keys), ["good"]);
        assert!(KeySet::of_json(b"{\"keys\":[]}").is_err() && KeySet::of_json(b"[]").is_err());
    }

    #[test]
    fn a_key_is_found_by_name_or_because_it_is_the_only_one() {
        let two = json!({"keys": [ed_jwk("a"), ed_jwk("b")]});
        let two = KeySet::of_json(two.to_string().as_bytes()).unwrap();
        assert!(two.find(Some("b")).is_some() && two.find(Some("c")).is_none() && two.find(None).is_none());
        let one = KeySet::of_json(json!({"keys": [ed_jwk("a")]}).to_string().as_bytes()).unwrap();
        assert!(one.find(None).is_some() && one.find(Some("b")).is_none());
        assert!(KeySet::of_pem(ED).unwrap().find(Some("any")).is_some());
    }
}
