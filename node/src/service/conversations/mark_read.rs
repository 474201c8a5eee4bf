//! Moves a user's read position forward, and tells whom it concerns.

use std::sync::Arc;

use super::count_unread::total_unread;
use super::resolve::resolve;
use super::tell_positions::tell_others;
use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome, Position};
use crate::domain::{ConversationId, ConversationRef, Refusal, Seq, UserId};
use crate::error::{Error, Result};
use crate::protocol::server::{UnreadCountData, unread_count_update};
use crate::service::delivery::signal;
use crate::storage::shard::lane::{Origin, Request};

/// A read position after the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    pub read_seq: Seq,
    pub unread_count: i64,
    pub has_moved: bool,
}

/// Marks a conversation as read up to a position. The session that asked gets its answer with the frame's id; the user's other
/// devices get the same without, and other members `read`, where they may see it.
pub async fn mark_read(
    app: &Arc<App>,
    reader: Actor,
    conversation: ConversationId,
    position: Position,
    origin: Option<Origin>,
) -> Result<ReadOutcome> {
    let user = reader.id;
    let conversation = resolve(app, user, conversation).await?.ok_or(Refusal::NotFound)?;
    let request = Request {
        conversation,
        actor: reader,
        command: Command::Read { position },
        origin: None,
        reply: Box::new(|_| {}),
    };
    let (outcome, ordinals) = match app.shards.run(request).await {
        Ok(Outcome::Read { read_seq, unread_count, last_ordinal, read_ordinal, has_moved }) => {
            (ReadOutcome { read_seq, unread_count, has_moved }, (last_ordinal, read_ordinal))
        }
        // A pair that is listed and has no row: nobody has written, so there is nothing to read.
        Err(Refusal::NotFound)
            if matches!(conversation, ConversationRef::Direct { .. }) && !matches!(position, Position::Message(_)) =>
        {
            (ReadOutcome { read_seq: Seq::ZERO, unread_count: 0, has_moved: false }, (0, 0))
        }
        Err(refusal) => return Err(refusal.into()),
        Ok(other) => return Err(Error::internal(format!("reading came out as {other:?}"))),
    };
    tell_reader(app, user, conversation.id(), outcome, ordinals, origin.as_ref()).await;
    if outcome.has_moved {
        let app = Arc::clone(app);
        app.tasks.clone().spawn("tell-read", async move {
            if let Err(error) = tell_others(&app, user, conversation, outcome.read_seq).await {
                tracing::debug!(%error, "others are not told of a read position");
            }
        });
    }
    Ok(outcome)
}

/// `unread_count_update` on the reader's devices: on all of them if the position moved, else as the answer only.
async fn tell_reader(
    app: &App,
    user: UserId,
    conversation: ConversationId,
    outcome: ReadOutcome,
    (last_ordinal, read_ordinal): (i64, i64),
    origin: Option<&Origin>,
) {
    let unread_count = outcome.unread_count;
    let total_unread = total_unread(app, user, conversation, unread_count).await;
    let data = UnreadCountData { conversation_id: conversation, unread_count, total_unread };
    let session = origin.and_then(|origin| app.hub.get(origin.session));
    if let Some(session) = &session {
        session.send(&unread_count_update(origin.and_then(|origin| origin.frame_id.as_deref()), &data));
    }
    if outcome.has_moved {
        let frame = unread_count_update(None, &data);
        let answer = Some((&frame, session.map(|session| session.id)));
        signal::signal_unread(app, user, conversation, last_ordinal, read_ordinal, answer).await;
    }
}
