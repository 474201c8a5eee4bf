//! One other issuer and its keys. Those that come from a file or an address are read again when a token names a key that they
//! lack, and from time to time; while that fails the old ones stay.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::fetch::{self, FetchError};
use super::key_set::{KeySet, KeySetError};
use super::token::Checked;
use crate::config;
use crate::domain::Timestamp;

/// Readings of a key set that strangers' tokens can bring about at once, and how often one more.
const READINGS_AT_ONCE: u32 = 4;
const READING_INTERVAL: Duration = Duration::from_secs(5);
/// Greatest key set, in bytes.
pub(super) const KEY_SET_BYTES_MAX: usize = 512 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    #[error("auth.issuers.{0}: `issuer` and `audience` are needed")]
    Nameless(String),
    #[error("auth.issuers.{0}: another issuer has this `issuer`")]
    Doubled(String),
    #[error("auth.issuers.{0}: exactly one of `secret`, `public_key`, `jwks_file`, `jwks_url` is needed")]
    Keys(String),
    #[error("auth.issuers.{0}: the key cannot be used")]
    Key(String, #[source] KeySetError),
    #[error("auth.issuers.{0}: jwks_url must begin with https:// or http://")]
    Url(String),
}

/// Why a key set was not read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
    #[error("the file is too large")]
    TooLarge,
    #[error("it cannot be fetched")]
    Fetch(#[from] FetchError),
    #[error("what was read is of no use")]
    Content(#[from] KeySetError),
}

#[derive(Debug)]
enum Source {
    /// In the configuration itself: it does not change.
    Fixed,
    File(PathBuf),
    Url(fetch::Address),
}

#[derive(Debug)]
pub struct Issuer {
    /// What the configuration calls it.
    pub name: String,
    /// Its `iss`.
    pub(super) iss: String,
    pub(super) audience: String,
    pub(super) same_ids: bool,
    source: Source,
    keys: ArcSwap<KeySet>,
    /// One reading at a time; it has how many may be had at once.
    turn: Mutex<Allowance>,
    /// Readings that have ended, well or not.
    readings: AtomicU64,
}

impl Issuer {
    pub(super) fn from_config(name: &str, config: &config::Issuer) -> Result<Self, IssuerError> {
        let name = name.to_owned();
        if config.issuer.is_empty() || config.audience.is_empty() {
            return Err(IssuerError::Nameless(name));
        }
        let unusable = |error| IssuerError::Key(name.clone(), error);
        let given = [
            !config.secret.is_empty(),
            !config.public_key.is_empty(),
            config.jwks_file.is_some(),
            !config.jwks_url.is_empty(),
        ];
        let (source, keys) = match (given, &config.jwks_file) {
            ([true, false, false, false], _) => (Source::Fixed, KeySet::of_secret(&config.secret).map_err(unusable)?),
            ([false, true, false, false], _) => (Source::Fixed, KeySet::of_pem(&config.public_key).map_err(unusable)?),
            ([false, false, true, false], Some(file)) => (Source::File(file.clone()), KeySet::default()),
            ([false, false, false, true], _) => {
                let address = fetch::Address::parse(&config.jwks_url);
                (Source::Url(address.ok_or_else(|| IssuerError::Url(name.clone()))?), KeySet::default())
            }
            _ => return Err(IssuerError::Keys(name)),
        };
        Ok(Self {
            name,
            iss: config.issuer.clone(),
            audience: config.audience.clone(),
            same_ids: config.same_ids,
            source,
            keys: ArcSwap::from_pointee(keys),
            turn: Mutex::new(Allowance::full(Instant::now())),
            readings: AtomicU64::new(0),
        })
    }

    /// Whether its keys are somewhere else and can change.
    pub const fn has_source(&self) -> bool {
        !matches!(self.source, Source::Fixed)
    }

    /// True as long as not a single key of it is known.
    pub fn is_unknown(&self) -> bool {
        self.keys.load().is_empty()
    }

    /// Judges a token by the keys that are known now.
    pub fn check(&self, token: &str, now: Timestamp) -> Checked {
        self.check_with(&self.keys.load(), token, now)
    }

    /// Reads the keys anew because a token asks for it: one reading at a time, whose outcome is that of all who wait for it, and
    /// no more than a few in a row. Whether it went well shows when the token is looked at again.
    pub async fn renew(&self) {
        if !self.has_source() {
            return;
        }
        let seen = self.readings.load(Ordering::Acquire);
        let mut allowance = self.turn.lock().await;
        if self.readings.load(Ordering::Acquire) == seen && allowance.take(Instant::now()) {
            // Said already.
            let _ = self.read_and_keep().await;
        }
    }

    /// Reads the keys anew, whoever asks. Answers how many there are.
    pub async fn load(&self) -> Result<usize, LoadError> {
        let _turn = self.turn.lock().await;
        self.read_and_keep().await
    }

    async fn read_and_keep(&self) -> Result<usize, LoadError> {
        let read = self.read().await;
        self.readings.fetch_add(1, Ordering::AcqRel);
        let outcome = if read.is_ok() { "read" } else { "failed" };
        metrics::counter!("herald_issuer_key_readings_total", "outcome" => outcome).increment(1);
        match read {
            Ok(keys) => {
                let count = keys.len();
                self.keys.store(Arc::new(keys));
                Ok(count)
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(
                    issuer = self.name,
                    error = cause,
                    "keys of an issuer cannot be read; the old ones stay"
                );
                Err(error)
            }
        }
    }

    async fn read(&self) -> Result<KeySet, LoadError> {
        let json = match &self.source {
            Source::Fixed => return Err(LoadError::Content(KeySetError::Empty)),
            Source::File(file) => {
                let length = tokio::fs::metadata(file).await?.len();
                if usize::try_from(length).map_or(true, |length| length > KEY_SET_BYTES_MAX) {
                    return Err(LoadError::TooLarge);
                }
                tokio::fs::read(file).await?
            }
            Source::Url(address) => address.fetch().await?,
        };
        Ok(KeySet::of_json(&json)?)
    }
}

/// How many readings may still be had.
#[derive(Debug)]
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    const fn full(now: Instant) -> Self {
        Self { left: READINGS_AT_ONCE, since: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.left < READINGS_AT_ONCE && now.saturating_duration_since(self.since) >= READING_INTERVAL {
            self.left += 1;
            self.since += READING_INTERVAL;
        }
        if self.left == READINGS_AT_ONCE {
            self.since = now;
        }
        let is_allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(change: impl FnOnce(&mut config::Issuer)) -> Result<Issuer, String> {
        let mut config = config::Issuer {
            issuer: "https://issuer.example".to_owned(),
            audience: "chat".to_owned(),
            ..config::Issuer::default()
        };
        change(&mut config);
        Issuer::from_config("partner", &config).map_err(|error| error.to_string())
    }

    #[test]
    fn an_issuer_has_one_source_of_keys() {
        let secret = "s".repeat(32);
        assert!(from(|config| config.secret.clone_from(&secret)).is_ok());
        assert!(from(|config| config.jwks_url = "https://issuer.example/keys".to_owned()).is_ok());
        assert!(from(|config| config.jwks_file = Some("keys.json".into())).is_ok());
        for bad in [
            from(|_| ()),
            from(|config| config.secret = "short".to_owned()),
            from(|config| config.public_key = "no key".to_owned()),
            from(|config| config.jwks_url = "ftp://issuer.example".to_owned()),
            from(|config| {
                config.secret.clone_from(&secret);
                config.audience.clear();
            }),
            from(|config| {
                config.secret.clone_from(&secret);
                config.jwks_url = "https://issuer.example/keys".to_owned();
            }),
        ] {
            assert!(bad.unwrap_err().contains("auth.issuers.partner"));
        }
    }

    #[test]
    fn strangers_cannot_have_keys_read_without_end() {
        let begun = Instant::now();
        let mut allowance = Allowance::full(begun);
        let at_once = (0..10).filter(|_| allowance.take(begun)).count();
        assert_eq!(at_once, 4);
        assert!(!allowance.take(begun + Duration::from_millis(4_999)));
        assert!(allowance.take(begun + Duration::from_secs(5)));
        assert!(!allowance.take(begun + Duration::from_secs(5)));
        let later = (0..10).filter(|_| allowance.take(begun + Duration::from_secs(1_000))).count();
        assert_eq!(later, 4);
    }
}
