//! Who may see what of one group: each member's interval of the log.

use std::collections::HashMap;

use super::ids::{Seq, UserId};

/// From `first` to `left`, both seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub first: Seq,
    pub left: Option<Seq>,
}

impl Interval {
    pub fn holds(self, seq: Seq) -> bool {
        self.first <= seq && self.left.is_none_or(|left| seq <= left)
    }
}

/// The members of a group at one version of its member set, which every change of membership raises by one.
#[derive(Clone, Debug, Default)]
pub struct MemberSet {
    version: i64,
    intervals: HashMap<UserId, Interval>,
}

impl MemberSet {
    pub fn new(version: i64, intervals: HashMap<UserId, Interval>) -> Self {
        Self { version, intervals }
    }

    pub fn len(&self) -> usize {
        self.intervals.len()
    }

    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    pub const fn version(&self) -> i64 {
        self.version
    }

    /// True if the set knows who sees an entry of this version, or learns it from the entry's own change.
    pub fn is_ready_for(&self, version: i64, has_change: bool) -> bool {
        self.version >= version || (has_change && self.version + 1 == version)
    }

    /// Moves the set by a membership entry. One that it has seen already changes nothing.
    pub fn apply(&mut self, version: i64, seq: Seq, joined: &[UserId], left: &[UserId]) {
        if version != self.version + 1 {
            return;
        }
        self.version = version;
        for user in joined {
            self.intervals.insert(*user, Interval { first: seq, left: None });
        }
        for user in left {
            if let Some(interval) = self.intervals.get_mut(user) {
                interval.left = Some(seq);
            }
        }
    }

    pub fn sees(&self, user: UserId, seq: Seq) -> bool {
        self.intervals.get(&user).is_some_and(|interval| interval.holds(seq))
    }

    /// Everyone who sees this entry.
    pub fn seeing(&self, seq: Seq) -> impl Iterator<Item = UserId> {
        self.intervals.iter().filter(move |(_, interval)| interval.holds(seq)).map(|(user, _)| *user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_sees_the_leaving_and_nothing_after() {
        let (stays, goes, comes) = (UserId::random(), UserId::random(), UserId::random());
        let mut set = MemberSet::default();
        set.apply(1, Seq(1), &[stays, goes], &[]);
        set.apply(2, Seq(5), &[comes], &[]);
        set.apply(3, Seq(7), &[], &[goes]);
        let sees = |user, seq| set.sees(user, Seq(seq));
        assert!(sees(stays, 1) && sees(stays, 8));
        assert!(sees(goes, 7) && !sees(goes, 8));
        assert!(!sees(comes, 4) && sees(comes, 5));
        assert!(set.is_ready_for(3, false) && set.is_ready_for(4, true) && !set.is_ready_for(4, false));
    }
}
