//! Pages of a sync (contract 2.5): frames of 2.4 inside a frame, with what is to be known of their conversation.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::frame::Frame;
use super::server::frame;
use crate::domain::{ConversationId, Seq, Timestamp};

/// Frames of one page.
pub const PAGE_FRAMES_MAX: usize = 200;
/// Bytes of one page's JSON, unless a single frame is larger.
pub const PAGE_BYTES_MAX: usize = 60 * 1024;
/// Hidden messages that one page names, and the bytes that each takes at most: a seq below 2^40 and a comma.
pub const PAGE_HIDDEN_MAX: usize = 1_000;
pub const HIDDEN_BYTES_MAX: usize = 14;
/// Room for what stands around the frames: the envelope and [`PageHead`], with a client's `id` of usual length.
const AROUND_BYTES: usize = 640;

/// What a page says beside its frames. Field order is part of the golden files.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PageHead {
    /// The newest of the conversation that this user may see.
    pub last_seq: Seq,
    pub first_seq: Seq,
    pub read_seq: Seq,
    pub peer_read_seq: Option<Seq>,
    pub unread_count: i64,
    pub settings: PageSettings,
    /// Messages hidden since the cursor.
    pub hidden: Vec<Seq>,
    pub log_epoch: i64,
    pub has_gap: bool,
    pub has_more: bool,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct PageSettings {
    pub pinned: bool,
    pub muted_until: Option<Timestamp>,
    pub read_receipts: Option<bool>,
}

/// `sync`/`page`.
pub fn page(id: Option<&str>, conversation: ConversationId, frames: &[Vec<u8>], head: &PageHead) -> Frame {
    let head = serde_json::to_vec(head).unwrap_or_else(|_| b"{}".to_vec());
    let id = id.and_then(|id| serde_json::to_string(id).ok());
    let length = frames.iter().map(|frame| frame.len() + 1).sum::<usize>() + head.len() + 256;
    let mut json = Vec::with_capacity(length + id.as_ref().map_or(0, String::len));
    json.extend_from_slice(br#"{"type":"sync","action":"page","#);
    if let Some(id) = id {
        json.extend_from_slice(br#""id":"#);
        json.extend_from_slice(id.as_bytes());
        json.push(b',');
    }
    json.extend_from_slice(format!(r#""data":{{"conversation_id":"{conversation}","frames":["#).as_bytes());
    for (number, frame) in frames.iter().enumerate() {
        if number > 0 {
            json.push(b',');
        }
        json.extend_from_slice(frame);
    }
    json.extend_from_slice(b"],");
    json.extend_from_slice(head.get(1..).unwrap_or_default());
    json.push(b'}');
    Frame::text(&json)
}

/// Data of the page of a conversation that is unknown to this user, or no longer visible.
#[derive(Serialize, JsonSchema)]
pub struct Gone {
    pub conversation_id: Uuid,
    pub frames: [u8; 0],
    pub gone: bool,
}

/// The page of a conversation that is unknown to this user, or no longer visible.
pub fn gone(id: Option<&str>, conversation: Uuid) -> Frame {
    frame("sync", Some("page"), id, Gone { conversation_id: conversation, frames: [], gone: true })
}

#[derive(Serialize, JsonSchema)]
pub struct Complete<'a> {
    /// None after a sync by `conversations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub cursor: Option<&'a str>,
    /// Some conversations could not be read now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub partial: Option<bool>,
}

/// `sync`/`complete`.
pub fn complete(id: Option<&str>, cursor: Option<&str>, is_partial: bool) -> Frame {
    frame("sync", Some("complete"), id, Complete { cursor, partial: is_partial.then_some(true) })
}

/// Cuts the frames of a conversation, in seq order, into pages. Answers how many of them the next page takes: at least one, if any.
pub fn next_page<T: AsRef<[u8]>>(frames: &[T], id_length: usize) -> usize {
    let mut bytes = AROUND_BYTES + id_length;
    let mut count = 0;
    for frame in frames.iter().take(PAGE_FRAMES_MAX) {
        bytes += frame.as_ref().len() + 1;
        if count > 0 && bytes > PAGE_BYTES_MAX {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Body, ConversationRef, Entry, UserId};
    use crate::protocol::server::{Shown, entry_json};

    fn head() -> PageHead {
        PageHead {
            last_seq: Seq(9),
            first_seq: Seq(1),
            read_seq: Seq(7),
            peer_read_seq: None,
            unread_count: 2,
            settings: PageSettings { pinned: false, muted_until: Some(Timestamp(1)), read_receipts: None },
            hidden: Vec::new(),
            log_epoch: 1,
            has_gap: false,
            has_more: false,
        }
    }

    fn text(frame: &Frame) -> &str {
        std::str::from_utf8(frame.json()).unwrap()
    }

    #[test]
    fn pages_are_as_the_golden_file_has_them() {
        let conversation = ConversationId::from_uuid(uuid::uuid!("00400000-0000-8000-8000-000000000000")).unwrap();
        let group = ConversationRef::Group { id: conversation };
        let entry = |seq| Entry {
            id: conversation.message(Seq(seq)),
            sender_id: UserId(Uuid::from_u128(1)),
            sender_name: "Alice".to_owned(),
            body: Body::Dissolved,
            temp_id: None,
            ordinal: 0,
            created_at: Timestamp(1),
        };
        let frames = [8, 9].map(|seq| entry_json(&group, &entry(seq), Shown::default()));
        let all = [
            page(None, conversation, &frames, &head()),
            page(Some("a\"b"), conversation, &[], &PageHead { peer_read_seq: Some(Seq(3)), ..head() }),
            gone(Some("1"), Uuid::nil()),
            complete(None, Some("abc"), false),
            complete(Some("2"), None, true),
        ];
        let lines: Vec<_> = all.iter().map(text).collect();
        for line in &lines {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        assert_eq!(lines.join("\n") + "\n", include_str!("../../tests/golden/sync.jsonl"));
    }

    #[test]
    fn a_page_is_at_most_60_kib_unless_one_frame_is_larger() {
        let small = vec![vec![b' '; 100]; 1_000];
        assert_eq!(next_page(&small, 0), PAGE_FRAMES_MAX);
        let middle = vec![vec![b' '; 10_000]; 10];
        let count = next_page(&middle, 0);
        assert_eq!(count, 6);
        let frame = page(None, ConversationId::random(), &middle[..count], &head());
        assert!(frame.json().len() <= PAGE_BYTES_MAX);
        assert_eq!(next_page(&[vec![b' '; 70_000], vec![b' '; 10]], 0), 1);
        assert_eq!(next_page::<Vec<u8>>(&[], 0), 0);
    }
}
