//! Handles of the metrics that sessions move; made once, so that counting costs a few nanoseconds.

use std::collections::HashMap;
use std::sync::LazyLock;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::domain::Refusal;
use crate::protocol::codes::{CloseCode, problem_of};

pub struct SessionMetrics {
    pub sessions: Gauge,
    /// Frames of clients, refused ones among them.
    pub frames: Counter,
    pub sends: Counter,
    /// From the whole frame of a send to its answer in the queue.
    pub answer_seconds: Histogram,
    /// From the upgrade to `success`.
    pub connect_seconds: Histogram,
    closes: HashMap<u16, Counter>,
}

pub static METRICS: LazyLock<SessionMetrics> = LazyLock::new(|| SessionMetrics {
    sessions: gauge!("herald_sessions"),
    frames: counter!("herald_frames_received_total"),
    sends: counter!("herald_sends_total"),
    answer_seconds: histogram!("herald_send_answer_seconds"),
    connect_seconds: histogram!("herald_connect_seconds"),
    closes: CODES.iter().map(|code| (*code, counter!("herald_closes_total", "code" => code.to_string()))).collect(),
});

/// Codes that the server closes with, and 1005 for sockets that ended by themselves or by their client.
const CODES: [u16; 16] =
    [1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1011, 1013, 4001, 4008, 4029, 4030, 4500, 4501];

/// A frame was refused; the reasons are the contract's codes.
pub fn count_refused(refusal: &Refusal) {
    counter!("herald_frames_refused_total", "reason" => problem_of(refusal).code).increment(1);
}

impl SessionMetrics {
    pub fn count_close(&self, code: Option<CloseCode>) {
        if let Some(counter) = self.closes.get(&code.map_or(1005, CloseCode::number)) {
            counter.increment(1);
        }
    }
}
