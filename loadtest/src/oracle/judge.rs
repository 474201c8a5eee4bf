//! The verdict over a whole run: acknowledgements against what every reader has, conversation by conversation.

use super::ledger::Ledger;
use super::reader::ReaderLog;
use super::sender::SenderLog;
use crate::numbers::count;
use crate::stamp::message_key;
use serde::Serialize;
use std::collections::HashMap;

/// All that was noted about one conversation; each thread of a run has its own ledger.
#[derive(Debug, Default)]
pub struct ConversationRecord {
    pub name: String,
    pub senders: Vec<SenderLog>,
    pub readers: Vec<ReaderLog>,
    pub ledgers: Vec<Ledger>,
    /// Frames that showed another message at a seq than an earlier frame had.
    pub conflicts: u64,
}

/// What was found. All but the first group must be 0.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    pub sent: u64,
    pub acked: u64,
    /// Deliveries due: acknowledged messages times their readers.
    pub expected: u64,
    pub repeated_lawfully: u64,
    pub answers_repeated: u64,

    /// Acknowledged, but a reader does not have it.
    pub lost: u64,
    /// Not acknowledged, but a reader has a later one and not this.
    pub holes: u64,
    pub doubled: u64,
    pub disordered: u64,
    /// A message at another seq than its acknowledgement says, or two messages at one seq.
    pub mismatched: u64,
    /// One message at two seqs.
    pub stored_twice: u64,
    pub seqs_given_twice: u64,
    pub answers_changed: u64,
    pub answers_unknown: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub examples: Vec<String>,
}

/// Examples printed in all.
const EXAMPLES_MAX: usize = 20;

impl Verdict {
    pub fn is_right(&self) -> bool {
        self.faults().iter().all(|&(_, count)| count == 0)
    }

    /// Each kind of fault by name.
    pub fn faults(&self) -> [(&'static str, u64); 11] {
        [
            ("lost", self.lost),
            ("holes", self.holes),
            ("doubled", self.doubled),
            ("disordered", self.disordered),
            ("mismatched", self.mismatched),
            ("stored twice", self.stored_twice),
            ("seqs given twice", self.seqs_given_twice),
            ("answers changed", self.answers_changed),
            ("answers unknown", self.answers_unknown),
            ("refused", self.refused),
            ("unanswered", self.unanswered),
        ]
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }
}

/// One acknowledged message.
#[derive(Clone, Copy)]
struct Acked {
    seq: u64,
    sender: u32,
    number: u32,
}

pub fn judge(conversations: &[ConversationRecord]) -> Verdict {
    let mut verdict = Verdict::default();
    for conversation in conversations {
        judge_conversation(conversation, &mut verdict);
    }
    verdict
}

fn judge_conversation(conversation: &ConversationRecord, verdict: &mut Verdict) {
    let acked = collect_answers(conversation, verdict);
    judge_ledgers(conversation, &acked, verdict);
    for reader in &conversation.readers {
        judge_reader(conversation, reader, &acked, verdict);
    }
}

/// All acknowledged messages in seq order; counts what the senders know.
fn collect_answers(conversation: &ConversationRecord, verdict: &mut Verdict) -> Vec<Acked> {
    let mut acked = Vec::new();
    for log in &conversation.senders {
        verdict.sent += count(log.sent.len());
        verdict.answers_changed += log.answers_changed;
        verdict.answers_unknown += log.answers_unknown;
        verdict.answers_repeated += log.answers_repeated;
        for (number, sent) in (0_u32..).zip(&log.sent) {
            if sent.seq != 0 {
                acked.push(Acked { seq: sent.seq, sender: log.sender, number });
            } else if sent.is_refused {
                verdict.refused += 1;
            } else {
                verdict.unanswered += 1;
                verdict
                    .example(|| format!("{}: unanswered: sender {} message {number}", conversation.name, log.sender));
            }
        }
    }
    acked.sort_unstable_by_key(|message| message.seq);
    for pair in acked.windows(2) {
        if let [a, b] = pair
            && a.seq == b.seq
        {
            verdict.seqs_given_twice += 1;
            verdict.example(|| format!("{}: seq {} acknowledged for two messages", conversation.name, a.seq));
        }
    }
    verdict.acked += count(acked.len());
    acked
}

/// What the readers saw at each seq, against each other and against the acknowledgements.
fn judge_ledgers(conversation: &ConversationRecord, acked: &[Acked], verdict: &mut Verdict) {
    verdict.mismatched += conversation.conflicts;
    let mut seqs: HashMap<u64, u64> =
        acked.iter().map(|message| (message_key(message.sender, message.number), message.seq)).collect();
    let mut known = Ledger::default();
    for (seq, key) in conversation.ledgers.iter().flat_map(Ledger::entries) {
        if !known.note(seq, key) {
            verdict.mismatched += 1;
            verdict.example(|| format!("{}: two messages at seq {seq}", conversation.name));
        }
        match seqs.insert(key, seq) {
            Some(other) if other != seq => {
                verdict.stored_twice += 1;
                verdict.example(|| format!("{}: one message at seq {other} and at {seq}", conversation.name));
            }
            _ => {}
        }
    }
    for message in acked {
        let key = message_key(message.sender, message.number);
        if known.get(message.seq).is_some_and(|shown| shown != key) {
            verdict.mismatched += 1;
            verdict.example(|| {
                format!("{}: seq {} shows another message than acknowledged", conversation.name, message.seq)
            });
        }
    }
}

fn judge_reader(conversation: &ConversationRecord, reader: &ReaderLog, acked: &[Acked], verdict: &mut Verdict) {
    verdict.doubled += reader.doubled;
    verdict.disordered += reader.disordered;
    verdict.repeated_lawfully += reader.repeated_lawfully;
    for text in reader.examples() {
        verdict.example(|| format!("{}: {text}", conversation.name));
    }
    for message in acked {
        if reader.own_sender == Some(message.sender) {
            continue;
        }
        verdict.expected += 1;
        if !reader.seen.contains(message.seq) {
            verdict.lost += 1;
            verdict.example(|| format!("{}: {}: lost: seq {}", conversation.name, reader.name, message.seq));
        }
    }
    for seq in reader.seen.missing() {
        if acked.binary_search_by_key(&seq, |message| message.seq).is_err() {
            verdict.holes += 1;
            verdict.example(|| format!("{}: {}: a hole at seq {seq}", conversation.name, reader.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sender 0 sent `count` messages, acknowledged as seqs 1.., and one reader saw them all.
    fn healthy(count: u64) -> ConversationRecord {
        let mut sender = SenderLog::new(0);
        let mut reader = ReaderLog::new("bob".into(), None);
        let mut ledger = Ledger::default();
        for seq in 1..=count {
            let number = sender.send(0);
            sender.acknowledge(number, seq, b"m");
            reader.see_live(seq);
            ledger.note(seq, message_key(0, number));
        }
        ConversationRecord {
            name: "pair 0".into(),
            senders: vec![sender],
            readers: vec![reader],
            ledgers: vec![ledger],
            conflicts: 0,
        }
    }

    fn only_fault(verdict: &Verdict) -> (&'static str, u64) {
        let found: Vec<_> = verdict.faults().into_iter().filter(|&(_, count)| count > 0).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!verdict.is_right());
        found[0]
    }

    #[test]
    fn a_healthy_run_is_right() {
        let verdict = judge(&[healthy(100), healthy(3)]);
        assert!(verdict.is_right(), "{verdict:?}");
        assert_eq!((verdict.sent, verdict.acked, verdict.expected), (103, 103, 103));
        assert!(verdict.examples.is_empty());
    }

    #[test]
    fn an_acknowledged_message_that_never_came_is_lost_in_the_middle_and_at_both_ends() {
        for missing in [1, 5, 10] {
            let mut record = healthy(10);
            let mut reader = ReaderLog::new("bob".into(), None);
            for seq in (1..=10).filter(|&seq| seq != missing) {
                reader.see_live(seq);
            }
            record.readers = vec![reader];
            let verdict = judge(&[record]);
            assert_eq!(only_fault(&verdict), ("lost", 1));
            assert_eq!(verdict.examples, [format!("pair 0: bob: lost: seq {missing}")]);
        }
    }

    #[test]
    fn a_reader_that_saw_nothing_lost_everything() {
        let mut record = healthy(10);
        record.readers = vec![ReaderLog::new("bob".into(), None)];
        assert_eq!(only_fault(&judge(&[record])), ("lost", 10));
    }

    #[test]
    fn an_unacknowledged_seq_that_was_skipped_is_a_hole() {
        let mut record = healthy(0);
        record.readers[0].see_live(1);
        record.readers[0].see_live(3);
        assert_eq!(only_fault(&judge(&[record])), ("holes", 1));
    }

    #[test]
    fn doubled_and_disordered_frames_are_counted() {
        let mut record = healthy(3);
        record.readers[0].see_live(2);
        assert_eq!(only_fault(&judge(&[record])), ("doubled", 1));

        let mut record = healthy(3);
        let mut reader = ReaderLog::new("bob".into(), None);
        for seq in [1, 3, 2] {
            reader.see_live(seq);
        }
        record.readers = vec![reader];
        assert_eq!(only_fault(&judge(&[record])), ("disordered", 1));
    }

    #[test]
    fn two_messages_that_swap_their_seqs_are_mismatched() {
        let mut record = healthy(0);
        for seq in [1, 2] {
            let number = record.senders[0].send(0);
            record.senders[0].acknowledge(number, seq, b"m");
            record.readers[0].see_live(seq);
        }
        record.ledgers[0].note(1, message_key(0, 1));
        record.ledgers[0].note(2, message_key(0, 0));
        let verdict = judge(&[record]);
        assert_eq!((verdict.mismatched, verdict.stored_twice), (2, 2));
    }

    #[test]
    fn readers_on_different_threads_must_see_the_same_message_at_a_seq() {
        let mut record = healthy(2);
        record.senders[0].send(0);
        record.senders[0].refuse(2);
        let mut other = Ledger::default();
        other.note(1, message_key(0, 2));
        record.ledgers.push(other);
        let verdict = judge(&[record]);
        assert_eq!((verdict.mismatched, verdict.refused), (1, 1));
    }

    #[test]
    fn one_message_at_two_seqs_is_stored_twice() {
        let mut record = healthy(2);
        record.ledgers[0].note(3, message_key(0, 1));
        record.readers[0].see_live(3);
        assert_eq!(only_fault(&judge(&[record])), ("stored twice", 1));
    }

    #[test]
    fn a_seq_for_two_messages_is_told() {
        let mut record = healthy(2);
        let number = record.senders[0].send(0);
        record.senders[0].acknowledge(number, 2, b"n");
        let verdict = judge(&[record]);
        assert_eq!((verdict.seqs_given_twice, verdict.mismatched), (1, 1));
    }

    #[test]
    fn changed_unknown_refused_and_missing_answers_are_counted() {
        let mut record = healthy(2);
        record.senders[0].acknowledge(0, 9, b"m");
        assert_eq!(only_fault(&judge(&[record])), ("answers changed", 1));
        let mut record = healthy(2);
        record.senders[0].acknowledge(7, 9, b"m");
        assert_eq!(only_fault(&judge(&[record])), ("answers unknown", 1));
        let mut record = healthy(2);
        record.senders[0].send(0);
        assert_eq!(only_fault(&judge(&[record])), ("unanswered", 1));
        let mut record = healthy(2);
        record.senders[0].send(0);
        record.senders[0].refuse(2);
        assert_eq!(only_fault(&judge(&[record])), ("refused", 1));
    }

    #[test]
    fn a_member_that_sends_too_is_not_sent_its_own() {
        let mut record = healthy(0);
        record.senders.push(SenderLog::new(1));
        record.readers[0].own_sender = Some(1);
        for seq in 1..=6 {
            let sender = usize::from(seq % 2 == 0);
            let number = record.senders[sender].send(0);
            record.senders[sender].acknowledge(number, seq, b"m");
            if sender == 0 {
                record.readers[0].see_live(seq);
            }
        }
        let verdict = judge(&[record]);
        assert!(verdict.is_right(), "{verdict:?}");
        assert_eq!(verdict.expected, 3);
    }
}
