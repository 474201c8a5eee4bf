//! What recalls, edits and reactions have in common: each is an entry of its own about a message of the same log. On a socket the
//! entry's frame, delivered in the order of the log, is the answer; only what changed nothing is answered here.

use std::sync::Arc;

use uuid::Uuid;

use super::await_reply::await_reply;
use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome};
use crate::domain::{ConversationRef, MessageId, Refusal, Seq, Timestamp, UserId};
use crate::error::{Error, Result};
use crate::protocol::frame::Frame;
use crate::protocol::server::{EditedData, ReactedData, RecalledData, frame};
use crate::service::conversations::resolve::resolve;
use crate::service::limits::check_rate::check_change;
use crate::storage::shard::lane::{Origin, Request};

/// What is to become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Recall,
    Edit { content: String },
    React { emoji: String, add: bool },
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Changed {
    /// An entry, whose frame the asking session gets like everyone.
    Wrote,
    /// Nothing: the frame that says how it stands, for the asking session alone.
    Unchanged(Frame),
}

/// The state that a change found and left.
struct Stands {
    seq: Seq,
    at: Timestamp,
    by: UserId,
    content: Option<String>,
}

/// Asks for a change. Returns when it is queued; `reply` is called exactly once.
pub(super) async fn change_message(
    app: &Arc<App>,
    actor: Actor,
    message: Uuid,
    change: Change,
    origin: Option<Origin>,
    reply: impl FnOnce(Result<Changed, Refusal>) + Send + 'static,
) {
    let (conversation, message) = match find(app, &actor, message).await {
        Ok(found) => found,
        Err(error) => return reply(Err(error.into_refusal())),
    };
    let command = match change.clone() {
        Change::Recall => Command::Recall { message: message.seq() },
        Change::Edit { content } => Command::Edit { message: message.seq(), content },
        Change::React { emoji, add } => Command::React { message: message.seq(), emoji, add },
    };
    let frame_id = origin.as_ref().and_then(|origin| origin.frame_id.clone());
    let then = move |result: Result<Outcome, Refusal>| {
        reply(result.and_then(|outcome| match outcome {
            Outcome::Wrote { .. } => Ok(Changed::Wrote),
            Outcome::Unchanged { seq, at, by, message: state } => {
                let stands = Stands { seq, at, by, content: state.content };
                Ok(Changed::Unchanged(frame_of(message, &change, &stands, frame_id.as_deref())))
            }
            other => Err(Error::internal(format!("a change of a message came out as {other:?}")).into_refusal()),
        }));
    };
    app.shards.submit(Request { conversation, actor, command, origin, reply: Box::new(then) });
}

/// The same, waiting for the answer.
pub(super) async fn change_and_wait(app: &Arc<App>, actor: Actor, message: Uuid, change: Change) -> Result<Changed> {
    let (reply, answer) = await_reply();
    change_message(app, actor, message, change, None, reply).await;
    answer.await
}

/// The message's place. The rate comes first: a change counts once it is well-formed.
pub(super) async fn find(app: &Arc<App>, actor: &Actor, message: Uuid) -> Result<(ConversationRef, MessageId)> {
    if let Err(retry_after_ms) = check_change(app, actor.id).await {
        return Err(Refusal::RateLimited { retry_after_ms }.into());
    }
    let message = MessageId::from_uuid(message).ok_or(Refusal::NotFound)?;
    let conversation = resolve(app, actor.id, message.conversation()).await?.ok_or(Refusal::NotFound)?;
    Ok((conversation, message))
}

fn frame_of(message_id: MessageId, change: &Change, stands: &Stands, id: Option<&str>) -> Frame {
    let (conversation_id, message_seq, seq) = (message_id.conversation(), message_id.seq(), stands.seq);
    match change {
        Change::Recall => {
            let (recalled_by, recalled_at) = (stands.by, stands.at);
            let data = RecalledData { message_id, conversation_id, seq, message_seq, recalled_by, recalled_at };
            frame("chat", Some("message_recalled"), id, data)
        }
        Change::Edit { .. } => {
            let content = stands.content.as_deref();
            // The message itself made its content: it was never edited.
            let edited_at = (seq != message_seq).then_some(stands.at);
            let data = EditedData { message_id, conversation_id, seq, message_seq, content, edited_at };
            frame("chat", Some("message_edited"), id, data)
        }
        Change::React { emoji, add } => {
            let user_id = stands.by;
            let data = ReactedData { message_id, conversation_id, seq, message_seq, user_id, emoji, add: *add };
            frame("chat", Some("message_reacted"), id, data)
        }
    }
}
