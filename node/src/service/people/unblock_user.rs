//! One user no longer blocks another. Friendship does not come back by it.

use std::sync::Arc;

use super::change_pair::change_pair;
use crate::app::App;
use crate::domain::UserId;
use crate::domain::command::{Actor, PairCommand};
use crate::error::Result;

pub async fn unblock_user(app: &Arc<App>, actor: Actor, other: UserId) -> Result<()> {
    change_pair(app, actor, other, PairCommand::Unblock).await.map(|_| ())
}
