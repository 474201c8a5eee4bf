//! The gate of one conversation on one node: the range of seqs that this node has shown to all its sessions of members, and what has
//! come too early. A pure state machine; `service::delivery` holds the gates and does what they say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ids::Seq;

/// Entries that may wait at one gate; beyond, the earliest hole is said to be lost.
pub const WAITING_MAX: usize = 1_024;
/// A gate is forgotten this long after its last use.
pub const GATE_LIFE: Duration = Duration::from_mins(2);

/// What a gate says of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage<T> {
    /// Show these, in this order: the entry and what had waited for it.
    Out(Vec<T>),
    /// Shown before.
    Duplicate(T),
    /// Too early; a hole is to be filled. True when it is the first to wait.
    Waits { is_first: bool },
    /// The first to come of a log whose entries just before it may be on their way: they are to be read, and the gate begun before them.
    Begins,
    /// Older than all that this node has shown: its sessions may have missed it, and cannot be shown it in order any more.
    Below(T),
    /// Of a log that a newer epoch has replaced.
    Outdated(T),
    /// Too many wait already.
    Full(T),
}

#[derive(Debug)]
pub struct Gate<T> {
    epoch: i64,
    /// The range has a beginning; else it has shown nothing.
    has_begun: bool,
    first: Seq,
    last: Seq,
    used_at: Instant,
    waiting: BTreeMap<Seq, T>,
}

impl<T> Gate<T> {
    /// A gate that has shown nothing: whatever comes first passes.
    pub fn new(epoch: i64, now: Instant) -> Self {
        Self { epoch, has_begun: false, first: Seq::ZERO, last: Seq::ZERO, used_at: now, waiting: BTreeMap::new() }
    }

    /// True before the first entry.
    pub const fn is_empty(&self) -> bool {
        !self.has_begun
    }

    pub const fn last(&self) -> Seq {
        self.last
    }

    pub const fn used_at(&self) -> Instant {
        self.used_at
    }

    /// The hole to be filled: after `last`, before the first that waits.
    pub fn hole(&self) -> Option<(Seq, Seq)> {
        self.waiting.first_key_value().map(|(first, _)| (self.last, *first))
    }

    /// What has come that is furthest ahead.
    pub fn last_waiting(&self) -> Option<Seq> {
        self.waiting.last_key_value().map(|(last, _)| *last)
    }

    pub fn is_forgettable(&self, now: Instant) -> bool {
        self.waiting.is_empty() && now.saturating_duration_since(self.used_at) >= GATE_LIFE
    }

    /// Forgets what was shown, because nobody who saw it is here any more. What waits goes on to wait no longer.
    pub fn restart(&mut self) {
        self.has_begun = false;
    }

    /// Begins the range of a gate that has shown nothing after `last`; entries up to it count as older than all that was shown.
    /// Answers what may pass now.
    pub fn begin_after(&mut self, last: Seq) -> Vec<T> {
        let mut out = Vec::new();
        if self.is_empty() {
            self.has_begun = true;
            self.first = last.next();
            self.last = last;
            self.drain_into(&mut out);
        }
        out
    }

    /// `epoch` 0: not known, taken as the gate's. `has_recent_predecessor`: the entry before this one was made moments ago.
    pub fn offer(&mut self, epoch: i64, seq: Seq, has_recent_predecessor: bool, entry: T, now: Instant) -> Passage<T> {
        let epoch = if epoch == 0 { self.epoch } else { epoch };
        if epoch < self.epoch {
            return Passage::Outdated(entry);
        }
        self.used_at = now;
        if epoch > self.epoch {
            if self.epoch != 0 {
                self.waiting.clear();
                self.restart();
            }
            self.epoch = epoch;
        }
        if self.is_empty() && (has_recent_predecessor || !self.waiting.is_empty()) {
            return match self.wait(seq, entry) {
                Passage::Waits { .. } => Passage::Begins,
                other => other,
            };
        }
        if self.is_empty() {
            self.has_begun = true;
            self.first = seq;
        } else if seq < self.first {
            self.first = seq;
            return Passage::Below(entry);
        } else if seq <= self.last {
            return Passage::Duplicate(entry);
        } else if seq > self.last.next() {
            return self.wait(seq, entry);
        }
        self.last = seq;
        let mut out = vec![entry];
        self.drain_into(&mut out);
        Passage::Out(out)
    }

    fn wait(&mut self, seq: Seq, entry: T) -> Passage<T> {
        if self.waiting.contains_key(&seq) {
            return Passage::Duplicate(entry);
        }
        if self.waiting.len() >= WAITING_MAX {
            return Passage::Full(entry);
        }
        let is_first = self.waiting.is_empty();
        self.waiting.insert(seq, entry);
        Passage::Waits { is_first }
    }

    /// Gives the hole before the first waiting entry up: its entries count as shown. Answers what may pass now.
    pub fn give_up_hole(&mut self) -> Vec<T> {
        if let Some((&first, _)) = self.waiting.first_key_value() {
            if !self.has_begun {
                self.has_begun = true;
                self.first = first;
            }
            self.last = first.previous();
        }
        let mut out = Vec::new();
        self.drain_into(&mut out);
        out
    }

    fn drain_into(&mut self, out: &mut Vec<T>) {
        while let Some(waiting) = self.waiting.first_entry() {
            if *waiting.key() > self.last.next() {
                break;
            }
            let (seq, entry) = waiting.remove_entry();
            if seq > self.last {
                self.last = seq;
                out.push(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(gate: &mut Gate<i64>, seq: i64) -> Passage<i64> {
        gate.offer(1, Seq(seq), false, seq, Instant::now())
    }

    #[test]
    fn lets_the_next_pass_and_keeps_the_early_ones() {
        let mut gate = Gate::new(1, Instant::now());
        assert_eq!(offer(&mut gate, 5), Passage::Out(vec![5]));
        assert_eq!(offer(&mut gate, 8), Passage::Waits { is_first: true });
        assert_eq!(offer(&mut gate, 7), Passage::Waits { is_first: false });
        assert_eq!(gate.hole(), Some((Seq(5), Seq(7))));
        assert_eq!(offer(&mut gate, 5), Passage::Duplicate(5));
        assert_eq!(offer(&mut gate, 6), Passage::Out(vec![6, 7, 8]));
        assert_eq!(gate.hole(), None);
    }

    #[test]
    fn says_once_what_is_below_its_range() {
        let mut gate = Gate::new(1, Instant::now());
        assert_eq!(offer(&mut gate, 5), Passage::Out(vec![5]));
        assert_eq!(offer(&mut gate, 4), Passage::Below(4));
        assert_eq!(offer(&mut gate, 4), Passage::Duplicate(4));
        assert_eq!(offer(&mut gate, 6), Passage::Out(vec![6]));
    }

    #[test]
    fn a_newer_epoch_empties_it_and_an_older_one_is_dropped() {
        let mut gate = Gate::new(1, Instant::now());
        assert_eq!(offer(&mut gate, 5), Passage::Out(vec![5]));
        assert_eq!(gate.offer(2, Seq(3), false, 3, Instant::now()), Passage::Out(vec![3]));
        assert_eq!(offer(&mut gate, 6), Passage::Outdated(6));
    }

    #[test]
    fn begins_before_what_may_be_on_its_way() {
        let mut gate = Gate::new(0, Instant::now());
        assert_eq!(gate.offer(1, Seq(7), true, 7, Instant::now()), Passage::Begins);
        assert_eq!(gate.offer(1, Seq(6), true, 6, Instant::now()), Passage::Begins);
        assert!(gate.is_empty());
        assert_eq!(gate.begin_after(Seq(4)), Vec::<i64>::new());
        assert_eq!(gate.offer(0, Seq(5), false, 5, Instant::now()), Passage::Out(vec![5, 6, 7]));
        assert_eq!(offer(&mut gate, 4), Passage::Below(4));
    }

    #[test]
    fn can_begin_with_the_first_of_all() {
        let mut gate = Gate::new(1, Instant::now());
        assert_eq!(gate.offer(1, Seq(2), true, 2, Instant::now()), Passage::Begins);
        assert_eq!(gate.begin_after(Seq(0)), Vec::<i64>::new());
        assert_eq!(gate.hole(), Some((Seq(0), Seq(2))));
        assert_eq!(offer(&mut gate, 1), Passage::Out(vec![1, 2]));
    }

    #[test]
    fn a_hole_can_be_given_up() {
        let mut gate = Gate::new(1, Instant::now());
        assert_eq!(offer(&mut gate, 1), Passage::Out(vec![1]));
        assert_eq!(offer(&mut gate, 4), Passage::Waits { is_first: true });
        assert_eq!(gate.give_up_hole(), vec![4]);
        assert_eq!(offer(&mut gate, 5), Passage::Out(vec![5]));
    }

    proptest! {
        /// In whatever order and however often entries come: what goes out is ascending, without holes after the first.
        #[test]
        fn what_goes_out_is_in_order(seqs in proptest::collection::vec(1_i64..20, 1..60)) {
            let mut gate = Gate::new(1, Instant::now());
            let mut shown: Vec<i64> = Vec::new();
            for seq in seqs {
                if let Passage::Out(out) = offer(&mut gate, seq) {
                    shown.extend(out);
                }
            }
            prop_assert!(shown.windows(2).all(|pair| pair[1] == pair[0] + 1), "{shown:?}");
        }
    }
}
