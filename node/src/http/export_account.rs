//! GET /users/me/export: one JSON object, written as it is read.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

use super::auth::LoginItem;
use super::conversation_json::{ConversationJson, conversation_json};
use super::docs::describe::Shows;
use super::message_json::{MessageJson, message_json};
use super::problem::HttpResult;
use super::relationships::BlockedJson;
use super::users::UserBody;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::notification::Notification;
use crate::domain::reactions::Reactions;
use crate::domain::{ConversationId, MessageId, Refusal, Seq, Timestamp, UserId};
use crate::error::{Error, Result};
use crate::service::friends::list_friends::{FriendView, RequestView};
use crate::service::own_data::export_account::{Part, Sink, begin_export, export_account};

/// Pieces that wait for the client; the export waits when there are more.
const PIECES_MAX: usize = 4;
/// A piece is sent when it is so long.
const PIECE_BYTES: usize = 32 * 1024;

/// Arrays of the object, in the order of the parts.
const SECTIONS: [&str; 10] = [
    "logins",
    "friends",
    "friend_requests",
    "blocks",
    "notifications",
    "conversations",
    "messages",
    "reactions",
    "reads",
    "hidden",
];

/// What is written, a piece at a time: this says it to the documents.
#[derive(JsonSchema)]
#[schemars(rename = "Export")]
pub struct ExportShape {
    pub exported_at: Timestamp,
    pub profile: UserBody,
    pub logins: Vec<LoginItem>,
    pub friends: Vec<FriendView>,
    pub friend_requests: Vec<RequestView>,
    pub blocks: Vec<BlockedJson>,
    pub notifications: Vec<Notification>,
    pub conversations: Vec<ConversationJson<'static>>,
    pub messages: Vec<MessageJson<'static>>,
    pub reactions: Vec<OwnReaction>,
    pub reads: Vec<OwnRead>,
    pub hidden: Vec<OwnHidden>,
}

/// One's own reaction to a message.
#[derive(Serialize, JsonSchema)]
pub struct OwnReaction {
    message_id: MessageId,
    emoji: String,
}

/// When one read a conversation up to where.
#[derive(Serialize, JsonSchema)]
pub struct OwnRead {
    conversation_id: ConversationId,
    seq: Seq,
    read_at: Timestamp,
}

/// A message that one has hidden.
#[derive(Serialize, JsonSchema)]
pub struct OwnHidden {
    message_id: MessageId,
}

/// GET /users/me/export
pub async fn export(State(app): State<Arc<App>>, caller: Caller) -> HttpResult<Shows<ExportShape>> {
    let permit = begin_export()?;
    let (pieces, to_send) = mpsc::channel(PIECES_MAX);
    let task_app = Arc::clone(&app);
    app.tasks.spawn("export_account", async move {
        let _permit = permit;
        let app = task_app;
        let mut writer = Writer { caller: caller.clone(), pieces, text: Vec::new(), section: None, is_first: true };
        let outcome = tokio::select! {
            outcome = write(&app, &mut writer) => outcome,
            () = app.tasks.stopping() => Err(Refusal::Unavailable.into()),
        };
        if let Err(error) = outcome {
            error.into_refusal();
            // The object stays open: nobody takes it for the whole.
            let _ = writer.pieces.send(None).await;
        }
    });
    let body = stream::unfold(to_send, async |mut to_send: mpsc::Receiver<Option<Bytes>>| {
        let piece = match to_send.recv().await? {
            Some(piece) => Ok(piece),
            None => Err(std::io::Error::other("the export was cut off")),
        };
        Some((piece, to_send))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"herald-export.json\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(body)).into_response().into())
}

async fn write(app: &App, writer: &mut Writer) -> Result<()> {
    writer.begin(app.clock.now())?;
    let caller = writer.caller.clone();
    export_account(app, &caller, writer).await?;
    writer.enter(SECTIONS.len())?;
    writer.text.push(b'}');
    writer.flush().await
}

struct Writer {
    caller: Caller,
    /// `None`: it failed.
    pieces: mpsc::Sender<Option<Bytes>>,
    text: Vec<u8>,
    /// Whose array is open.
    section: Option<usize>,
    is_first: bool,
}

impl Writer {
    fn begin(&mut self, now: Timestamp) -> Result<()> {
        self.text.extend_from_slice(b"{\"exported_at\":");
        self.value(&now)
    }

    fn value<T: Serialize>(&mut self, value: &T) -> Result<()> {
        serde_json::to_writer(&mut self.text, value).map_err(Error::internal)
    }

    /// Closes the arrays before this section, and opens its own.
    fn enter(&mut self, section: usize) -> Result<()> {
        while self.section != Some(section) {
            let next = self.section.map_or(0, |open| open + 1);
            if self.section.is_some() {
                self.text.push(b']');
            }
            let Some(name) = SECTIONS.get(next) else { return Ok(()) };
            self.text.push(b',');
            self.value(name)?;
            self.text.extend_from_slice(b":[");
            self.section = Some(next);
            self.is_first = true;
        }
        Ok(())
    }

    fn item<T: Serialize>(&mut self, section: usize, item: &T) -> Result<()> {
        self.enter(section)?;
        if !std::mem::replace(&mut self.is_first, false) {
            self.text.push(b',');
        }
        self.value(item)
    }

    async fn flush(&mut self) -> Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.text));
        // The client has gone.
        self.pieces.send(Some(piece)).await.map_err(|_| Refusal::Unavailable.into())
    }
}

impl Sink for Writer {
    async fn take(&mut self, part: Part) -> Result<()> {
        let reader: UserId = self.caller.user;
        match part {
            Part::Profile(account) => {
                self.text.extend_from_slice(b",\"profile\":");
                self.value(&UserBody::from(*account))?;
            }
            Part::Login(login) => {
                let item = LoginItem::new(login, &self.caller);
                self.item(0, &item)?;
            }
            Part::Friend(friend) => self.item(1, &friend)?,
            Part::Request(request) => self.item(2, &request)?,
            Part::Blocked(user, since) => self.item(3, &BlockedJson { user, since })?,
            Part::Notification(notification) => self.item(4, &notification)?,
            Part::Conversation(view) => self.item(5, &conversation_json(&view, reader))?,
            Part::Message(conversation, entry) => {
                if let Some(message) = message_json(&conversation, &entry, &Reactions::new(), reader) {
                    self.item(6, &message)?;
                }
            }
            Part::Reaction(message_id, emoji) => self.item(7, &OwnReaction { message_id, emoji })?,
            Part::Read(mark) => {
                let item = OwnRead { conversation_id: mark.conversation, seq: mark.seq, read_at: mark.at };
                self.item(8, &item)?;
            }
            Part::Hidden(message_id) => self.item(9, &OwnHidden { message_id })?,
        }
        if self.text.len() >= PIECE_BYTES {
            self.flush().await?;
        }
        Ok(())
    }
}
