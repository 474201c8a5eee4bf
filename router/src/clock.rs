//! A clock that goes on while the machine sleeps, so that a pause of any kind is seen.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment by `CLOCK_BOOTTIME` of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// A thin wrapper that keeps the one read of the clock in one place.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Self(Duration::new(seconds, nanos))
    }

    /// How long ago this was.
    pub fn ago(self) -> Duration {
        Self::now().since(self)
    }

    /// The time from `earlier` to this; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    #[must_use]
    pub fn back_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }

    #[must_use]
    pub fn forward_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    pub(crate) fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}
