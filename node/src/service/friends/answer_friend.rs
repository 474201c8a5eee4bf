//! A friend request is answered.

use std::sync::Arc;

use super::list_friends::{FriendView, view_friend};
use crate::app::App;
use crate::domain::command::{Actor, PairCommand};
use crate::domain::{Refusal, Timestamp, UserId};
use crate::error::Result;
use crate::service::carry_through::carry_through;
use crate::service::people::change_pair::{find_other, look_ahead, write_pair};

/// Takes what `other` has asked. Of friends it changes nothing.
pub async fn accept_friend(app: &Arc<App>, actor: Actor, other: UserId) -> Result<FriendView> {
    let profile = find_other(app, actor.id, other).await?;
    if profile.is_out {
        return Err(Refusal::NotFound.into());
    }
    let user = actor.id;
    let at = answer(app, actor, other, PairCommand::AcceptFriend).await?;
    view_friend(app, user, profile, at).await
}

/// Refuses what `other` has asked, who may ask again.
pub async fn reject_friend(app: &Arc<App>, actor: Actor, other: UserId) -> Result<()> {
    find_other(app, actor.id, other).await?;
    answer(app, actor, other, PairCommand::RejectFriend).await?;
    Ok(())
}

async fn answer(app: &Arc<App>, actor: Actor, other: UserId, command: PairCommand) -> Result<Timestamp> {
    look_ahead(app, actor.id, other, command).await?;
    let then = Arc::clone(app);
    carry_through(
        app,
        "answer_friend",
        async move { Ok(write_pair(&then, actor, other, command, None).await?.state.at) },
    )
    .await
}
