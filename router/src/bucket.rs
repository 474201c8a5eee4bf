//! Buckets of tokens that all nodes share, filled by Redis's clock.

use crate::scripts::call;
use crate::{Router, RouterError, value};

/// What [`Router::take`] gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Take {
    pub granted: u32,
    /// When one more will be there; 0 if all that was wanted was granted.
    pub retry_after_ms: u64,
}

impl Router {
    /// Takes up to `want` from a bucket such as `send:<user>`, which holds `burst` and fills at `rate_per_s`. Both may change any time.
    pub async fn take(&self, bucket: &str, rate_per_s: f64, burst: f64, want: u32) -> Result<Take, RouterError> {
        if !(rate_per_s > 0.0 && rate_per_s.is_finite() && burst >= 1.0 && burst.is_finite()) {
            return Err(RouterError::Config("a bucket needs a rate above zero and room for one"));
        }
        let mut command = call(&self.shared.scripts.bucket_take, &self.shared.keys.bucket(bucket));
        command.arg(rate_per_s).arg(burst).arg(want);
        let answer = self.shared.run_one(command).await?;
        let unexpected = RouterError::Unexpected("bucket");
        let Some([granted, retry_after_ms]) = value::array(&answer) else {
            return Err(unexpected);
        };
        match (value::unsigned(granted).map(u32::try_from), value::unsigned(retry_after_ms)) {
            (Some(Ok(granted)), Some(retry_after_ms)) => Ok(Take { granted, retry_after_ms }),
            _ => Err(unexpected),
        }
    }
}
