//! A sender's frame, built once: each send copies it, writes number and time over it, and masks.

use crate::frame::{TEXT, write_masked};
use crate::stamp::{RunId, STAMP_LENGTH, Stamp, read_hex, write_hex, write_stamp};

/// Whom a message is for.
#[derive(Clone, Debug)]
pub enum Destination {
    User(String),
    Group(String),
}

/// The longest content, in code points, that the contract allows.
const CONTENT_LENGTH_MAX: usize = 10_000;
/// Run and number in hex.
const TEMP_ID_LENGTH: usize = 16;

pub struct Template {
    run: RunId,
    sender: u32,
    payload: Vec<u8>,
    temp_id_at: usize,
    content_at: usize,
}

impl Template {
    /// The frame of one sender; `content_length` below the stamp's length or above the contract's limit is moved there.
    pub fn build(run: RunId, sender: u32, destination: &Destination, content_length: usize) -> Self {
        let length = content_length.clamp(STAMP_LENGTH, CONTENT_LENGTH_MAX);
        let (field, id) = match destination {
            Destination::User(id) => ("receiver_id", id),
            Destination::Group(id) => ("group_id", id),
        };
        let mut payload = br#"{"type":"chat","action":"send","data":{"temp_id":""#.to_vec();
        let temp_id_at = payload.len();
        payload.extend_from_slice(&[b'0'; TEMP_ID_LENGTH]);
        payload.extend_from_slice(format!(r#"","{field}":"{id}","message_type":"text","content":""#).as_bytes());
        let content_at = payload.len();
        payload.resize(content_at + length, b'x');
        payload.extend_from_slice(br#""}}"#);
        if let Some(place) = payload.get_mut(temp_id_at..temp_id_at + 8) {
            place.copy_from_slice(&run);
        }
        Self { run, sender, payload, temp_id_at, content_at }
    }

    /// Appends the masked frame of message `number`. Sent again, it is the same byte for byte.
    pub fn write(&mut self, number: u32, intended_ns: u64, out: &mut Vec<u8>) {
        let number_at = self.temp_id_at + 8;
        write_hex(u64::from(number), self.payload.get_mut(number_at..number_at + 8));
        let stamp = Stamp { sender: self.sender, number, intended_ns };
        if let Some(content) = self.payload.get_mut(self.content_at..) {
            write_stamp(self.run, stamp, content);
        }
        write_masked(TEXT, &self.payload, out);
    }
}

/// The number in a `temp_id` of this run.
pub fn number_of_temp_id(run: RunId, temp_id: &[u8]) -> Option<u32> {
    let (run_part, number_part) = temp_id.split_at_checked(8)?;
    if run_part != run || temp_id.len() != TEMP_ID_LENGTH {
        return None;
    }
    u32::try_from(read_hex(number_part)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::read_stamp;

    #[test]
    fn a_templates_frame_is_the_contracts_send() {
        let run = *b"cafe0123";
        let mut template = Template::build(run, 3, &Destination::Group("g-1".into()), 120);
        let mut first = Vec::new();
        template.write(5, 77, &mut first);
        template.write(6, 78, &mut Vec::new());
        let mut again = Vec::new();
        template.write(5, 77, &mut again);
        assert_eq!(first, again);

        let json: serde_json::Value = serde_json::from_slice(&template.payload).unwrap();
        assert_eq!(json["type"], "chat");
        assert_eq!(json["action"], "send");
        let data = &json["data"];
        assert_eq!(data["group_id"], "g-1");
        assert_eq!(data["message_type"], "text");
        assert_eq!(number_of_temp_id(run, data["temp_id"].as_str().unwrap().as_bytes()), Some(5));
        let content = data["content"].as_str().unwrap();
        assert_eq!(content.len(), 120);
        assert_eq!(read_stamp(run, content.as_bytes()), Some(Stamp { sender: 3, number: 5, intended_ns: 77 }));
    }

    #[test]
    fn a_temp_id_of_another_run_is_not_ours() {
        assert_eq!(number_of_temp_id(*b"cafe0123", b"cafe012400000001"), None);
        assert_eq!(number_of_temp_id(*b"cafe0123", b"cafe012300000001"), Some(1));
        assert_eq!(number_of_temp_id(*b"cafe0123", b"cafe0123"), None);
        assert_eq!(number_of_temp_id(*b"cafe0123", b""), None);
    }
}
