//! How many messages a second a user may send (contract 2.7). A node that holds all of a user's sessions decides alone with a
//! bucket of its own; any other, and REST, takes from a bucket that all nodes share, a few at a time. While Redis is away each
//! node counts alone. Recalls, edits and reactions have buckets of their own of the same size, and so have reported events.

use crate::app::App;
use crate::domain::UserId;
use crate::memory::rates::Buckets;

/// From this setting on nobody is counted: load tests, and installations that limit elsewhere.
const UNLIMITED_FROM: u32 = 100_000;
/// Tokens taken at once from the shared bucket; those not used within a second are void.
const SHARED_TAKE: u32 = 5;

/// What the rate says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    Allowed,
    /// Over the rate: a send may still be looked up as a repeat (`Command::Send` with `over_rate_ms`).
    Over {
        retry_after_ms: u64,
    },
    /// Over the rate, and over the number of look-ups: refused at once.
    Refused {
        retry_after_ms: u64,
    },
}

/// Takes one token for a send.
pub async fn check_send(app: &App, user: UserId) -> Rate {
    match take(app, &app.rates.sends, "send", user).await {
        Ok(()) => Rate::Allowed,
        Err(retry_after_ms) => {
            let rate = f64::from(app.settings.load().max_messages_per_second);
            let may_look_up = app.rates.sends.take_repeat(user, rate, app.clock.now());
            if may_look_up { Rate::Over { retry_after_ms } } else { Rate::Refused { retry_after_ms } }
        }
    }
}

/// Whether anybody's rate is counted at all.
pub fn is_counted(app: &App) -> bool {
    app.settings.load().max_messages_per_second < UNLIMITED_FROM
}

/// Gives the token of a send back that turned out to be a repeat.
pub fn refund_send(app: &App, user: UserId) {
    let per_second = app.settings.load().max_messages_per_second;
    if per_second < UNLIMITED_FROM {
        app.rates.sends.give_back(user, SHARED_TAKE, f64::from(per_second), app.clock.now());
    }
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
