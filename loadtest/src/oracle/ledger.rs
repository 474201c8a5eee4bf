//! Which message stands at which seq of a conversation, as the readers saw it.

use std::collections::VecDeque;

/// No message is known at that seq.
const UNKNOWN: u64 = u64::MAX;

/// Message keys (`stamp::message_key`) by seq. A range without holes in practice, so a deque and not a map.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    base: u64,
    keys: VecDeque<u64>,
}

impl Ledger {
    /// Notes the message; false if another one was seen at that seq.
    pub fn note(&mut self, seq: u64, key: u64) -> bool {
        if self.keys.is_empty() {
            self.base = seq;
        }
        while seq < self.base {
            self.keys.push_front(UNKNOWN);
            self.base -= 1;
        }
        let at = crate::numbers::index(seq - self.base);
        if at >= self.keys.len() {
            self.keys.resize(at + 1, UNKNOWN);
        }
        match self.keys.get_mut(at) {
            Some(place) if *place == UNKNOWN => {
                *place = key;
                true
            }
            Some(place) => *place == key,
            None => true,
        }
    }

    /// All messages known, by seq.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (self.base..).zip(self.keys.iter().copied()).filter(|&(_, key)| key != UNKNOWN)
    }

    pub fn get(&self, seq: u64) -> Option<u64> {
        let at = crate::numbers::index(seq.checked_sub(self.base)?);
        self.keys.get(at).copied().filter(|&key| key != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seq_holds_one_message_whatever_order_they_are_seen_in() {
        let mut ledger = Ledger::default();
        assert!(ledger.note(10, 100));
        assert!(ledger.note(12, 120));
        assert!(ledger.note(7, 70));
        assert!(ledger.note(10, 100));
        assert!(!ledger.note(10, 101));
        assert_eq!(ledger.get(7), Some(70));
        assert_eq!(ledger.get(8), None);
        assert_eq!(ledger.get(6), None);
        assert_eq!(ledger.get(13), None);
        assert_eq!(ledger.entries().collect::<Vec<_>>(), [(7, 70), (10, 100), (12, 120)]);
    }
}
