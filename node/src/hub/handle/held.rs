//! Live entries of a session that wait behind what a sync or an offline delivery gives it.

use std::collections::HashMap;

use super::super::received::Log;
use crate::domain::{ConversationId, Seq};
use crate::protocol::frame::Frame;

/// A live entry as it comes to a session.
pub(super) enum Live {
    /// Sent, unless it was given before.
    Entry(Frame),
    /// The answer to what the client asked for: sent in any case.
    Answer(Frame),
    /// The session wrote it itself, and is sent no frame of it.
    Own,
}

impl Live {
    fn len(&self) -> usize {
        match self {
            Self::Entry(frame) | Self::Answer(frame) => frame.len(),
            Self::Own => size_of::<(Self, Log, Seq)>(),
        }
    }
}

#[derive(Default)]
pub(super) struct Held {
    holds: u32,
    entries: Vec<(Live, Log, Seq)>,
    bytes: usize,
    has_lost: bool,
}

/// What goes on when no hold is left.
pub(super) struct Released {
    pub entries: Vec<(Live, Log, Seq)>,
    /// Too much had come: some of it was dropped.
    pub has_lost: bool,
}

impl Held {
    /// Holds nest.
    pub const fn hold(&mut self) {
        self.holds += 1;
    }

    pub const fn is_on_hold(&self) -> bool {
        self.holds > 0
    }

    /// Past so many bytes what others wrote is dropped, and that is said in the end. False: what the client asked for itself, which
    /// nothing else would tell it, is too much.
    #[must_use]
    pub fn keep(&mut self, live: Live, log: Log, seq: Seq, bytes_max: usize) -> bool {
        let is_entry = |live: &Live| matches!(live, Live::Entry(_));
        if !self.has_lost && self.bytes + live.len() > bytes_max {
            self.has_lost = true;
            self.retain(|live, _, _| !is_entry(live));
        }
        if self.has_lost && is_entry(&live) {
            return true;
        }
        if self.bytes + live.len() > bytes_max {
            return false;
        }
        self.bytes += live.len();
        self.entries.push((live, log, seq));
        true
    }

    fn retain(&mut self, keeps: impl Fn(&Live, Log, Seq) -> bool) {
        self.entries.retain(|(live, log, seq)| keeps(live, *log, *seq));
        self.bytes = self.entries.iter().map(|(live, ..)| live.len()).sum();
    }

    /// Whether the session itself wrote this one while it is on hold.
    pub fn has_own(&self, conversation: ConversationId, seq: Seq) -> bool {
        let is_it = |(live, log, other): &(Live, Log, Seq)| {
            matches!(live, Live::Own) && (log.conversation, *other) == (conversation, seq)
        };
        self.entries.iter().any(is_it)
    }

    /// Ends a hold, and drops what `given` has. None: another hold is left.
    pub fn release(&mut self, given: &HashMap<ConversationId, Seq>) -> Option<Released> {
        self.holds = self.holds.saturating_sub(1);
        if !given.is_empty() {
            let is_new = |log: Log, seq: Seq| given.get(&log.conversation).is_none_or(|given| seq > *given);
            self.retain(|live, log, seq| matches!(live, Live::Answer(_)) || is_new(log, seq));
        }
        if self.holds > 0 {
            return None;
        }
        self.bytes = 0;
        Some(Released { entries: std::mem::take(&mut self.entries), has_lost: std::mem::take(&mut self.has_lost) })
    }

    pub fn clear(&mut self) {
        self.entries = Vec::new();
        self.bytes = 0;
    }
}
