//! Locks that one node holds for a while, with a value that says how far the work under them has got. The work must bear being done
//! twice: a holder that was paused finds out only when it renews.

use std::time::Duration;

use redis::Value;
use uuid::Uuid;

use crate::scripts::call;
use crate::{Router, RouterError, value};

/// How long the value outlives its holder.
const VALUE_TTL_MS: u64 = 60 * 60 * 1_000;

/// Proof of holding a lock, until its time runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// How far the last holder got; empty if nobody has said so within an hour.
    pub value: String,
    name: String,
    holder: Uuid,
}

impl Router {
    /// `None` if someone else holds it.
    pub async fn try_lock(&self, name: &str, ttl: Duration) -> Result<Option<Lock>, RouterError> {
        let holder = Uuid::new_v4();
        let mut command = call(&self.shared.scripts.lock_take, &self.shared.keys.lock(name));
        command.arg(holder.to_string()).arg(millis(ttl)).arg(VALUE_TTL_MS.max(millis(ttl)));
        let answer = self.shared.run_one(command).await?;
        if matches!(answer, Value::Nil | Value::Boolean(false)) {
            return Ok(None);
        }
        let value = value::text(&answer).ok_or(RouterError::Unexpected("lock"))?.to_owned();
        Ok(Some(Lock { value, name: name.to_owned(), holder }))
    }

    /// Prolongs it and writes down how far the holder got. False: it is lost, and nothing was written.
    pub async fn renew_lock(&self, lock: &Lock, ttl: Duration, value: &str) -> Result<bool, RouterError> {
        let mut command = call(&self.shared.scripts.lock_renew, &self.shared.keys.lock(&lock.name));
        command.arg(lock.holder.to_string()).arg(millis(ttl)).arg(VALUE_TTL_MS.max(millis(ttl))).arg(value);
        Ok(self.shared.run_one(command).await? == Value::Int(1))
    }

    /// Gives it back, if it is still held. The last value written stays.
    pub async fn unlock(&self, lock: Lock) -> Result<(), RouterError> {
        let mut command = call(&self.shared.scripts.lock_give, &self.shared.keys.lock(&lock.name));
        command.arg(lock.holder.to_string());
        self.shared.run_one(command).await.map(drop)
    }
}

/// A time to live as Redis takes it: at least 1.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX))
}
