//! Makes two users friends, or ends it. Who may ask for that is decided by the caller.

use std::sync::Arc;

use super::change_pair::change_pair;
use crate::app::App;
use crate::domain::UserId;
use crate::domain::command::{Actor, PairCommand};
use crate::error::Result;

pub async fn make_friends(app: &Arc<App>, actor: Actor, other: UserId, is_friends: bool) -> Result<()> {
    change_pair(app, actor, other, PairCommand::SetFriends { is_friends }).await.map(|_| ())
}
