//! Uses of `ws_token`s that this node has seen, and those that others have yet to learn.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::domain::Timestamp;

/// Uses that may wait for a database that is away; beyond, the oldest are forgotten (the others still know them).
const WAITING_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub struct UsedTokens {
    /// With the end of each token's life.
    here: Mutex<HashMap<Uuid, Timestamp>>,
    /// Decided by Redis, and not yet in the directory, which decides while Redis is away.
    unwritten: Mutex<Vec<Uuid>>,
    /// Decided by the directory, and not yet told to Redis.
    untold: Mutex<Vec<(Uuid, Timestamp)>>,
}

impl UsedTokens {
    /// False where it was used here before.
    pub fn begin(&self, token: Uuid, expires_at: Timestamp) -> bool {
        self.here.lock().insert(token, expires_at).is_none()
    }

    /// Nobody could say whether it was used elsewhere.
    pub fn undo(&self, token: Uuid) {
        self.here.lock().remove(&token);
    }

    /// Forgets tokens whose life has ended.
    pub fn forget(&self, now: Timestamp) {
        self.here.lock().retain(|_, expires_at| *expires_at > now);
    }

    pub fn add_unwritten(&self, token: Uuid) {
        push_bounded(&mut self.unwritten.lock(), token);
    }

    pub fn take_unwritten(&self) -> Vec<Uuid> {
        std::mem::take(&mut *self.unwritten.lock())
    }

    /// Those that could not be written wait again, as far as there is room.
    pub fn put_back_unwritten(&self, uses: Vec<Uuid>) {
        let mut waiting = self.unwritten.lock();
        let room = WAITING_MAX.saturating_sub(waiting.len());
        waiting.extend(uses.into_iter().rev().take(room));
    }

    pub fn add_untold(&self, token: Uuid, expires_at: Timestamp) {
        push_bounded(&mut self.untold.lock(), (token, expires_at));
    }

    pub fn take_untold(&self) -> Vec<(Uuid, Timestamp)> {
        std::mem::take(&mut *self.untold.lock())
    }
}

fn push_bounded<T>(queue: &mut Vec<T>, item: T) {
    if queue.len() >= WAITING_MAX {
        queue.remove(0);
    }
    queue.push(item);
}

/// How long the use of a token has to be remembered.
pub fn life_left(expires_at: Timestamp, now: Timestamp) -> Duration {
    expires_at.since(now).max(Duration::from_secs(1))
}
