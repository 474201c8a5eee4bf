//! Which conversation an id names, for a user who may know of it.

use crate::app::App;
use crate::domain::{ConversationId, ConversationRef, UserId};
use crate::error::Result;
use crate::storage::directory::read_listing;
use crate::storage::shard::read_states;

/// The conversation: by its row, or by the user's list where a direct one has no entry yet; a pair cannot be computed from an id. Of
/// a group it is not yet known whether the user is a member: whoever acts on it is judged there.
pub async fn resolve(app: &App, user: UserId, id: ConversationId) -> Result<Option<ConversationRef>> {
    if let Some(known) = app.away.reference(id) {
        return Ok(Some(known).filter(|known| may_know(known, user)));
    }
    let shard = app.shards.of(id)?;
    let mut found = read_states::read_reference(shard, id).await?;
    if found.is_none() {
        let listed = read_listing::read_peers(&app.directory, user, &[id]).await?;
        found = listed.first().map(|(_, peer)| ConversationRef::direct(user, *peer)).filter(|direct| direct.id() == id);
    }
    if let Some(found) = found {
        app.away.remember_reference(found);
    }
    Ok(found.filter(|found| may_know(found, user)))
}

fn may_know(conversation: &ConversationRef, user: UserId) -> bool {
    match conversation {
        ConversationRef::Direct { low, high, .. } => *low == user || *high == user,
        ConversationRef::Group { .. } => true,
    }
}
