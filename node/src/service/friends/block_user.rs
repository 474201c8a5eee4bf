//! One user blocks another: ends their friendship, and no message passes between them after the answer.

use std::sync::Arc;

use crate::app::App;
use crate::domain::UserId;
use crate::domain::command::{Actor, PairCommand};
use crate::error::Result;
use crate::service::people::change_pair::change_pair;

pub async fn block_user(app: &Arc<App>, actor: Actor, other: UserId) -> Result<()> {
    change_pair(app, actor, other, PairCommand::Block).await.map(|_| ())
}
