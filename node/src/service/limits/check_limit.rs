//! Limits that hold over all nodes together: a node takes a few tokens at once from a bucket that all share, and while Redis is away
//! goes by its share of the limit, which is at least one.

use crate::app::App;
use crate::domain::Refusal;
use crate::domain::limits::{Limit, LimitKey};
use crate::memory::limits::Size;

/// Of a limit so much is taken at once from the shared bucket, and never more than [`TAKE_MAX`]: what is not used within a second is
/// lost to the others.
const TAKE_PART: u32 = 10;
const TAKE_MAX: u32 = 50;

/// Counts one, or says when to come again. Where nothing is limited it costs nothing.
pub async fn check_limit(app: &App, limit: Limit, key: LimitKey) -> Result<(), Refusal> {
    let count = limit.count(&app.settings.load());
    if count == 0 {
        return Ok(());
    }
    take(app, limit, key, count).await.map_err(|retry_after_ms| Refusal::RateLimited { retry_after_ms })
}

async fn take(app: &App, limit: Limit, key: LimitKey, count: u32) -> Result<(), u64> {
    let line = limit.definition();
    let size = |count: u32| {
        let burst = f64::from(count);
        Size { rate_per_s: burst / line.period.as_secs_f64(), burst }
    };
    let whole = size(count);
    if let Some(answer) = app.limits.take(limit, key, whole, app.clock.now()) {
        return answer;
    }
    let want = (count / TAKE_PART).clamp(1, TAKE_MAX);
    let taken = app.router.take(&format!("{}:{key}", line.name), whole.rate_per_s, whole.burst, want).await;
    let now = app.clock.now();
    match taken {
        Ok(taken) if taken.granted > 0 => {
            app.limits.borrow(limit, key, whole, taken.granted, now);
            Ok(())
        }
        Ok(taken) => {
            let wait_ms = taken.retry_after_ms.max(1);
            app.limits.set_empty(limit, key, whole, wait_ms, now);
            Err(wait_ms)
        }
        Err(_) => {
            let nodes = u32::try_from(app.router.last_known_boots().len()).unwrap_or(u32::MAX).saturating_add(1);
            app.limits.take_own(limit, key, size((count / nodes).max(1)), now)
        }
    }
}
