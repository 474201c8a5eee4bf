//! What a session was given, and what its client has of that: said by it, or proved by the Pong of a Ping.

use std::time::Instant;

use super::{Log, PING_QUIET, Pinged, SessionHandle};
use crate::domain::{ConversationId, Seq};

impl SessionHandle {
    /// All up to `seq` was read for this session, and was given or left out on purpose: by offline delivery, or by a sync.
    pub fn given(&self, log: Log, seq: Seq) {
        self.state.lock().received.give_up_to(log, seq);
        self.wake.notify_one();
    }

    /// The client says that it holds all up to `seq` (`seen`).
    pub fn claimed(&self, conversation: ConversationId, seq: Seq) {
        self.state.lock().received.claim_up_to(conversation, seq);
        self.wake.notify_one();
    }

    /// The session was given all that its user had missed (offline delivery or a sync by a cursor is done).
    pub fn set_whole(&self) {
        self.state.lock().received.set_whole();
    }

    /// The client has all up to `seq` (`ack`, `read`).
    pub fn acknowledge(&self, conversation: ConversationId, seq: Seq) {
        self.state.lock().received.acknowledge(conversation, seq);
    }

    /// A Pong came for the Ping of this number. False: none was waited for.
    pub(crate) fn ponged(&self, number: u64) -> bool {
        let was_waited_for = self.state.lock().received.pong(number);
        if was_waited_for {
            self.wake.notify_one();
        }
        was_waited_for
    }

    /// Positions that are to be written down; they count as written from now on.
    pub fn take_received(&self) -> Vec<(ConversationId, Seq)> {
        self.state.lock().received.take_unwritten()
    }

    /// Those that could not be written.
    pub fn put_back_received(&self, positions: &[(ConversationId, Seq)]) {
        self.state.lock().received.put_back(positions);
    }

    /// Queues a Ping where one would prove something and it is time for one. Called when nothing waits to be written.
    pub(crate) fn ping(&self) -> Pinged {
        let mut state = self.state.lock();
        if state.close.is_some() || !state.received.wants_ping() {
            return Pinged::NotNeeded;
        }
        let now = Instant::now();
        let is_quiet = state.wrote_at.is_none_or(|at| now.duration_since(at) >= PING_QUIET);
        if !is_quiet && !state.is_ping_due(now) {
            return Pinged::Later;
        }
        let ping = state.ping(now);
        self.push(&mut state, ping, true);
        Pinged::Now
    }

    /// True if the session was not yet in the list of those who want a Ping a little later.
    pub(crate) fn begin_ping_wait(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().waits_for_ping, true)
    }

    /// The time has come: the writer, woken, sends the Ping.
    pub(crate) fn end_ping_wait(&self) {
        self.state.lock().waits_for_ping = false;
        self.wake.notify_one();
    }
}
