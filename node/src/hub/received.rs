//! What a session was given of each conversation, and what of that is proved to be received: by the Pong of a Ping sent after
//! it, or by `ack`. Pure state; the writer sends the Pings, `service::sessions::mark_received` writes the positions down.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::domain::{ConversationId, Seq};

/// Conversations followed per session. Past it new ones are not followed: their messages may come again after a reconnect.
const CONVERSATIONS_MAX: usize = 4_096;

/// Positions in one log, each at or above the next: given, proved if the outstanding Ping is answered, proved, written down.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// Highest entry given without a hole below it.
    given: Seq,
    pinged: Seq,
    received: Seq,
    flushed: Seq,
    /// All up to here the client says that it has: entries that come after all are given to it nevertheless.
    acknowledged: Seq,
    /// An entry above `given` came without those between: not known to be whole before a fill, a sync or an ack.
    has_hole: bool,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that are true or not, each by itself")]
pub struct Received {
    runs: HashMap<ConversationId, Run>,
    /// Number of the last Ping.
    ping: u64,
    is_ping_outstanding: bool,
    /// Something was given since the last Ping.
    is_dirty: bool,
    /// The session has been given all that its user had missed anywhere: only then does the first live entry of a conversation follow
    /// on something that was received.
    is_whole: bool,
    /// Entries were given of conversations that are not followed: what comes of such must not count as following nothing.
    has_overflowed: bool,
}

impl Received {
    /// Offline delivery, or a sync by a cursor, is done.
    pub fn set_whole(&mut self) {
        self.is_whole = true;
    }

    /// A log entry was put into the session's queue. In a whole session the first of a conversation follows on what the session began
    /// with: all before it was received earlier, or given by offline delivery or sync, which say so with [`Received::give_up_to`].
    /// In others only conversations are followed of which that was said.
    pub fn give(&mut self, conversation: ConversationId, seq: Seq) {
        self.is_dirty |= self.follow(conversation, seq).is_some();
    }

    /// An entry that this session made itself: known to it, so it adds nothing that is to be proved.
    pub fn give_own(&mut self, conversation: ConversationId, seq: Seq) {
        let Some(run) = self.follow(conversation, seq) else { return };
        let before = seq.previous();
        if run.received == before {
            run.received = seq;
        }
        if run.flushed == before {
            run.flushed = seq;
        }
    }

    /// Moves a conversation's run on to this entry; none where the entry does not follow on it, or the conversation is not followed.
    fn follow(&mut self, conversation: ConversationId, seq: Seq) -> Option<&mut Run> {
        let is_full = self.runs.len() >= CONVERSATIONS_MAX;
        let before = seq.previous();
        let run = match self.runs.entry(conversation) {
            Entry::Occupied(run) => run.into_mut(),
            Entry::Vacant(_) if !self.is_whole => return None,
            Entry::Vacant(_) if self.has_overflowed || is_full => {
                self.has_overflowed = true;
                return None;
            }
            Entry::Vacant(place) => {
                place.insert(Run { given: before, pinged: before, received: before, flushed: before, ..Run::default() })
            }
        };
        if seq != run.given.next() {
            run.has_hole |= seq > run.given;
            return None;
        }
        run.given = seq;
        Some(run)
    }

    /// True if this entry was given before, or counts as given: an entry that was read by a sync and came live a moment later. What
    /// is only said to be received, by an `ack` beyond what was given, may yet come.
    pub fn has(&self, conversation: ConversationId, seq: Seq) -> bool {
        self.runs.get(&conversation).is_some_and(|run| seq <= run.given && seq > run.acknowledged)
    }

    /// All up to `seq` counts as given, whether it was or was left out on purpose.
    pub fn give_up_to(&mut self, conversation: ConversationId, seq: Seq) {
        if let Some(run) = self.run(conversation)
            && seq > run.given
        {
            run.given = seq;
            run.has_hole = false;
            self.is_dirty = true;
        }
    }

    /// The client says that it has all up to `seq`.
    pub fn acknowledge(&mut self, conversation: ConversationId, seq: Seq) {
        if let Some(run) = self.run(conversation)
            && seq > run.received
        {
            run.received = seq;
            if seq > run.given {
                run.given = seq;
                run.acknowledged = seq;
            }
            run.has_hole &= seq < run.given;
        }
    }

    fn run(&mut self, conversation: ConversationId) -> Option<&mut Run> {
        if self.runs.len() >= CONVERSATIONS_MAX && !self.runs.contains_key(&conversation) {
            self.has_overflowed = true;
            return None;
        }
        Some(self.runs.entry(conversation).or_default())
    }

    /// True when a Ping would prove something that no outstanding Ping proves.
    pub const fn wants_ping(&self) -> bool {
        self.is_dirty && !self.is_ping_outstanding
    }

    /// The number of a Ping to be queued now: its Pong proves all that was given until now.
    pub fn ping(&mut self) -> u64 {
        self.ping += 1;
        self.is_ping_outstanding = true;
        self.is_dirty = false;
        for run in self.runs.values_mut() {
            run.pinged = run.given;
        }
        self.ping
    }

    /// A Pong came; others than that of the last Ping prove nothing.
    pub fn pong(&mut self, number: u64) -> bool {
        if !self.is_ping_outstanding || number != self.ping {
            return false;
        }
        self.is_ping_outstanding = false;
        for run in self.runs.values_mut() {
            run.received = run.received.max(run.pinged);
        }
        true
    }

    /// Positions to be written down, which then count as written. Conversations in which nothing is open are forgotten.
    pub fn take_unwritten(&mut self) -> Vec<(ConversationId, Seq)> {
        let (mut positions, is_whole) = (Vec::new(), self.is_whole);
        self.runs.retain(|conversation, run| {
            if run.received > run.flushed {
                positions.push((*conversation, run.received));
                run.flushed = run.received;
            }
            !is_whole || run.has_hole || run.given > run.received
        });
        if self.runs.is_empty() {
            self.runs.shrink_to_fit();
        }
        positions
    }

    /// Positions that could not be written are kept for the next time.
    pub fn put_back(&mut self, positions: &[(ConversationId, Seq)]) {
        for (conversation, seq) in positions {
            if let Some(run) = self.run(*conversation) {
                run.received = run.received.max(*seq);
                run.given = run.given.max(*seq);
                run.flushed = run.flushed.min(seq.previous());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> ConversationId {
        ConversationId::random()
    }

    fn whole() -> Received {
        let mut received = Received::default();
        received.set_whole();
        received
    }

    #[test]
    fn a_session_that_was_not_given_all_follows_only_what_it_was_given() {
        let (mut received, a, b) = (Received::default(), conversation(), conversation());
        received.give_up_to(a, Seq(4));
        received.give(a, Seq(5));
        received.give(b, Seq(9));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(5))]);
        received.give(a, Seq(6));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(6))]);
    }

    #[test]
    fn a_pong_proves_what_was_given_before_its_ping() {
        let (mut received, a) = (whole(), conversation());
        received.give(a, Seq(7));
        assert!(received.wants_ping());
        let number = received.ping();
        received.give(a, Seq(8));
        assert!(!received.wants_ping(), "one is outstanding");
        assert!(!received.pong(number + 1));
        assert!(received.pong(number));
        assert_eq!(received.take_unwritten(), vec![(a, Seq(7))]);
        assert!(received.wants_ping());
        let number = received.ping();
        assert!(received.pong(number));
        assert_eq!(received.take_unwritten(), vec![(a, Seq(8))]);
        assert_eq!(received.take_unwritten(), vec![]);
        assert!(received.runs.is_empty());
    }

    #[test]
    fn an_entry_beyond_a_hole_proves_nothing() {
        let (mut received, a) = (whole(), conversation());
        received.give(a, Seq(1));
        received.give(a, Seq(3));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(1))]);
        received.give(a, Seq(4));
        received.give_up_to(a, Seq(4));
        received.give(a, Seq(5));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(5))]);
    }

    #[test]
    fn an_ack_counts_at_once_and_never_goes_back() {
        let (mut received, a) = (whole(), conversation());
        received.acknowledge(a, Seq(9));
        received.acknowledge(a, Seq(2));
        assert_eq!(received.take_unwritten(), vec![(a, Seq(9))]);
        received.put_back(&[(a, Seq(9))]);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(9))]);
    }

    #[test]
    fn what_is_acknowledged_before_it_came_is_given_when_it_comes() {
        let (mut received, a) = (whole(), conversation());
        received.give(a, Seq(1));
        received.acknowledge(a, Seq(1));
        assert!(received.has(a, Seq(1)), "given and acknowledged");
        received.acknowledge(a, Seq(9));
        assert!(!received.has(a, Seq(2)) && !received.has(a, Seq(10)));
        received.give(a, Seq(10));
        assert!(received.has(a, Seq(10)));
        let number = received.ping();
        received.pong(number);
        assert_eq!(
            received.take_unwritten(),
            vec![(a, Seq(10))],
            "what follows the acknowledged follows without a hole"
        );
    }

    #[test]
    fn the_number_of_conversations_is_bounded() {
        let mut received = whole();
        for _ in 0..CONVERSATIONS_MAX {
            received.give(conversation(), Seq(1));
        }
        let late = conversation();
        received.give(late, Seq(1));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten().len(), CONVERSATIONS_MAX);
        received.give(late, Seq(2));
        assert!(!received.wants_ping(), "the one before was not followed");
    }
}
