//! Frames that clients send (contract 2.3): from bytes to a type that cannot be wrong, or to the refusal that says what is.

mod data;
mod read;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use serde::Deserialize;
use serde::de::IgnoredAny;
use simd_json::Buffers;
use uuid::Uuid;

use super::check_json::{bad_text, look_over, silence_bad_text, silence_great_numbers};
use super::field::{Faults, Text};
use crate::domain::command::Position;
use crate::domain::send::SendRequest;
use crate::domain::status::ChosenStatus;
use crate::domain::sync::SyncRequest;
use crate::domain::text::{CONTENT_MAX, EMOJI_MAX};
use crate::domain::{ConversationId, Refusal, Seq, UserId};
use data::DataField;
use read::{read_acknowledge, read_auth, read_change, read_read, read_status, read_sync, read_typing};

/// Greatest `id` of a frame, in code points: it is kept while its answer is made.
pub const FRAME_ID_MAX: usize = 256;
/// Greatest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8_192;

/// One frame of a client, or why it is none.
#[derive(Debug)]
pub struct Parsed {
    /// The client's `id`, for the answer, wherever it can be read.
    pub id: Option<String>,
    /// Of a send, for the answer, wherever it can be read.
    pub temp_id: Option<String>,
    pub frame: Result<ClientFrame, Refusal>,
}

#[derive(Debug)]
pub enum ClientFrame {
    Auth(Auth),
    Send(Box<SendRequest>),
    Recall { message: Uuid },
    Edit { message: Uuid, content: String },
    React { message: Uuid, emoji: String, add: bool },
    Read { conversation: ConversationId, position: Position },
    Acknowledge { conversation: ConversationId, seq: Seq },
    Typing { to: TypingTo, is_typing: bool },
    Status(ChosenStatus),
    Sync(SyncRequest),
    Ping,
}

#[derive(Debug)]
pub struct Auth {
    pub token: String,
    /// A damaged one is told after success: the connection stays.
    pub sync: Option<Result<SyncRequest, Refusal>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypingTo {
    User(UserId),
    Conversation(ConversationId),
}

thread_local! {
    /// The parser's buffers, reused by all sessions of a thread: making them anew costs more than parsing.
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers::new(4_096));
}

/// Reads one frame; the bytes are used up, since the parser unescapes in place.
pub fn parse(json: &mut [u8]) -> Parsed {
    let refused = |refusal| Parsed { id: None, temp_id: None, frame: Err(refusal) };
    let look = match look_over(json) {
        Ok(look) => look,
        Err(refusal) => return refused(refusal),
    };
    let mut checked = Ok(());
    if look.has_bad_text {
        silence_bad_text(json);
        checked = Err(bad_text());
    }
    let is_object = json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let envelope = if look.has_great_number {
        read_with_great_numbers(json, is_object, &mut checked)
    } else {
        BUFFERS.with_borrow_mut(|buffers| {
            let mut reader =
                simd_json::Deserializer::from_slice_with_buffers(json, buffers).map_err(|_| Refusal::InvalidJson)?;
            require_object(is_object)?;
            Envelope::deserialize(&mut reader).map_err(|_| twice())
        })
    };
    let envelope = match envelope {
        Ok(envelope) => envelope,
        Err(refusal) => return refused(refusal),
    };
    let (id, temp_id) = (envelope.id.shown(FRAME_ID_MAX), envelope.data.temp_id());
    let frame = read(envelope);
    let frame = match checked {
        // What is wrong with a text is told by its field where it is one of the frame's own.
        Err(refusal) if frame.is_ok() => Err(refusal),
        _ => frame,
    };
    Parsed { id, temp_id, frame }
}

/// The fast parser refuses numbers beyond 64 bits. This one takes the nearest double; a number that has none is refused where a field
/// of ours has it, and silenced, so that the rest of the frame can be read.
fn read_with_great_numbers(
    json: &mut [u8],
    is_object: bool,
    checked: &mut Result<(), Refusal>,
) -> Result<Envelope, Refusal> {
    serde_json::from_slice::<IgnoredAny>(json).map_err(|_| Refusal::InvalidJson)?;
    require_object(is_object)?;
    match serde_json::from_slice(json) {
        Ok(envelope) => return Ok(envelope),
        Err(error) if error.is_data() => return Err(twice()),
        Err(_) => {}
    }
    silence_great_numbers(json);
    let envelope = serde_json::from_slice(json).map_err(|_| Refusal::InvalidJson)?;
    *checked = Err(Refusal::field("", "a number is out of range"));
    Ok(envelope)
}

fn require_object(is_object: bool) -> Result<(), Refusal> {
    if is_object { Ok(()) } else { Err(Refusal::field("type", "the frame must be an object")) }
}

fn twice() -> Refusal {
    Refusal::field("", "a field is there twice")
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope {
    r#type: Text,
    action: Text,
    id: Text,
    token: Text,
    sync: DataField,
    data: DataField,
}

fn read(envelope: Envelope) -> Result<ClientFrame, Refusal> {
    let Envelope { r#type, action, id, token, sync, data } = envelope;
    let mut faults = Faults::default();
    if faults.optional_text("id", id, 0, FRAME_ID_MAX).is_none() {
        faults.check()?;
        faults = Faults::default();
    }
    let Some(kind) = faults.text("type", r#type, 0, usize::MAX) else {
        return Err(faults.check().err().unwrap_or(Refusal::UnknownType));
    };
    match kind.as_str() {
        "ping" | "heartbeat" => Ok(ClientFrame::Ping),
        "auth" => read_auth(faults, token, sync),
        "chat" => {
            let Some(action) = faults.text("action", action, 0, usize::MAX) else {
                return Err(faults.check().err().unwrap_or(Refusal::UnknownType));
            };
            match action.as_str() {
                "send" => data.given()?.into_send().parse().map(|request| ClientFrame::Send(Box::new(request))),
                "recall" => read_change(data, |_, _| (), |message, ()| ClientFrame::Recall { message }),
                "edit" => read_change(
                    data,
                    |faults, data| faults.text("content", data.content, 1, CONTENT_MAX),
                    |message, content| ClientFrame::Edit { message, content: content.unwrap_or_default() },
                ),
                "react" => read_change(
                    data,
                    |faults, data| (faults.text("emoji", data.emoji, 1, EMOJI_MAX), faults.flag("add", data.add)),
                    |message, (emoji, add)| ClientFrame::React { message, emoji: emoji.unwrap_or_default(), add },
                ),
                _ => Err(Refusal::UnknownType),
            }
        }
        "read" => read_read(data.given()?.as_ref()),
        "ack" => read_acknowledge(data.given()?.as_ref()),
        "typing" => read_typing(data.given()?.as_ref()),
        "status" => read_status(*data.given()?),
        "sync" => read_sync(*data.given()?).map(ClientFrame::Sync),
        _ => Err(Refusal::UnknownType),
    }
}
