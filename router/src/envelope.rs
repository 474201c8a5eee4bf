//! What an entry of an inbox looks like: nodes of different versions read each other's during a rolling upgrade.
//!
//! ```text
//! version u8 = 1 | kind u8 | boot of the sender 16 | counter u64 | then fields: tag u8 | length u32 | bytes ...
//! ```
//! Numbers are big-endian. Every version begins with version, kind and boot. Unknown tags are skipped. An entry of an unknown version
//! may have said anything, so it counts as lost; one of an unknown kind is skipped, and if it mattered its counter shows a hole.

use bytes::{Buf as _, BufMut, Bytes};
use uuid::Uuid;

use crate::ids::BootId;

pub(crate) const VERSION: u8 = 1;
const HEAD_BYTES: usize = 26;
const FIELD_HEAD_BYTES: usize = 5;

const KIND_PAYLOAD: u8 = 1;
const KIND_COUNTER: u8 = 2;
const KIND_HINT: u8 = 3;
const KIND_MADE: u8 = 4;

const TAG_BODY: u8 = 1;

/// One entry, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The next one of this sender for this boot, and what it carries.
    Payload {
        from: BootId,
        counter: u64,
        payload: Bytes,
    },
    /// How many there were up to now, repeated while there is nothing else to say.
    Counter {
        from: BootId,
        counter: u64,
    },
    Hint {
        from: BootId,
        topic: String,
    },
    /// Of no meaning to this version, and of no consequence.
    Skipped,
    /// Not readable: it may have carried something.
    Unreadable {
        from: Option<BootId>,
    },
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outgoing<'a> {
    Payload {
        counter: u64,
        payload: &'a [u8],
    },
    Counter {
        counter: u64,
    },
    Hint {
        topic: &'a str,
    },
    /// The owner's first entry, which makes the stream exist.
    Made,
}

impl Outgoing<'_> {
    fn parts(&self) -> (u8, u64, &[u8]) {
        match self {
            Self::Payload { counter, payload } => (KIND_PAYLOAD, *counter, payload),
            Self::Counter { counter } => (KIND_COUNTER, *counter, &[]),
            Self::Hint { topic } => (KIND_HINT, 0, topic.as_bytes()),
            Self::Made => (KIND_MADE, 0, &[]),
        }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let (.., body) = self.parts();
        if body.is_empty() { HEAD_BYTES } else { HEAD_BYTES + FIELD_HEAD_BYTES + body.len() }
    }

    /// Appends the entry. A body longer than a `u32` can say is not written; payloads are far below that.
    pub(crate) fn encode(&self, from: BootId, out: &mut impl BufMut) {
        let (kind, counter, body) = self.parts();
        out.put_u8(VERSION);
        out.put_u8(kind);
        out.put_slice(from.0.as_bytes());
        out.put_u64(counter);
        if let (false, Ok(length)) = (body.is_empty(), u32::try_from(body.len())) {
            out.put_u8(TAG_BODY);
            out.put_u32(length);
            out.put_slice(body);
        }
    }
}

/// Reads an entry. The payload shares the entry's memory.
pub(crate) fn decode(mut bytes: Bytes) -> Entry {
    let from =
        bytes.get(2..18).and_then(|boot| <[u8; 16]>::try_from(boot).ok()).map(|boot| BootId(Uuid::from_bytes(boot)));
    let unreadable = Entry::Unreadable { from };
    let Some(from) = from.filter(|_| bytes.len() >= HEAD_BYTES && bytes.first() == Some(&VERSION)) else {
        return unreadable;
    };
    bytes.advance(1);
    let kind = bytes.get_u8();
    bytes.advance(16);
    let counter = bytes.get_u64();
    let mut body = Bytes::new();
    while !bytes.is_empty() {
        if bytes.len() < FIELD_HEAD_BYTES {
            return unreadable;
        }
        let tag = bytes.get_u8();
        let Some(length) = usize::try_from(bytes.get_u32()).ok().filter(|length| *length <= bytes.len()) else {
            return unreadable;
        };
        let field = bytes.split_to(length);
        if tag == TAG_BODY {
            body = field;
        }
    }
    match kind {
        KIND_PAYLOAD => Entry::Payload { from, counter, payload: body },
        KIND_COUNTER => Entry::Counter { from, counter },
        KIND_HINT => match String::from_utf8(body.to_vec()) {
            Ok(topic) => Entry::Hint { from, topic },
            Err(_) => Entry::Skipped,
        },
        _ => Entry::Skipped,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn boot() -> BootId {
        BootId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff))
    }

    fn encode(entry: Outgoing<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        entry.encode(boot(), &mut bytes);
        assert_eq!(bytes.len(), entry.encoded_len());
        bytes
    }

    /// The golden file is the contract between versions: a line is a name and the bytes in hexadecimal.
    #[test]
    fn entries_are_written_as_in_the_golden_file() {
        let written = [
            ("payload", encode(Outgoing::Payload { counter: 258, payload: b"hello" })),
            ("counter", encode(Outgoing::Counter { counter: 7 })),
            ("hint", encode(Outgoing::Hint { topic: "change" })),
            ("made", encode(Outgoing::Made)),
        ];
        let mut lines = String::new();
        for (name, bytes) in written {
            let _ = write!(lines, "{name} ");
            for byte in bytes {
                let _ = write!(lines, "{byte:02x}");
            }
            lines.push('\n');
        }
        assert_eq!(lines, include_str!("../tests/golden/entries.txt"));
    }

    #[test]
    fn entries_are_read_as_written() {
        let payload = decode(encode(Outgoing::Payload { counter: 258, payload: b"hello" }).into());
        let expected = Entry::Payload { from: boot(), counter: 258, payload: Bytes::from_static(b"hello") };
        assert_eq!(payload, expected);
        let counter = decode(encode(Outgoing::Counter { counter: 7 }).into());
        assert_eq!(counter, Entry::Counter { from: boot(), counter: 7 });
        let hint = decode(encode(Outgoing::Hint { topic: "change" }).into());
        assert_eq!(hint, Entry::Hint { from: boot(), topic: "change".to_owned() });
        assert_eq!(decode(encode(Outgoing::Made).into()), Entry::Skipped);
    }

    #[test]
    fn unknown_tags_are_skipped_and_unknown_versions_are_not() {
        let mut bytes = encode(Outgoing::Counter { counter: 7 });
        bytes.extend([200, 0, 0, 0, 2, 9, 9]);
        assert_eq!(decode(bytes.clone().into()), Entry::Counter { from: boot(), counter: 7 });
        bytes[0] = 2;
        assert_eq!(decode(bytes.into()), Entry::Unreadable { from: Some(boot()) });
        assert_eq!(decode(Bytes::from_static(b"\x01")), Entry::Unreadable { from: None });
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            decode(bytes.into());
        }
    }
}
