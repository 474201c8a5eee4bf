//! Tokens (JWT): signed and read. Time is an argument, there is no leeway, and every claim that matters is required.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Caller;
use super::keys::Keys;
use crate::domain::{LoginId, Timestamp, UserId};

/// How long a `ws_token` is good.
pub const WS_TOKEN_LIFE: Duration = Duration::from_mins(5);
/// Longest token that is looked at, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    Access,
    /// Good for one WebSocket.
    Ws,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    sid: LoginId,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    typ: TokenKind,
    iss: String,
    aud: serde_json::Value,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(default)]
    jti: String,
    /// Of a `ws_token`: when the access token that made it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_exp: Option<i64>,
}

/// A token that is genuine and not expired. Whether its login still stands is for the service to say.
#[derive(Clone, Debug)]
pub struct Token {
    pub kind: TokenKind,
    pub id: Uuid,
    /// When it was made: exact where we made it, else the second of `iat`.
    pub issued_at: Timestamp,
    /// Of this token itself.
    pub expires_at: Timestamp,
    pub caller: Caller,
}

/// Who a token is made for.
#[derive(Clone, Debug)]
pub struct Bearer<'a> {
    pub user: UserId,
    pub login: LoginId,
    pub username: Option<&'a str>,
    pub display_name: &'a str,
    pub roles: &'a [String],
}

#[derive(Debug, thiserror::Error)]
#[error("a token cannot be signed")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

/// An access token that is good for `life`.
pub fn sign_access(keys: &Keys, bearer: &Bearer<'_>, now: Timestamp, life: Duration) -> Result<String, SignError> {
    let exp = seconds(now.plus(life));
    sign(keys, &claims(keys, bearer, TokenKind::Access, now, exp, None))
}

/// A `ws_token` for the bearer of an access token, and how many seconds it is good: never longer than that one.
pub fn sign_ws(keys: &Keys, caller: &Caller, now: Timestamp) -> Result<(String, i64), SignError> {
    let access_exp = seconds(caller.expires_at);
    let exp = seconds(now.plus(WS_TOKEN_LIFE)).min(access_exp);
    let bearer = Bearer {
        user: caller.user,
        login: caller.login,
        username: caller.username.as_deref(),
        display_name: &caller.display_name,
        roles: &caller.roles,
    };
    let token = sign(keys, &claims(keys, &bearer, TokenKind::Ws, now, exp, Some(access_exp)))?;
    Ok((token, exp - seconds(now)))
}

fn claims(
    keys: &Keys,
    bearer: &Bearer<'_>,
    typ: TokenKind,
    now: Timestamp,
    exp: i64,
    access_exp: Option<i64>,
) -> Claims {
    Claims {
        sub: bearer.user,
        sid: bearer.login,
        name: bearer.username.map(str::to_owned),
        display_name: Some(bearer.display_name.to_owned()),
        roles: bearer.roles.to_vec(),
        typ,
        iss: keys.issuer().to_owned(),
        aud: keys.audience().into(),
        iat: seconds(now),
        exp,
        nbf: None,
        jti: id_at(now).to_string(),
        access_exp,
    }
}

fn sign(keys: &Keys, claims: &Claims) -> Result<String, SignError> {
    let key = keys.signing();
    let Some(encoding) = &key.encoding else {
        return Err(jsonwebtoken::errors::Error::from(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat).into());
    };
    let mut header = Header::new(key.algorithm);
    header.kid = Some(key.kid.clone());
    Ok(encode(&header, claims, encoding)?)
}

/// The token, if it is genuine and good at `now`; why it is not is nobody's business but the log's.
pub fn verify(keys: &Keys, token: &str, now: Timestamp) -> Option<Token> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let kid = decode_header(token).ok()?.kid;
    let key = keys.find(kid.as_deref())?;
    let mut validation = Validation::new(key.algorithm);
    validation.leeway = 0;
    // Looked at below, by the node's clock.
    validation.validate_exp = false;
    validation.set_issuer(&[keys.issuer()]);
    validation.set_audience(&[keys.audience()]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Claims>(token, &key.decoding, &validation).ok()?.claims;
    let is_good = at(claims.exp) > now && claims.nbf.is_none_or(|nbf| at(nbf) <= now) && claims.iat <= claims.exp;
    is_good.then(|| token_of(claims))
}

fn token_of(claims: Claims) -> Token {
    let id = Uuid::parse_str(&claims.jti).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, claims.jti.as_bytes()));
    let expires_at = at(claims.exp);
    // The display name is what others see as the sender's: a token that lacks it shows the username.
    let display_name = claims.display_name.or_else(|| claims.name.clone()).unwrap_or_default();
    let issued_at = made_at(id, claims.iat);
    Token {
        kind: claims.typ,
        id,
        issued_at,
        expires_at,
        caller: Caller {
            user: claims.sub,
            login: claims.sid,
            username: claims.name.map(Arc::from),
            display_name: Arc::from(display_name),
            named_at: issued_at,
            roles: claims.roles,
            expires_at: match claims.typ {
                TokenKind::Access => expires_at,
                TokenKind::Ws => claims.access_exp.map_or(expires_at, at),
            },
        },
    }
}

/// A UUID of version 7 with this time: so a token says to the millisecond when it was made, where `iat` says the second.
fn id_at(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    let random: [u8; 10] = rand::random();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The time in the id, where it fits `iat`.
fn made_at(id: Uuid, iat: i64) -> Timestamp {
    let Some((secs, nanos)) = id.get_timestamp().filter(|_| id.get_version_num() == 7).map(|time| time.to_unix())
    else {
        return at(iat);
    };
    if i64::try_from(secs).ok() == Some(iat) { Timestamp(at(iat).0 + i64::from(nanos / 1000)) } else { at(iat) }
}

const fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, Key};

    const ED_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const ED_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    fn hs(kid: &str) -> Key {
        Key { kid: kid.to_owned(), algorithm: "HS256".to_owned(), secret: kid.repeat(40), ..Key::default() }
    }

    fn ed(kid: &str) -> Key {
        Key {
            kid: kid.to_owned(),
            algorithm: "EdDSA".to_owned(),
            private_key: ED_PRIVATE.to_owned(),
            public_key: ED_PUBLIC.to_owned(),
            ..Key::default()
        }
    }

    fn keys(signing: &str, keys: Vec<Key>) -> Keys {
        Keys::from_config(&Auth { signing_kid: signing.to_owned(), keys, ..Auth::default() }).unwrap()
    }

    const NOW: Timestamp = Timestamp(1_770_460_200_123_456);
    const LIFE: Duration = Duration::from_mins(15);

    fn access(keys: &Keys) -> String {
        let bearer = Bearer {
            user: UserId::random(),
            login: LoginId::random(),
            username: Some("ann"),
            display_name: "Ann",
            roles: &["admin".to_owned()],
        };
        sign_access(keys, &bearer, NOW, LIFE).unwrap()
    }

    #[test]
    fn both_algorithms_sign_and_verify() {
        for keys in [keys("a", vec![hs("a")]), keys("e", vec![hs("a"), ed("e")])] {
            let token = verify(&keys, &access(&keys), NOW).unwrap();
            assert_eq!(token.kind, TokenKind::Access);
            assert_eq!(token.caller.username.as_deref(), Some("ann"));
            assert_eq!(&*token.caller.display_name, "Ann");
            assert!(token.caller.is_admin());
            assert_eq!(token.issued_at.as_millis(), NOW.as_millis());
        }
    }

    #[test]
    fn there_is_no_leeway() {
        let keys = keys("a", vec![hs("a")]);
        let token = access(&keys);
        let end = verify(&keys, &token, NOW).unwrap().expires_at;
        assert!(verify(&keys, &token, Timestamp(end.0 - 1)).is_some());
        assert!(verify(&keys, &token, end).is_none());
    }

    #[test]
    fn keys_rotate() {
        let old = keys("a", vec![hs("a")]);
        let both = keys("b", vec![hs("a"), hs("b")]);
        let new = keys("b", vec![hs("b")]);
        let (from_old, from_both) = (access(&old), access(&both));
        assert!(verify(&both, &from_old, NOW).is_some() && verify(&both, &from_both, NOW).is_some());
        assert!(verify(&new, &from_old, NOW).is_none() && verify(&new, &from_both, NOW).is_some());
        assert!(verify(&old, &from_both, NOW).is_none());
        assert_eq!(old.derived("x")[0], both.derived("x")[1], "what was derived before is still known");
        assert_ne!(old.derived("x")[0], old.derived("y")[0]);
    }

    /// A token with any header and claims, signed with key `a`.
    fn forged(header: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let mut claims = serde_json::json!({
            "sub": UserId::random(), "sid": LoginId::random(), "name": "ann", "display_name": "Ann", "roles": [],
            "typ": "access", "iss": "herald", "aud": "herald", "iat": seconds(NOW), "exp": seconds(NOW) + 60, "jti": "x",
        });
        change(&mut claims);
        let message = format!("{}.{}", engine.encode(header), engine.encode(claims.to_string()));
        let key = EncodingKey::from_secret("a".repeat(40).as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }
    use jsonwebtoken::EncodingKey;

    #[test]
    fn the_key_decides_about_the_algorithm() {
        let keys = keys("e", vec![hs("a"), ed("e")]);
        assert!(verify(&keys, &forged(r#"{"alg":"HS256","kid":"a"}"#, |_| ()), NOW).is_some());
        assert!(verify(&keys, &forged(r#"{"alg":"HS256"}"#, |_| ()), NOW).is_some(), "the only HS256 key needs no kid");
        for header in [
            r#"{"alg":"HS256","kid":"e"}"#,
            r#"{"alg":"EdDSA","kid":"a"}"#,
            r#"{"alg":"HS384","kid":"a"}"#,
            r#"{"alg":"none","kid":"a"}"#,
            r#"{"alg":"HS256","kid":"z"}"#,
        ] {
            assert!(verify(&keys, &forged(header, |_| ()), NOW).is_none(), "{header}");
        }
    }

    #[test]
    fn what_is_required_is_required() {
        let keys = keys("a", vec![hs("a")]);
        let with =
            |change: fn(&mut serde_json::Value)| verify(&keys, &forged(r#"{"alg":"HS256","kid":"a"}"#, change), NOW);
        assert!(with(|_| ()).is_some());
        assert!(with(|claims| claims["aud"] = serde_json::json!(["other", "herald"])).is_some());
        for name in ["sub", "sid", "typ", "iss", "aud", "iat", "exp"] {
            let token = forged(r#"{"alg":"HS256","kid":"a"}"#, |claims| {
                claims.as_object_mut().unwrap().remove(name);
            });
            assert!(verify(&keys, &token, NOW).is_none(), "{name}");
        }
        assert!(with(|claims| claims["iss"] = "other".into()).is_none());
        assert!(with(|claims| claims["aud"] = "other".into()).is_none());
        assert!(with(|claims| claims["typ"] = "refresh".into()).is_none());
        assert!(with(|claims| claims["exp"] = "9999999999".into()).is_none());
        assert!(with(|claims| claims["nbf"] = (seconds(NOW) + 5).into()).is_none());
        assert!(verify(&keys, "", NOW).is_none() && verify(&keys, "a.b.c", NOW).is_none());
    }

    #[test]
    fn a_ws_token_remembers_the_end_of_its_access_token() {
        let keys = keys("a", vec![hs("a")]);
        let caller = verify(&keys, &access(&keys), NOW).unwrap().caller;
        let (token, life_s) = sign_ws(&keys, &caller, NOW).unwrap();
        let token = verify(&keys, &token, NOW).unwrap();
        assert_eq!((token.kind, life_s), (TokenKind::Ws, 300));
        assert_eq!(token.caller.expires_at, caller.expires_at);
        let late = NOW.plus(Duration::from_secs(890));
        let (token, life_s) = sign_ws(&keys, &caller, late).unwrap();
        assert_eq!(life_s, 10);
        assert!(verify(&keys, &token, caller.expires_at).is_none());
    }
}
