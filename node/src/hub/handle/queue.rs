//! What waits for a session's socket.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// A paced frame waits until fewer bytes than this wait for the socket.
const PACED_BYTES_MAX: usize = 64 * 1024;

/// Bytes of whole frames in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub bytes: Bytes,
    /// Counts for 4030; pages that are made as the socket drains do not.
    pub is_counted: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    frames: VecDeque<Outgoing>,
    /// Bytes that wait for the socket, paced ones and those being written included.
    waiting_bytes: usize,
    /// Bytes that wait and count for 4030.
    counted_bytes: usize,
    /// When bytes were last written, or began to wait.
    moved_at: Option<Instant>,
}

impl Queue {
    pub fn push(&mut self, outgoing: Outgoing) {
        if self.waiting_bytes == 0 {
            self.moved_at = Some(Instant::now());
        }
        self.waiting_bytes += outgoing.bytes.len();
        if outgoing.is_counted {
            self.counted_bytes += outgoing.bytes.len();
        }
        self.frames.push_back(outgoing);
    }

    pub fn move_last_to_front(&mut self) {
        if let Some(last) = self.frames.pop_back() {
            self.frames.push_front(last);
        }
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub const fn counted_bytes(&self) -> usize {
        self.counted_bytes
    }

    /// For another paced frame.
    pub const fn has_room(&self) -> bool {
        self.waiting_bytes < PACED_BYTES_MAX
    }

    /// Moves all that waits into `batch`, which is empty; the bytes go on to count as waiting. False: there is nothing.
    pub fn take(&mut self, batch: &mut VecDeque<Outgoing>) -> bool {
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
            return false;
        }
        std::mem::swap(&mut self.frames, batch);
        true
    }

    /// Bytes that go out with a batch that was taken.
    pub const fn add_taken(&mut self, bytes: Bytes) -> Outgoing {
        self.waiting_bytes += bytes.len();
        Outgoing { bytes, is_counted: false }
    }

    pub fn written(&mut self, total: usize, counted: usize, now: Instant) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(total);
        self.counted_bytes = self.counted_bytes.saturating_sub(counted);
        self.moved_at = if self.waiting_bytes == 0 { None } else { Some(now) };
    }

    /// How long bytes have waited without any being written.
    pub fn stalled_for(&self) -> Duration {
        self.moved_at.map(|at| at.elapsed()).unwrap_or_default()
    }

    pub fn drop_frames(&mut self) {
        self.frames = VecDeque::new();
    }

    pub fn into_frames(self) -> impl Iterator<Item = Outgoing> {
        self.frames.into_iter()
    }
}
