//! What a session was given of each conversation, and what of that is proved to be received: by the Pong of a Ping sent after
//! it, or by `ack`. Pure state; the writer sends the Pings, `service::sessions::mark_received` writes the positions down.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::domain::{ConversationId, Seq};

/// Conversations followed per session. Past it new ones are not followed: their messages may come again after a reconnect.
const CONVERSATIONS_MAX: usize = 4_096;

/// One conversation's log, of one epoch: a later one may have lost the end of an earlier one, and gives its seqs out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub conversation: ConversationId,
    /// 0: not known.
    pub epoch: i64,
}

/// Positions in one log, each at or above the next: given, proved if the outstanding Ping is answered, proved, written down.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// Of the log that was shown; 0 while nothing was, or where it is not known.
    epoch: i64,
    /// Highest entry given, or said by the client to be held, without a hole below it.
    given: Seq,
    pinged: Seq,
    received: Seq,
    flushed: Seq,
    /// Highest entry that came from here: what only the client says, which may be wrong, keeps nothing from it.
    shown: Seq,
    /// All up to here was read for the session by a sync or an offline delivery.
    synced: Seq,
    /// An entry above `given` came without those between: not known to be whole before a fill, a sync or an ack.
    has_hole: bool,
}

impl Run {
    /// Another log has taken the place of this one.
    const fn is_past(&self, log: Log) -> bool {
        log.epoch != 0 && log.epoch < self.epoch
    }

    /// This log has taken the place of the one that was shown.
    const fn is_to_come(&self, log: Log) -> bool {
        self.epoch != 0 && self.epoch < log.epoch
    }
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

    /// Something of this conversation, or of any, may have been missed: the next live entry does not follow on what was received.
    pub fn note_lost(&mut self, conversation: Option<ConversationId>) {
        match conversation {
            None => self.is_whole = false,
            Some(conversation) => {
                if let Some(run) = self.run(conversation) {
                    run.has_hole = true;
                }
            }
        }
    }

    /// A log entry was put into the session's queue. In a whole session the first of a conversation follows on what the session began
    /// with: all before it was received earlier, or given by offline delivery or sync, which say so with [`Received::give_up_to`].
    /// In others only conversations are followed of which that was said.
    pub fn give(&mut self, log: Log, seq: Seq) {
        self.is_dirty |= self.follow(log, seq).is_some();
    }

    /// An entry that this session made itself: known to it, so it adds nothing that is to be proved.
    pub fn give_own(&mut self, log: Log, seq: Seq) {
        let Some(run) = self.follow(log, seq) else { return };
        let before = seq.previous();
        if run.received == before {
            run.received = seq;
        }
        if run.flushed == before {
            run.flushed = seq;
        }
    }

    /// Moves a conversation's run on to this entry; none where the entry does not follow on it, or the conversation is not followed.
    fn follow(&mut self, log: Log, seq: Seq) -> Option<&mut Run> {
        self.begin_anew(log);
        let is_full = self.runs.len() >= CONVERSATIONS_MAX;
        let before = seq.previous();
        let run = match self.runs.entry(log.conversation) {
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
        if run.is_past(log) {
            return None;
        }
        run.epoch = run.epoch.max(log.epoch);
        run.shown = run.shown.max(seq);
        if seq != run.given.next() {
            run.has_hole |= seq > run.given;
            return None;
        }
        run.given = seq;
        Some(run)
    }

    /// What was given of a log whose end may be lost says nothing of the one that took its place.
    fn begin_anew(&mut self, log: Log) {
        if self.runs.get(&log.conversation).is_some_and(|run| run.is_to_come(log)) {
            self.runs.remove(&log.conversation);
        }
    }

    /// True if this entry was given before, or counts as given: an entry that was read by a sync and came live a moment later, or one
    /// of a log that another has replaced. What only the client says to hold may yet come.
    pub fn has(&self, log: Log, seq: Seq) -> bool {
        let has = |run: &Run| run.is_past(log) || (!run.is_to_come(log) && seq <= run.given && seq <= run.shown);
        self.runs.get(&log.conversation).is_some_and(has)
    }

    /// True if a sync or an offline delivery of this session has read the log as far as this entry. False also where that is forgotten,
    /// once its positions are written down (30 s): then the session syncs once more than it needs to.
    pub fn has_synced(&self, log: Log, seq: Seq) -> bool {
        self.runs.get(&log.conversation).is_some_and(|run| !run.is_to_come(log) && seq <= run.synced)
    }

    /// All up to `seq` was read for this session, and was given or left out on purpose.
    pub fn give_up_to(&mut self, log: Log, seq: Seq) {
        self.begin_anew(log);
        if let Some(run) = self.run(log.conversation) {
            if run.is_past(log) {
                return;
            }
            run.epoch = run.epoch.max(log.epoch);
            run.shown = run.shown.max(seq);
            run.synced = run.synced.max(seq);
        }
        self.claim_up_to(log.conversation, seq);
    }

    /// The client says that it holds all up to `seq`: that counts as given, and is received when the next Pong comes.
    pub fn claim_up_to(&mut self, conversation: ConversationId, seq: Seq) {
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

    fn log(conversation: ConversationId) -> Log {
        Log { conversation, epoch: 0 }
    }

    fn whole() -> Received {
        let mut received = Received::default();
        received.set_whole();
        received
    }

    #[test]
    fn a_session_that_was_not_given_all_follows_only_what_it_was_given() {
        let (mut received, a, b) = (Received::default(), conversation(), conversation());
        received.give_up_to(log(a), Seq(4));
        received.give(log(a), Seq(5));
        received.give(log(b), Seq(9));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(5))]);
        received.give(log(a), Seq(6));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(6))]);
    }

    #[test]
    fn a_pong_proves_what_was_given_before_its_ping() {
        let (mut received, a) = (whole(), conversation());
        received.give(log(a), Seq(7));
        assert!(received.wants_ping());
        let number = received.ping();
        received.give(log(a), Seq(8));
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
        received.give(log(a), Seq(1));
        received.give(log(a), Seq(3));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(a, Seq(1))]);
        received.give(log(a), Seq(4));
        received.give_up_to(log(a), Seq(4));
        received.give(log(a), Seq(5));
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
        received.give(log(a), Seq(1));
        received.acknowledge(a, Seq(1));
        assert!(received.has(log(a), Seq(1)), "given and acknowledged");
        received.acknowledge(a, Seq(9));
        assert!(!received.has(log(a), Seq(2)) && !received.has(log(a), Seq(10)));
        received.give(log(a), Seq(10));
        assert!(received.has(log(a), Seq(10)));
        let number = received.ping();
        received.pong(number);
        assert_eq!(
            received.take_unwritten(),
            vec![(a, Seq(10))],
            "what follows the acknowledged follows without a hole"
        );
    }

    #[test]
    fn what_only_the_client_says_keeps_nothing_from_it() {
        let (mut received, a) = (whole(), conversation());
        received.acknowledge(a, Seq(i64::MAX));
        received.claim_up_to(a, Seq(i64::MAX));
        received.give(log(a), Seq(5));
        assert!(received.has(log(a), Seq(5)) && !received.has(log(a), Seq(6)));
        let b = conversation();
        received.give(log(b), Seq(7));
        assert!(
            received.has(log(b), Seq(6)) && !received.has_synced(log(b), Seq(6)),
            "the first live entry says nothing of the log"
        );
        received.give_up_to(log(b), Seq(7));
        assert!(received.has_synced(log(b), Seq(7)) && !received.has_synced(log(b), Seq(8)));
    }

    #[test]
    fn seqs_that_are_given_out_again_in_a_new_epoch_are_no_repeats() {
        let (mut received, conversation) = (whole(), conversation());
        let of = |epoch| Log { conversation, epoch };
        received.give_up_to(of(1), Seq(8));
        received.give(of(1), Seq(9));
        assert!(received.has(of(1), Seq(9)) && !received.has(of(2), Seq(9)) && !received.has_synced(of(2), Seq(8)));
        received.give_up_to(of(2), Seq(5));
        assert!(received.has(of(2), Seq(5)) && !received.has(of(2), Seq(6)));
        // What is late of the old log comes no more, and moves nothing.
        assert!(received.has(of(1), Seq(10)));
        received.give_up_to(of(1), Seq(9));
        assert!(!received.has(of(2), Seq(6)));
        received.give(of(2), Seq(6));
        received.give(of(3), Seq(6));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten(), vec![(conversation, Seq(6))]);
    }

    #[test]
    fn the_number_of_conversations_is_bounded() {
        let mut received = whole();
        for _ in 0..CONVERSATIONS_MAX {
            received.give(log(conversation()), Seq(1));
        }
        let late = conversation();
        received.give(log(late), Seq(1));
        let number = received.ping();
        received.pong(number);
        assert_eq!(received.take_unwritten().len(), CONVERSATIONS_MAX);
        received.give(log(late), Seq(2));
        assert!(!received.wants_ping(), "the one before was not followed");
    }
}
