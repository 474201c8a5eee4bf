//! Access tokens made here: a real one is taken as the pattern, and only `sub`, the names, `jti` and `exp` change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

/// Signs tokens like the one it was made from.
pub struct Mint {
    header: Header,
    claims: Map<String, Value>,
    key: EncodingKey,
    life_s: u64,
}

impl Mint {
    /// From an access token that a login gave, and the secret it is signed with.
    pub fn like(token: &str, secret: &str, life_s: u64) -> Result<Self, String> {
        let mut parts = token.split('.');
        let header = decode_part(parts.next())?;
        let claims = decode_part(parts.next())?;
        if header.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err("the server's tokens are not HS256: use --tokens-file".into());
        }
        let mut pattern = Header::new(Algorithm::HS256);
        pattern.kid = header.get("kid").and_then(Value::as_str).map(str::to_owned);
        pattern.typ = header.get("typ").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { header: pattern, claims, key: EncodingKey::from_secret(secret.as_bytes()), life_s })
    }

    /// An access token of that user. Its issuing time is the pattern's, so that no clock is needed.
    pub fn make(&self, user_id: &str, name: &str) -> Result<String, String> {
        let mut claims = self.claims.clone();
        let issued_s = claims.get("iat").and_then(Value::as_u64).ok_or("the token has no iat")?;
        claims.insert("sub".into(), user_id.into());
        claims.insert("name".into(), name.into());
        claims.insert("display_name".into(), name.into());
        claims.insert("roles".into(), Value::Array(vec!["user".into()]));
        claims.insert("exp".into(), (issued_s + self.life_s).into());
        claims.insert("jti".into(), uuid::Uuid::new_v4().to_string().into());
        jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(|error| format!("token: {error}"))
    }
}

fn decode_part(part: Option<&str>) -> Result<Map<String, Value>, String> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part.unwrap_or_default())
        .map_err(|error| format!("the login's token cannot be decoded: {error}"))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("the login's token cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_token_is_like_its_pattern_but_for_the_user() {
        let claims = serde_json::json!({"sub":"a","sid":"s","name":"alice","display_name":"Alice","roles":["admin"],"typ":"access","iss":"herald","aud":"herald","iat":1000,"exp":1900,"jti":"j"});
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("k1".into());
        let key = EncodingKey::from_secret(b"secret");
        let pattern = jsonwebtoken::encode(&header, &claims, &key).unwrap();

        let token = Mint::like(&pattern, "secret", 3600).unwrap().make("b", "bob").unwrap();
        let mut parts = token.split('.');
        let made_header = decode_part(parts.next()).unwrap();
        let made = decode_part(parts.next()).unwrap();
        assert_eq!(made_header["kid"], "k1");
        for same in ["sid", "typ", "iss", "aud", "iat"] {
            assert_eq!(made[same], claims[same], "{same}");
        }
        assert_eq!((made["sub"].as_str(), made["exp"].as_u64()), (Some("b"), Some(4600)));
        assert_eq!(made["roles"], serde_json::json!(["user"]));
        let mut validation = jsonwebtoken::Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.set_audience(&["herald"]);
        let decoding = jsonwebtoken::DecodingKey::from_secret(b"secret");
        assert!(jsonwebtoken::decode::<Value>(&token, &decoding, &validation).is_ok());
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert!(Mint::like("x", "secret", 1).is_err());
        let eddsa = format!("{}.{}.x", URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#), URL_SAFE_NO_PAD.encode("{}"));
        assert!(Mint::like(&eddsa, "secret", 1).err().unwrap().contains("HS256"));
    }
}
