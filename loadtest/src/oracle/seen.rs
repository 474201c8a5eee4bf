//! Which seqs a reader has, as one range and the holes in it: a healthy log costs two numbers.

/// The seqs between `first` and `last` but for `holes`, which are sorted, disjoint and inclusive.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    range: Option<(u64, u64)>,
    holes: Vec<(u64, u64)>,
}

impl Seen {
    /// Adds a seq; false if it was there.
    pub fn insert(&mut self, seq: u64) -> bool {
        let Some((first, last)) = self.range else {
            self.range = Some((seq, seq));
            return true;
        };
        if seq > last {
            if seq > last + 1 {
                self.holes.push((last + 1, seq - 1));
            }
            self.range = Some((first, seq));
            return true;
        }
        if seq < first {
            if seq + 1 < first {
                self.holes.insert(0, (seq + 1, first - 1));
            }
            self.range = Some((seq, last));
            return true;
        }
        self.fill(seq)
    }

    /// Takes a seq out of the hole that it lies in; false if it lies in none.
    fn fill(&mut self, seq: u64) -> bool {
        let at = self.holes.partition_point(|&(_, end)| end < seq);
        let Some(&(start, end)) = self.holes.get(at) else {
            return false;
        };
        if start > seq {
            return false;
        }
        let left = (start < seq).then(|| (start, seq - 1));
        let right = (seq < end).then_some((seq + 1, end));
        self.holes.splice(at..=at, left.into_iter().chain(right));
        true
    }

    pub fn contains(&self, seq: u64) -> bool {
        let Some((first, last)) = self.range else {
            return false;
        };
        let at = self.holes.partition_point(|&(_, end)| end < seq);
        let is_hole = self.holes.get(at).is_some_and(|&(start, _)| start <= seq);
        first <= seq && seq <= last && !is_hole
    }

    /// First and last seq, if any was seen.
    pub fn range(&self) -> Option<(u64, u64)> {
        self.range
    }

    /// The missing seqs between first and last.
    pub fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        self.holes.iter().flat_map(|&(start, end)| start..=end)
    }

    /// Up to where nothing is missing, from the first seq seen on.
    pub fn complete_to(&self) -> Option<u64> {
        let (_, last) = self.range?;
        Some(self.holes.first().map_or(last, |&(start, _)| start - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn seen_behaves_like_a_set(seqs in prop::collection::vec(1_u64..60, 0..80)) {
            let mut seen = Seen::default();
            let mut model = BTreeSet::new();
            for seq in seqs {
                prop_assert_eq!(seen.insert(seq), model.insert(seq));
                for probe in 0..62 {
                    prop_assert_eq!(seen.contains(probe), model.contains(&probe));
                }
                let (first, last) = (*model.first().unwrap(), *model.last().unwrap());
                let missing: Vec<u64> = (first..=last).filter(|seq| !model.contains(seq)).collect();
                prop_assert_eq!(seen.missing().collect::<Vec<_>>(), missing.clone());
                prop_assert_eq!(seen.complete_to(), Some(missing.first().map_or(last, |hole| hole - 1)));
                prop_assert_eq!(seen.range(), Some((first, last)));
            }
        }
    }
}
