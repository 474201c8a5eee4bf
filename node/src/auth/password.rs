//! Passwords: argon2id, computed by a bounded number of blocking threads. Who waits too long for one is told to come again.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;

use crate::domain::Refusal;
use crate::domain::text::check_length;
use crate::error::{Error, Result};

/// Shortest and longest password, in code points.
pub const PASSWORD_MIN: usize = 8;
pub const PASSWORD_MAX: usize = 128;
/// Longest wait for a turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// A hash that no password has, for users that do not exist: checking against it takes the same time. Parameters as of [`Argon2::default`].
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$aGVyYWxkLW5vYm9keS0x$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password as a user gave it, in NFC, so that it is the same from every keyboard.
#[derive(Clone)]
pub struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(***)")
    }
}

impl Password {
    /// A new one, which must be neither too short nor too long.
    pub fn parse(field: &'static str, text: &str) -> std::result::Result<Self, Refusal> {
        check_length(field, text, PASSWORD_MIN, PASSWORD_MAX)?;
        Ok(Self::given(text))
    }

    /// One to be compared; whatever its length, it is only ever right or wrong.
    pub fn given(text: &str) -> Self {
        Self(text.nfc().collect())
    }
}

/// Turns at hashing.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
}

impl Passwords {
    pub fn new(hashes_max: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(hashes_max.max(1))) }
    }

    /// Hash of a new password.
    pub async fn hash(&self, password: Password) -> Result<String> {
        self.run(move || hash_now(&password)).await?
    }

    /// True if this is the password. Without a hash (no such user) it takes as long and is false.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        self.run(move || {
            let hash = PasswordHash::new(&hash).map_err(Error::internal)?;
            let is_right = Argon2::default().verify_password(password.0.as_bytes(), &hash).is_ok();
            Ok(is_right && is_known)
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Refusal::Overloaded { retry_after_ms: 2_000 }.into());
        };
        let outcome = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(turn);
            outcome
        });
        outcome.await.map_err(Error::internal)
    }
}

/// The same at once, for commands that make users.
pub fn hash_now(password: &Password) -> Result<String> {
    let hash = Argon2::default().hash_password(password.0.as_bytes()).map_err(Error::internal)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn the_right_password_is_right_in_any_form() {
        let passwords = Passwords::new(2);
        let hash = passwords.hash(Password::parse("password", "pässword").unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify(Password::given("pa\u{308}ssword"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(Password::given("password"), Some(hash)).await.unwrap());
        assert!(Password::parse("password", "seven77").is_err());
        assert!(Password::parse("password", &"x".repeat(129)).is_err());
        assert!(Password::parse("password", &"€".repeat(128)).is_ok());
    }

    #[tokio::test]
    async fn unknown_users_take_as_long() {
        let passwords = Passwords::new(1);
        let hash = passwords.hash(Password::given("something")).await.unwrap();
        let begun = Instant::now();
        for _ in 0..5 {
            assert!(!passwords.verify(Password::given("other"), Some(hash.clone())).await.unwrap());
        }
        let known = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..5 {
            assert!(!passwords.verify(Password::given("other"), None).await.unwrap());
        }
        let ratio = begun.elapsed().as_secs_f64() / known.as_secs_f64();
        assert!((0.3..3.0).contains(&ratio), "{ratio}");
    }
}
