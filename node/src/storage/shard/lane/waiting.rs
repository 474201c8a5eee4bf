//! What waits in a lane, in its order: batches to be run again as they are, conversations that others hold locked, and all else.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::{Mode, Queued};
use crate::domain::command::Command;
use crate::domain::{ConversationId, Refusal};

/// A batch: what one transaction may do.
const BATCH_REQUESTS_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// What a request counts beside its text.
const REQUEST_BYTES: usize = 64;
/// Attempts without waiting for the lock, before one that waits.
const FREE_TRIES: u32 = 3;
/// Pause before the next attempt, doubled with each.
const LOCKED_PAUSE: Duration = Duration::from_millis(15);
/// Longest wait of a request behind a lock of others; then `unavailable`, and nothing of it was written.
const LOCKED_LIMIT: Duration = Duration::from_secs(5);
/// Requests that may wait behind the locks of others.
const LOCKED_REQUESTS_MAX: usize = 8_192;

#[derive(Default)]
pub(super) struct Waiting {
    /// First of all, one at a time: parts of a batch that was split, or a batch to be run again.
    again: VecDeque<(Vec<Queued>, Mode)>,
    locked: HashMap<ConversationId, Locked>,
    locked_requests: usize,
    fresh: VecDeque<Queued>,
    /// The number of the last that was taken in.
    last_number: u64,
}

struct Locked {
    tries: u32,
    next: Instant,
    requests: VecDeque<Queued>,
}

impl Locked {
    /// Puts it where it belongs: batches that come back bring what is older than some that waits here, and newer than other.
    fn insert(&mut self, queued: Queued) {
        let place = self.requests.partition_point(|other| other.number < queued.number);
        self.requests.insert(place, queued);
    }
}

impl Waiting {
    pub fn push(&mut self, mut queued: Queued) {
        self.last_number += 1;
        queued.number = self.last_number;
        self.fresh.push_back(queued);
    }

    pub fn fresh_len(&self) -> usize {
        self.fresh.len()
    }

    pub fn is_empty(&self) -> bool {
        self.again.is_empty() && self.locked.is_empty() && self.fresh.is_empty()
    }

    /// When there is something to do: `None` with nothing waiting, else a moment that may be past.
    pub fn next_at(&self, now: Instant) -> Option<Instant> {
        if !self.again.is_empty() || !self.fresh.is_empty() {
            return Some(now);
        }
        self.locked.values().map(|locked| locked.next).min()
    }

    /// To be run before all else, in this order.
    pub fn put_back(&mut self, batch: Vec<Queued>, mode: Mode) {
        if !batch.is_empty() {
            self.again.push_front((batch, mode));
        }
    }

    /// A batch that the database refused: its halves, in its order.
    pub fn split(&mut self, mut batch: Vec<Queued>, mode: Mode) {
        let second = batch.split_off(batch.len() / 2);
        self.put_back(second, mode);
        self.put_back(batch, mode);
    }

    /// Locked by others, at this try.
    pub fn put_locked(&mut self, skipped: Vec<Queued>, now: Instant) {
        let mut conversations: Vec<ConversationId> = Vec::new();
        for queued in skipped {
            let id = queued.request.conversation.id();
            if !conversations.contains(&id) {
                conversations.push(id);
            }
            let locked =
                self.locked.entry(id).or_insert_with(|| Locked { tries: 0, next: now, requests: VecDeque::new() });
            locked.insert(queued);
            self.locked_requests += 1;
        }
        for id in conversations {
            if let Some(locked) = self.locked.get_mut(&id) {
                // After an attempt that waited it begins anew, more slowly than at first.
                locked.tries = if locked.tries >= FREE_TRIES { 1 } else { locked.tries + 1 };
                locked.next = now + LOCKED_PAUSE * 2_u32.pow(locked.tries);
            }
        }
    }

    /// The lock was had: what waits behind goes on as fresh, before all that came later.
    pub fn release(&mut self, conversation: ConversationId) {
        if let Some(locked) = self.locked.remove(&conversation) {
            self.locked_requests -= locked.requests.len();
            for queued in locked.requests.into_iter().rev() {
                self.fresh.push_front(queued);
            }
        }
    }

    pub fn has_locked(&self) -> bool {
        !self.locked.is_empty()
    }

    /// The next batch: all that waits, up to the bounds.
    pub fn take(&mut self, now: Instant) -> (Vec<Queued>, Mode) {
        if let Some((batch, mode)) = self.again.pop_front() {
            let batch = self.without_locked(batch);
            return (batch, mode);
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut mode = Mode::Waiting;
        let due: Vec<ConversationId> =
            self.locked.iter().filter(|(_, locked)| locked.next <= now).map(|(id, _)| *id).collect();
        for id in due {
            let Some(locked) = self.locked.get_mut(&id) else { continue };
            if locked.tries >= FREE_TRIES {
                if !batch.is_empty() {
                    continue;
                }
                // Waited for alone, so that it costs others one lock time-out at most.
                fill(&mut batch, &mut bytes, &mut locked.requests, &mut self.locked_requests);
                return (batch, Mode::Waiting);
            }
            mode = Mode::Free;
            fill(&mut batch, &mut bytes, &mut locked.requests, &mut self.locked_requests);
        }
        while batch.len() < BATCH_REQUESTS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(queued) = self.fresh.pop_front() else { break };
            if let Some(queued) = self.unless_locked(queued) {
                bytes += size_of_request(&queued);
                batch.push(queued);
            }
        }
        (batch, mode)
    }

    fn without_locked(&mut self, batch: Vec<Queued>) -> Vec<Queued> {
        if self.locked.is_empty() {
            return batch;
        }
        batch.into_iter().filter_map(|queued| self.unless_locked(queued)).collect()
    }

    /// Keeps it with what waits for the same conversation.
    fn unless_locked(&mut self, queued: Queued) -> Option<Queued> {
        let Some(locked) = self.locked.get_mut(&queued.request.conversation.id()) else { return Some(queued) };
        if self.locked_requests >= LOCKED_REQUESTS_MAX {
            queued.refuse(Refusal::Overloaded { retry_after_ms: 1_000 });
        } else {
            locked.insert(queued);
            self.locked_requests += 1;
        }
        None
    }

    /// Answers `unavailable` to everything that has waited longer than `limit`: the database does not answer.
    pub fn refuse_older(&mut self, limit: Duration, now: Instant) {
        let is_old = |queued: &Queued| now.saturating_duration_since(queued.since) > limit;
        for (batch, _) in &mut self.again {
            refuse_some(batch, is_old);
        }
        self.again.retain(|(batch, _)| !batch.is_empty());
        while self.fresh.front().is_some_and(is_old) {
            if let Some(queued) = self.fresh.pop_front() {
                queued.refuse(Refusal::Unavailable);
            }
        }
        self.refuse_locked(limit, now);
    }

    /// The same for what waits behind locks of others, which may take longer.
    pub fn refuse_locked_too_long(&mut self, now: Instant) {
        self.refuse_locked(LOCKED_LIMIT, now);
    }

    fn refuse_locked(&mut self, limit: Duration, now: Instant) {
        for locked in self.locked.values_mut() {
            while locked.requests.front().is_some_and(|queued| now.saturating_duration_since(queued.since) > limit) {
                self.locked_requests -= 1;
                if let Some(queued) = locked.requests.pop_front() {
                    queued.refuse(Refusal::Unavailable);
                }
            }
        }
        self.locked.retain(|_, locked| !locked.requests.is_empty());
    }

    /// At the end of the node.
    pub fn refuse_all(&mut self) {
        self.refuse_older(Duration::ZERO, Instant::now() + Duration::from_secs(1));
    }
}

fn fill(batch: &mut Vec<Queued>, bytes: &mut usize, from: &mut VecDeque<Queued>, count: &mut usize) {
    while batch.len() < BATCH_REQUESTS_MAX && *bytes < BATCH_BYTES_MAX {
        let Some(queued) = from.pop_front() else { break };
        *count -= 1;
        *bytes += size_of_request(&queued);
        batch.push(queued);
    }
}

/// Refuses those of a batch that are old and keeps the others in their order.
pub(super) fn refuse_some(batch: &mut Vec<Queued>, is_old: impl Fn(&Queued) -> bool) {
    for queued in std::mem::take(batch) {
        if is_old(&queued) {
            queued.refuse(Refusal::Unavailable);
        } else {
            batch.push(queued);
        }
    }
}

/// Bytes that a request may bring into the transaction, roughly.
fn size_of_request(queued: &Queued) -> usize {
    let text = match &queued.request.command {
        Command::Send { message, .. } => {
            let metadata = message.message.metadata.as_ref().map_or(0, |metadata| metadata.get().len());
            message.message.content.as_ref().map_or(0, String::len) + metadata
        }
        Command::Edit { content, .. } => content.len(),
        _ => 0,
    };
    text + REQUEST_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::{Actor, Position};
    use crate::domain::{ConversationRef, Seq, UserId};
    use crate::storage::shard::lane::Request;

    fn request(conversation: ConversationRef, seq: i64) -> Queued {
        let actor = Actor { id: UserId::random(), name: "somebody".into() };
        let command = Command::Read { position: Position::At(Seq(seq)) };
        Queued::new(Request { conversation, actor, command, origin: None, reply: Box::new(|_| {}) })
    }

    fn seqs(batch: &[Queued]) -> Vec<i64> {
        let seq = |queued: &Queued| match queued.request.command {
            Command::Read { position: Position::At(seq) } => seq.0,
            _ => 0,
        };
        batch.iter().map(seq).collect()
    }

    #[test]
    fn what_is_tried_again_behind_a_lock_keeps_its_order_though_the_connection_is_lost() {
        let mut waiting = Waiting::default();
        let chat = ConversationRef::direct(UserId::random(), UserId::random());
        let start = Instant::now();
        waiting.push(request(chat, 1));
        waiting.push(request(chat, 2));
        let (batch, _) = waiting.take(start);
        waiting.put_locked(batch, start);
        waiting.push(request(chat, 3));
        let (batch, mode) = waiting.take(start + LOCKED_PAUSE * 2);
        assert_eq!((seqs(&batch), mode), (vec![1, 2], Mode::Free));
        // The connection is lost before it is known whether the lock is had.
        waiting.split(batch, mode);
        waiting.push(request(chat, 4));
        assert!(waiting.take(start + LOCKED_PAUSE * 2).0.is_empty());
        assert!(waiting.take(start + LOCKED_PAUSE * 2).0.is_empty());
        let (batch, _) = waiting.take(start + LOCKED_PAUSE * 2);
        assert_eq!(seqs(&batch), [1, 2, 3]);
        waiting.release(chat.id());
        assert_eq!(seqs(&waiting.take(start + LOCKED_PAUSE * 2).0), [4]);
    }
}
