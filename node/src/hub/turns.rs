//! One sync at a time: the others of a session wait for it, a few of them.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// Syncs of one session that may wait for the one that runs.
const WAITING_MAX: u32 = 4;

#[derive(Debug, Default)]
pub struct Turns {
    one: Mutex<()>,
    taken: AtomicU32,
}

/// The right to go; ends when dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    taken: &'a AtomicU32,
    _one: MutexGuard<'a, ()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Turns {
    /// Waits for its turn, in the order of the calls; `None` when too many wait already.
    pub async fn take(&self) -> Option<Turn<'_>> {
        if self.taken.fetch_add(1, Ordering::AcqRel) > WAITING_MAX {
            self.taken.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let waiting = Waiting(&self.taken);
        let one = self.one.lock().await;
        std::mem::forget(waiting);
        Some(Turn { taken: &self.taken, _one: one })
    }
}

/// Gives the place back when the wait is given up.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_goes_four_wait_the_next_is_refused() {
        let turns = Turns::default();
        let first = turns.take().await.unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(turns.take())).collect();
        for turn in &mut waiting {
            assert!(futures_util::poll!(turn).is_pending());
        }
        assert!(turns.take().await.is_none());
        drop(waiting.pop());
        let mut again = Box::pin(turns.take());
        assert!(futures_util::poll!(&mut again).is_pending());
        drop(first);
        assert!(waiting.remove(0).await.is_some());
    }
}
