//! Which conversation an id names, for a user who may know of it.

use crate::app::App;
use crate::domain::{ConversationId, ConversationRef, UserId};
use crate::error::Result;
use crate::storage::directory::listing;

/// The conversation, where it is in the user's list or was; its pair cannot be computed from its id.
pub async fn resolve(app: &App, user: UserId, id: ConversationId) -> Result<Option<ConversationRef>> {
    let listed = listing::find(&app.directory, user, id).await?;
    Ok(listed.map(|listed| match listed.peer {
        Some(peer) => ConversationRef::direct(user, peer),
        None => ConversationRef::Group { id },
    }))
}
