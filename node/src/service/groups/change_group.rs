//! Changes of a group that leave its members as they are: name and the like, roles, mutes. The lane decides who may.

use std::sync::Arc;

use crate::app::App;
use crate::domain::command::{Actor, Command, GroupCommand};
use crate::domain::entry::Updated;
use crate::domain::{ConversationId, ConversationRef, Role, Timestamp, UserId};
use crate::error::Result;
use crate::storage::shard::lane::Request;

/// Gives a group another name, picture or announcement, or mutes it. Owner and admins.
pub async fn update_group(app: &Arc<App>, actor: Actor, group: ConversationId, updated: Updated) -> Result<()> {
    run(app, actor, group, GroupCommand::Update(updated)).await
}

/// Gives a member another role; `Owner` hands the group over. Owner only.
pub async fn set_role(app: &Arc<App>, actor: Actor, group: ConversationId, user: UserId, role: Role) -> Result<()> {
    run(app, actor, group, GroupCommand::SetRole { user, role }).await
}

/// Keeps a member from writing until then; none, or a past time, ends it. Owner and admins.
pub async fn mute_member(
    app: &Arc<App>,
    actor: Actor,
    group: ConversationId,
    user: UserId,
    muted_until: Option<Timestamp>,
) -> Result<()> {
    run(app, actor, group, GroupCommand::Mute { user, muted_until }).await
}

async fn run(app: &Arc<App>, actor: Actor, group: ConversationId, command: GroupCommand) -> Result<()> {
    let conversation = ConversationRef::Group { id: group };
    let command = Command::Group(command);
    app.shards.run(Request { conversation, actor, command, origin: None, reply: Box::new(|_| {}) }).await?;
    Ok(())
}
