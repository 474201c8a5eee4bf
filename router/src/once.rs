//! Things that may be used once, such as a token in a URL.

use std::time::Duration;

use redis::Value;
use uuid::Uuid;

use crate::lock::millis;
use crate::{Router, RouterError};

impl Router {
    /// True for the first use of this key within `ttl`. Says nothing about uses before [`Router::redis_born_ms`].
    pub async fn use_once(&self, key: Uuid, ttl: Duration) -> Result<bool, RouterError> {
        let mut command = redis::cmd("SET");
        command.arg(self.shared.keys.once(key)).arg(1).arg("NX").arg("PX").arg(millis(ttl));
        Ok(self.shared.run_one(command).await? != Value::Nil)
    }
}
