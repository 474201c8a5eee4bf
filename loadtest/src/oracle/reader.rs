//! What one socket's user has of one conversation, and the faults that show at once: doubled, disordered.

use super::seen::Seen;

/// One reader. `own_sender` is its place among the senders where it sends too: a socket is not sent its own messages.
#[derive(Debug, Default)]
pub struct ReaderLog {
    pub name: String,
    pub own_sender: Option<u32>,
    pub seen: Seen,
    pub doubled: u64,
    pub disordered: u64,
    /// Repeats after a sync or a reconnect, which the contract allows.
    pub repeated_lawfully: u64,
    last_live: u64,
    is_lenient: bool,
    examples: Vec<String>,
}

/// A few per reader are enough to look at.
const EXAMPLES_MAX: usize = 3;

impl ReaderLog {
    pub fn new(name: String, own_sender: Option<u32>) -> Self {
        Self { name, own_sender, ..Self::default() }
    }

    /// A live frame; true if its message is new to this reader.
    pub fn see_live(&mut self, seq: u64) -> bool {
        let is_new = self.seen.insert(seq);
        if is_new && seq < self.last_live {
            self.disordered += 1;
            self.example(&format!("disordered: seq {seq} after {}", self.last_live));
        }
        if !is_new && self.is_lenient {
            self.repeated_lawfully += 1;
        } else if !is_new {
            self.doubled += 1;
            self.example(&format!("doubled: seq {seq} again"));
        }
        self.last_live = self.last_live.max(seq);
        is_new
    }

    /// A frame of offline delivery or of a sync page: these may repeat, and stand outside the live order.
    pub fn see_past(&mut self, seq: u64) -> bool {
        let is_new = self.seen.insert(seq);
        if !is_new {
            self.repeated_lawfully += 1;
        }
        is_new
    }

    /// From here on live frames may repeat what a sync brings or brought.
    pub fn allow_repeats(&mut self) {
        self.is_lenient = true;
    }

    /// A new connection has an order of its own.
    pub fn reconnected(&mut self) {
        self.is_lenient = true;
        self.last_live = 0;
    }

    fn example(&mut self, text: &str) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{}: {text}", self.name));
        }
    }

    pub fn examples(&self) -> &[String] {
        &self.examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orderly_stream_has_no_faults() {
        let mut reader = ReaderLog::default();
        for seq in 5..50 {
            assert!(reader.see_live(seq));
        }
        assert_eq!((reader.doubled, reader.disordered, reader.examples().len()), (0, 0, 0));
    }

    #[test]
    fn a_frame_twice_is_doubled() {
        let mut reader = ReaderLog::new("bob".into(), None);
        reader.see_live(1);
        reader.see_live(2);
        assert!(!reader.see_live(1));
        assert_eq!((reader.doubled, reader.disordered), (1, 0));
        assert_eq!(reader.examples(), ["bob: doubled: seq 1 again"]);
    }

    #[test]
    fn an_unseen_frame_behind_a_later_one_is_disordered() {
        let mut reader = ReaderLog::new("bob".into(), None);
        reader.see_live(1);
        reader.see_live(3);
        assert!(reader.see_live(2));
        assert_eq!((reader.doubled, reader.disordered), (0, 1));
        assert_eq!(reader.examples(), ["bob: disordered: seq 2 after 3"]);
    }

    #[test]
    fn sync_may_repeat_and_fill_but_live_order_still_counts_after_it() {
        let mut reader = ReaderLog::default();
        reader.see_live(1);
        reader.see_live(4);
        reader.reconnected();
        reader.see_past(2);
        reader.see_past(3);
        reader.see_past(4);
        reader.see_live(4);
        reader.see_live(5);
        assert_eq!((reader.doubled, reader.disordered, reader.repeated_lawfully), (0, 0, 2));
        reader.see_live(8);
        reader.see_live(7);
        assert_eq!(reader.disordered, 1);
    }
}
