//! Gives a client what it missed: by a cursor what changed in all its conversations, or exactly what follows in those it names.

use std::sync::Arc;

use super::Given;
use super::plan_sync::Seen;
use super::sync_by_cursor::sync_by_cursor;
use super::sync_conversations::sync_conversations;
use crate::app::App;
use crate::domain::sync::{Held, SyncRequest};
use crate::domain::{ConversationId, Refusal};
use crate::error::Error;
use crate::hub::SessionHandle;

/// Answers a `sync`. A refusal is the caller's to tell; pages may have been sent before it.
pub async fn sync(
    app: &Arc<App>,
    session: &Arc<SessionHandle>,
    request: SyncRequest,
    frame_id: Option<&str>,
) -> Result<Given, Refusal> {
    let Some(_turn) = session.syncs.take().await else {
        return Err(Refusal::RateLimited { retry_after_ms: 1_000 });
    };
    let seen = note_seen(session, &request.seen);
    let synced = match &request.conversations {
        Some(conversations) => sync_conversations(app, session, &request, conversations, &seen, frame_id).await,
        None => sync_by_cursor(app, session, &request, &seen, frame_id).await,
    };
    synced.map_err(Error::into_refusal)
}

/// What the client says that it holds is received.
fn note_seen(session: &SessionHandle, seen: &[Held]) -> Seen {
    let mut highest = Seen::new();
    for held in seen {
        let seq = highest.entry(held.conversation_id).or_default();
        *seq = held.seq.max(*seq);
        if let Some(conversation) = ConversationId::from_uuid(held.conversation_id) {
            session.claimed(conversation, held.seq);
        }
    }
    highest
}
