//! Guessing passwords is slow: 10 failures in 15 minutes for one account from one address, or 100 from one address, and nothing more
//! is checked for a while. Each node counts what it sees, exactly; what other nodes saw is in buckets that all share. With Redis
//! away each node goes on counting by itself.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::domain::Refusal;
use crate::error::Result;
use crate::memory::login_failures::{Keys, WINDOW};

const PER_ACCOUNT_MAX: u32 = 10;
const PER_ADDRESS_MAX: u32 = 100;

/// One try at a password. Dropped without [`Attempt::fail`] it did not fail.
pub struct Attempt<'a> {
    app: &'a App,
    keys: Keys,
}

/// Admits a try at `account` (its id, or the folded name of none) from `address`, or says when to come again.
pub async fn begin_attempt<'a>(app: &'a App, account: &str, address: IpAddr) -> Result<Attempt<'a>> {
    let now = app.clock.now();
    let keys = [
        (key_of(&["account", account, &address.to_string()]), PER_ACCOUNT_MAX),
        (key_of(&["address", &address.to_string()]), PER_ADDRESS_MAX),
    ];
    app.login_failures.begin(&keys, now)?;
    // From here on a drop gives the places back.
    let attempt = Attempt { app, keys };
    if app.router.is_up() {
        for (key, max) in &attempt.keys {
            let wait_ms = shared(app, key, *max, 0).await;
            if wait_ms > 0 {
                return Err(Refusal::RateLimited { retry_after_ms: wait_ms }.into());
            }
        }
    }
    Ok(attempt)
}

impl Attempt<'_> {
    /// The password was wrong.
    pub async fn fail(self) {
        self.app.login_failures.add(&self.keys, self.app.clock.now());
        for (key, max) in &self.keys {
            shared(self.app, key, *max, 1).await;
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.app.login_failures.end(&self.keys);
    }
}

/// Takes `want` failures from the shared bucket; with 0 only asks. Answers how long there will be none left, in ms; 0 if there are, or if
/// Redis cannot say.
async fn shared(app: &App, key: &str, max: u32, want: u32) -> u64 {
    let burst = f64::from(max);
    let taken = app.router.take(&format!("login:{key}"), burst / WINDOW.as_secs_f64(), burst, want).await;
    taken.map_or(0, |take| take.retry_after_ms)
}

/// Names and addresses of people are not shown to Redis.
fn key_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    URL_SAFE_NO_PAD.encode(hash.first_chunk::<16>().copied().unwrap_or_default())
}
