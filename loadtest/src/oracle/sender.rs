//! What one sender sent and what it was answered.

/// The fate of one message as its sender knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub intended_ns: u64,
    /// 0: not acknowledged.
    pub seq: u64,
    /// A digest of `message_id` and `seq`, to compare repeated answers by.
    pub digest: u64,
    pub is_refused: bool,
}

#[derive(Debug, Default)]
pub struct SenderLog {
    pub sender: u32,
    pub sent: Vec<Sent>,
    /// A second acknowledgement that says something else than the first.
    pub answers_changed: u64,
    /// An acknowledgement of something never sent.
    pub answers_unknown: u64,
    /// Equal acknowledgements of one message, as after sending it again.
    pub answers_repeated: u64,
}

/// What an acknowledgement told the sender.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    First { intended_ns: u64 },
    Repeated,
    Changed,
    Unknown,
}

impl SenderLog {
    pub fn new(sender: u32) -> Self {
        Self { sender, ..Self::default() }
    }

    /// Notes a message about to be sent and gives it its number.
    pub fn send(&mut self, intended_ns: u64) -> u32 {
        let number = u32::try_from(self.sent.len()).unwrap_or(u32::MAX);
        self.sent.push(Sent { intended_ns, ..Sent::default() });
        number
    }

    fn find(&mut self, number: u32) -> Option<&mut Sent> {
        self.sent.get_mut(crate::numbers::index(u64::from(number)))
    }

    pub fn acknowledge(&mut self, number: u32, seq: u64, message_id: &[u8]) -> Answer {
        let digest = digest(seq, message_id);
        let Some(sent) = self.find(number) else {
            self.answers_unknown += 1;
            return Answer::Unknown;
        };
        if sent.seq == 0 {
            sent.seq = seq;
            sent.digest = digest;
            let intended_ns = sent.intended_ns;
            return Answer::First { intended_ns };
        }
        if sent.seq == seq && sent.digest == digest {
            self.answers_repeated += 1;
            Answer::Repeated
        } else {
            self.answers_changed += 1;
            Answer::Changed
        }
    }

    /// Notes a refusal; true if the message had no answer before.
    pub fn refuse(&mut self, number: u32) -> bool {
        let Some(sent) = self.find(number) else {
            self.answers_unknown += 1;
            return false;
        };
        let is_first = sent.seq == 0 && !sent.is_refused;
        sent.is_refused |= sent.seq == 0;
        is_first
    }

    pub fn intended_ns(&self, number: u32) -> u64 {
        self.sent.get(crate::numbers::index(u64::from(number))).map_or(0, |sent| sent.intended_ns)
    }
}

/// FNV-1a over the answer; two different answers of one run do not meet by chance.
fn digest(seq: u64, message_id: &[u8]) -> u64 {
    message_id
        .iter()
        .chain(&seq.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_counts_and_an_equal_one_is_a_repeat() {
        let mut log = SenderLog::new(0);
        let number = log.send(17);
        assert_eq!(log.acknowledge(number, 4, b"m"), Answer::First { intended_ns: 17 });
        assert_eq!(log.acknowledge(number, 4, b"m"), Answer::Repeated);
        assert_eq!((log.answers_changed, log.answers_repeated), (0, 1));
    }

    #[test]
    fn another_seq_or_id_for_the_same_message_is_a_changed_answer() {
        let mut log = SenderLog::new(0);
        let number = log.send(0);
        log.acknowledge(number, 4, b"m");
        assert_eq!(log.acknowledge(number, 5, b"m"), Answer::Changed);
        assert_eq!(log.acknowledge(number, 4, b"n"), Answer::Changed);
        assert_eq!(log.answers_changed, 2);
    }

    #[test]
    fn an_answer_to_nothing_is_unknown() {
        let mut log = SenderLog::new(0);
        assert_eq!(log.acknowledge(0, 1, b"m"), Answer::Unknown);
        assert!(!log.refuse(0));
        assert_eq!(log.answers_unknown, 2);
    }

    #[test]
    fn a_refusal_after_an_acknowledgement_takes_nothing_back() {
        let mut log = SenderLog::new(0);
        let number = log.send(0);
        assert!(log.refuse(number));
        assert!(!log.refuse(number));
        log.acknowledge(number, 1, b"m");
        assert_eq!(log.sent[0].seq, 1);
    }
}
