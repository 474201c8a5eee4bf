//! A token of another issuer: read and judged. Time is an argument, there is no leeway, and every claim that matters is required
//! and typed.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use uuid::Uuid;

use super::Issuer;
use super::key_set::KeySet;
use crate::domain::text::DISPLAY_NAME_MAX;
use crate::domain::{Timestamp, UserId};

/// So long after its `iat` a token counts at most, whatever its `exp` says: nobody can end it before.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_mins(15);
/// Longest `sub`, in code points (OpenID Connect Core 2).
const SUBJECT_MAX: usize = 255;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: NumericDate,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    name: Option<String>,
}

/// Seconds since 1970, whole or not (RFC 7519, section 2).
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
struct NumericDate(f64);

impl NumericDate {
    fn time(self) -> Option<Timestamp> {
        Duration::try_from_secs_f64(self.0).ok().map(|since| Timestamp::default().plus(since))
    }
}

/// A token that is genuine and good now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignToken {
    pub user: UserId,
    /// What its user is called when it is made.
    pub display_name: String,
    /// By `exp`, or [`TOKEN_LIFE_MAX`] after `iat`, whichever is earlier.
    pub expires_at: Timestamp,
}

/// What came of looking at a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    Good(ForeignToken),
    /// It names a key that the set lacks, or was signed with another key of that name: there may be a newer set.
    UnknownKey,
    Bad,
}

impl Issuer {
    /// Judges a token by these keys of this issuer.
    pub(super) fn check_with(&self, keys: &KeySet, token: &str, now: Timestamp) -> Checked {
        let Ok(header) = decode_header(token) else { return Checked::Bad };
        let Some(key) = keys.find(header.kid.as_deref()) else { return Checked::UnknownKey };
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = 0;
        // Looked at below, by the node's clock.
        validation.validate_exp = false;
        validation.set_issuer(&[&self.iss]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        match decode::<Claims>(token, &key.decoding, &validation) {
            Ok(token) => self.judge(&token.claims, now).map_or(Checked::Bad, Checked::Good),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Checked::UnknownKey,
            Err(_) => Checked::Bad,
        }
    }

    fn judge(&self, claims: &Claims, now: Timestamp) -> Option<ForeignToken> {
        let issued_at = claims.iat.time()?;
        let expires_at = claims.exp.time()?.min(issued_at.plus(TOKEN_LIFE_MAX));
        let not_before = claims.nbf.map_or(Some(issued_at), NumericDate::time)?;
        if now >= expires_at || issued_at > now || not_before > now {
            return None;
        }
        let user = self.user_of(&claims.sub)?;
        Some(ForeignToken { user, display_name: display_name(claims.name.as_deref(), &claims.sub), expires_at })
    }

    /// Which user a subject of this issuer is here.
    fn user_of(&self, subject: &str) -> Option<UserId> {
        if subject.is_empty() || subject.chars().count() > SUBJECT_MAX {
            return None;
        }
        let id = if self.same_ids {
            Uuid::try_parse(subject).ok()?
        } else {
            let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, self.iss.as_bytes());
            Uuid::new_v5(&namespace, subject.as_bytes())
        };
        // The nil user stands for everyone.
        Some(UserId(id)).filter(|user| *user != UserId::ALL)
    }
}

/// The name as far as it can be one, else the subject.
fn display_name(name: Option<&str>, subject: &str) -> String {
    let shown = |text: &str| -> String {
        text.trim().chars().filter(|character| *character != '\0').take(DISPLAY_NAME_MAX).collect()
    };
    name.map(shown).filter(|name| !name.is_empty()).unwrap_or_else(|| shown(subject))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::{Value, json};

    const NOW_S: i64 = 1_770_460_200;
    const NOW: Timestamp = Timestamp(NOW_S * 1_000_000);
    const SECRET: &str = "a secret of another issuer, long enough";

    fn issuer(same_ids: bool) -> Issuer {
        let config = config::Issuer {
            issuer: "https://issuer.example".to_owned(),
            audience: "chat".to_owned(),
            secret: SECRET.to_owned(),
            same_ids,
            ..config::Issuer::default()
        };
        Issuer::from_config("partner", &config).unwrap()
    }

    fn claims() -> Value {
        json!({
            "iss": "https://issuer.example", "aud": "chat", "sub": "user|7", "name": "Ann", "iat": NOW_S,
            "exp": NOW_S + 600,
        })
    }

    fn check(claims: &Value) -> Option<ForeignToken> {
        check_by(&issuer(false), claims)
    }

    fn check_by(issuer: &Issuer, claims: &Value) -> Option<ForeignToken> {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = encode(&Header::new(Algorithm::HS256), claims, &key).unwrap();
        match issuer.check(&token, NOW) {
            Checked::Good(token) => Some(token),
            Checked::UnknownKey | Checked::Bad => None,
        }
    }

    fn with(name: &str, value: impl Into<Value>) -> Option<ForeignToken> {
        let mut claims = claims();
        claims[name] = value.into();
        check(&claims)
    }

    #[test]
    fn a_good_token_names_the_same_user_each_time() {
        let token = check(&claims()).unwrap();
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://issuer.example");
        assert_eq!(token.user.0, Uuid::new_v5(&namespace, b"user|7"));
        assert_eq!((token.display_name.as_str(), token.expires_at), ("Ann", Timestamp((NOW_S + 600) * 1_000_000)));
        assert!(with("aud", json!(["other", "chat"])).is_some());
    }

    #[test]
    fn what_is_required_is_required_and_typed() {
        for name in ["iss", "aud", "sub", "iat", "exp"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            assert_eq!(check(&claims), None, "{name}");
        }
        for (name, value) in [
            ("iss", json!("https://issuer.example/")),
            ("aud", json!("other")),
            ("sub", json!("")),
            ("sub", json!(7)),
            ("sub", json!("x".repeat(256))),
            ("exp", json!(NOW_S.to_string())),
            ("exp", json!((NOW_S + 600).to_string())),
            ("exp", json!(NOW_S)),
            ("iat", json!("now")),
            ("iat", json!(NOW_S + 1)),
            ("iat", json!(-1)),
            ("iat", json!(1e300)),
            ("nbf", json!(NOW_S + 1)),
            ("nbf", json!("later")),
            ("name", json!(5)),
        ] {
            assert_eq!(with(name, value.clone()), None, "{name} {value}");
        }
        assert!(with("nbf", NOW_S).is_some() && with("exp", 1_770_460_200.5).is_some());
    }

    #[test]
    fn a_token_counts_for_a_quarter_of_an_hour_at_most() {
        let life = 900;
        assert_eq!(with("exp", NOW_S + 86_400).unwrap().expires_at, Timestamp((NOW_S + life) * 1_000_000));
        let mut claims = claims();
        claims["iat"] = json!(NOW_S - life + 1);
        assert!(check(&claims).is_some());
        claims["iat"] = json!(NOW_S - life);
        assert_eq!(check(&claims), None);
    }

    #[test]
    fn a_name_is_made_to_fit() {
        let named = |name: Value| with("name", name).unwrap().display_name;
        assert_eq!(named(Value::Null), "user|7");
        assert_eq!(named(json!("  ")), "user|7");
        assert_eq!(named(json!("a\0b")), "ab");
        assert_eq!(named(json!("語".repeat(150))).chars().count(), 100);
    }

    #[test]
    fn same_ids_are_uuids() {
        let issuer = issuer(true);
        let id = Uuid::new_v4();
        let mut claims = claims();
        assert_eq!(check_by(&issuer, &claims), None);
        claims["sub"] = json!(id);
        assert_eq!(check_by(&issuer, &claims).unwrap().user, UserId(id));
        claims["sub"] = json!(Uuid::nil());
        assert_eq!(check_by(&issuer, &claims), None);
    }
}
