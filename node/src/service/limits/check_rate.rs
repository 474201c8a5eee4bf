//! How many messages a second a user may send (contract 2.7). A node that holds all of a user's sessions decides alone with a
//! bucket of its own; any other, and REST, takes from a bucket that all nodes share, a few at a time. While Redis is away each
//! node counts alone. Recalls, edits and reactions have buckets of their own of the same size, and so have reported events.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::domain::UserId;
use crate::memory::rates::Buckets;

/// From this setting on nobody is counted: load tests, and installations that limit elsewhere.
const UNLIMITED_FROM: u32 = 100_000;
/// Tokens taken at once from the shared bucket; those not used within a second are void.
const SHARED_TAKE: u32 = 5;
/// A send waits so long for those before it to turn out as repeats, each of which is answered sooner.
const DECIDED_WITHIN: Duration = Duration::from_secs(5);

/// What the rate says about one send.
#[derive(Debug)]
pub enum Rate {
    Allowed(SendToken),
    /// Over the rate: it may still be looked up as a repeat (`Command::Send` with `over_rate_ms`).
    Over {
        retry_after_ms: u64,
    },
    /// Over the rate, and over the number of look-ups: refused at once.
    Refused {
        retry_after_ms: u64,
    },
}

/// Taken for one send, and used up by it, unless it turns out to be a repeat.
#[must_use]
pub struct SendToken {
    /// None where nobody is counted.
    counted: Option<(Arc<App>, UserId)>,
    is_used: bool,
}

impl SendToken {
    pub fn give_back(mut self) {
        self.is_used = false;
    }
}

impl Drop for SendToken {
    fn drop(&mut self) {
        if let Some((app, user)) = self.counted.take() {
            let rate = rate_of(&app);
            app.rates.sends.decide(user, self.is_used, SHARED_TAKE, rate, app.clock.now());
        }
    }
}

impl std::fmt::Debug for SendToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SendToken")
    }
}

/// Takes one token for a send. Only sends that are no repeats count, and which are is known when they were looked up: where all
/// tokens are taken, one more send waits for those on their way.
pub async fn check_send(app: &Arc<App>, user: UserId) -> Rate {
    if let Ok(token) = take_send(app, user).await {
        return Rate::Allowed(token);
    }
    let sends = &app.rates.sends;
    let deadline = tokio::time::Instant::now() + DECIDED_WITHIN;
    loop {
        let rate = rate_of(app);
        let decided = sends.next_decided(user, rate, app.clock.now());
        let retry_after_ms = match take_send(app, user).await {
            Ok(token) => return Rate::Allowed(token),
            Err(retry_after_ms) => retry_after_ms,
        };
        let Some(decided) = decided else { return over(app, user, retry_after_ms) };
        // By then there is another one anyway.
        let refilled = tokio::time::Instant::now() + Duration::from_millis(retry_after_ms);
        if tokio::time::timeout_at(deadline.min(refilled), decided).await.is_err() && refilled >= deadline {
            return over(app, user, retry_after_ms);
        }
    }
}

/// The same without waiting, for who has taken some already.
pub async fn check_send_now(app: &Arc<App>, user: UserId) -> Rate {
    match take_send(app, user).await {
        Ok(token) => Rate::Allowed(token),
        Err(retry_after_ms) => over(app, user, retry_after_ms),
    }
}

async fn take_send(app: &Arc<App>, user: UserId) -> Result<SendToken, u64> {
    if !is_counted(app) {
        return Ok(SendToken { counted: None, is_used: true });
    }
    take(app, &app.rates.sends, "send", user).await?;
    let rate = rate_of(app);
    app.rates.sends.begin(user, rate, app.clock.now());
    Ok(SendToken { counted: Some((Arc::clone(app), user)), is_used: true })
}

fn over(app: &App, user: UserId, retry_after_ms: u64) -> Rate {
    let rate = rate_of(app);
    let may_look_up = app.rates.sends.take_look_up(user, rate, app.clock.now());
    if may_look_up { Rate::Over { retry_after_ms } } else { Rate::Refused { retry_after_ms } }
}

/// What was over the rate turned out to be a repeat: may it be answered, or when again?
pub fn count_repeat(app: &App, user: UserId) -> Result<(), u64> {
    let rate = rate_of(app);
    app.rates.sends.take_repeat(user, rate, app.clock.now())
}

/// Messages a second, and at once, of each user.
fn rate_of(app: &App) -> f64 {
    f64::from(app.settings.load().max_messages_per_second)
}

/// Whether anybody's rate is counted at all.
pub fn is_counted(app: &App) -> bool {
    app.settings.load().max_messages_per_second < UNLIMITED_FROM
}

/// Takes one token for a recall, an edit, a reaction or a pin: allowed, or when to come again.
pub async fn check_change(app: &App, user: UserId) -> Result<(), u64> {
    take(app, &app.rates.changes, "change", user).await
}

/// Takes one token for a reported event: allowed, or when to come again.
pub async fn check_event(app: &App, user: UserId) -> Result<(), u64> {
    take(app, &app.rates.events, "event", user).await
}

async fn take(app: &App, buckets: &Buckets, name: &str, user: UserId) -> Result<(), u64> {
    let per_second = app.settings.load().max_messages_per_second;
    if per_second >= UNLIMITED_FROM {
        return Ok(());
    }
    let rate = f64::from(per_second);
    if let Some(answer) = buckets.take(user, app.hub.has_user(user), rate, app.clock.now()) {
        return answer;
    }
    let taken = app.router.take(&format!("{name}:{user}"), rate, rate, SHARED_TAKE.min(per_second)).await;
    let now = app.clock.now();
    match taken {
        Ok(taken) if taken.granted > 0 => {
            buckets.borrow(user, taken.granted, rate, now);
            Ok(())
        }
        Ok(taken) => {
            let wait_ms = taken.retry_after_ms.max(1);
            buckets.set_empty(user, wait_ms, rate, now);
            Err(wait_ms)
        }
        Err(_) => buckets.take_own(user, rate, now),
    }
}
