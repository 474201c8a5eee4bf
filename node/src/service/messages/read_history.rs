//! Messages of one conversation, page by page, in their present state.

use super::view_messages::{MessageView, view_messages};
use crate::app::App;
use crate::domain::{ConversationId, ConversationRef, Refusal, Seq, UserId};
use crate::error::Result;
use crate::service::conversations::resolve::resolve;
use crate::storage::directory::profiles::read_profiles;
use crate::storage::shard::read_entries::{Range, read_messages};
use crate::storage::shard::read_states::read_states;

/// Which messages: between two seqs, both exclusive. With `after` the oldest come first, else the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Between {
    pub after: Option<Seq>,
    pub before: Option<Seq>,
}

/// A page of messages.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub messages: Vec<MessageView>,
}

/// Messages of a conversation that the reader is in.
pub async fn read_history(
    app: &App,
    reader: UserId,
    id: ConversationId,
    between: Between,
    limit: usize,
) -> Result<History> {
    let conversation = resolve(app, reader, id).await?.ok_or(Refusal::NotFound)?;
    read(app, reader, conversation, between, limit).await
}

/// The same of the direct conversation with a user; empty where nobody has written.
pub async fn read_direct_history(
    app: &App,
    reader: UserId,
    peer: UserId,
    between: Between,
    limit: usize,
) -> Result<History> {
    if reader == peer {
        return Err(Refusal::NotFound.into());
    }
    let history = read(app, reader, ConversationRef::direct(reader, peer), between, limit).await?;
    if history.messages.is_empty() && read_profiles(&app.directory, &[peer]).await?.is_empty() {
        return Err(Refusal::NotFound.into());
    }
    Ok(history)
}

async fn read(
    app: &App,
    reader: UserId,
    conversation: ConversationRef,
    between: Between,
    limit: usize,
) -> Result<History> {
    let id = conversation.id();
    let shard = app.shards.of(id)?;
    let states = read_states(shard, reader, &[id]).await?;
    let Some(state) = states.first().filter(|state| !state.is_left()) else {
        // A pair that has never written has no row; a group without a membership is nobody's business.
        return match conversation {
            ConversationRef::Direct { .. } => Ok(History::default()),
            ConversationRef::Group { .. } => Err(Refusal::NotFound.into()),
        };
    };
    let range = Range {
        conversation: id,
        low: between.after.map_or(state.first_seq, |after| state.first_seq.max(Seq(after.0.saturating_add(1)))),
        high: between.before.map_or(state.last_seq, |before| state.last_seq.min(Seq(before.0.saturating_sub(1)))),
    };
    if range.is_empty() {
        return Ok(History::default());
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let entries = read_messages(shard, range, between.after.is_some(), limit).await?;
    let entries = entries.into_iter().map(|entry| (conversation, entry)).collect();
    Ok(History { messages: view_messages(app, reader, entries).await? })
}
