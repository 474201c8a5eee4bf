//! A user ends a friendship, or takes back a request that was not answered yet. The other side is not told.

use std::sync::Arc;

use crate::app::App;
use crate::domain::command::{Actor, PairCommand};
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::people::change_pair::{change_pair, look_ahead};

pub async fn end_friendship(app: &Arc<App>, actor: Actor, other: UserId) -> Result<()> {
    if actor.id == other {
        return Err(Refusal::NotFound.into());
    }
    look_ahead(app, actor.id, other, PairCommand::EndFriend).await?;
    change_pair(app, actor, other, PairCommand::EndFriend).await.map(|_| ())
}
