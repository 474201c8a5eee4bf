//! Crash points: places where a test makes the node kill itself, as a power cut would, or stop, as a starved machine would. Only a
//! configuration for development may name one.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::config::Config;

/// Where a node can be made to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The lane holds its row locks and has judged nothing.
    AfterLock,
    /// All is written, COMMIT is not sent.
    BeforeCommit,
    /// PostgreSQL has answered COMMIT; nobody else knows.
    AfterCommit,
    /// The bus has taken the deliveries; the senders have no answer.
    AfterBus,
    /// The answers are made and not sent.
    BeforeAck,
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "after_lock" => Self::AfterLock,
            "before_commit" => Self::BeforeCommit,
            "after_commit" => Self::AfterCommit,
            "after_bus" => Self::AfterBus,
            "before_ack" => Self::BeforeAck,
            _ => return Err(format!("unknown crash point {text:?}")),
        })
    }
}

/// At most one armed point: `after_commit`, or `after_commit:3` for the third time it is reached; with `stop:` before it the node
/// stops there until it is continued from outside.
#[derive(Clone, Debug, Default)]
pub struct CrashPoint {
    armed: Option<Armed>,
}

#[derive(Clone, Debug)]
struct Armed {
    point: Point,
    left: Arc<AtomicU32>,
    signal: Signal,
}

impl CrashPoint {
    /// Reads `crash_point`; refuses it outside development.
    pub fn from_config(config: &Config) -> Result<Self, String> {
        let Some(text) = config.crash_point.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        if !config.is_development {
            return Err("crash_point is for development only".to_owned());
        }
        let (signal, place) = text.strip_prefix("stop:").map_or((Signal::KILL, text), |place| (Signal::STOP, place));
        let (name, times) = place.split_once(':').unwrap_or((place, "1"));
        let times: u32 = times.parse().map_err(|_| format!("no number of times in {text:?}"))?;
        Ok(Self { armed: Some(Armed { point: name.parse()?, left: Arc::new(AtomicU32::new(times.max(1))), signal }) })
    }

    /// Whether this point is the armed one: what would be done in one step is then done in two.
    pub fn is_armed(&self, point: Point) -> bool {
        self.armed.as_ref().is_some_and(|armed| armed.point == point)
    }

    /// Dies or stops here if this is the armed point and its time has come. Nothing is flushed, closed or said.
    pub fn reach(&self, point: Point) {
        let Some(armed) = &self.armed else { return };
        if armed.point == point && armed.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), armed.signal);
        }
    }
}
