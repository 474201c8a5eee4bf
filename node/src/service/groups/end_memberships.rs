//! How users go out of a group, over two databases: their list's rows are marked as uncertain, the lane ends the memberships, then the
//! rows are marked as left. A node that dies in between leaves the uncertain mark to the sweep.

use std::collections::HashSet;

use super::sweep_listings::{finish_dissolved, settle_users};
use crate::app::App;
use crate::domain::command::{Actor, Command, GroupCommand, Outcome};
use crate::domain::{ConversationId, ConversationRef, Refusal, Role, UserId};
use crate::error::Result;
use crate::service::carry_through::{is_certain, retry};
use crate::storage::directory::listing;
use crate::storage::shard::lane::Request;
use crate::storage::shard::read_members::read_some_members;

/// Runs a command that ends memberships, those of `users` or, where it dissolves the group, all. What is looked at first keeps those
/// who may not from touching anybody's rows; the lane decides.
pub(super) async fn end_memberships(
    app: &App,
    actor: Actor,
    conversation: ConversationId,
    users: &[UserId],
    command: GroupCommand,
) -> Result<Outcome> {
    let mut concerned = vec![actor.id];
    concerned.extend(users);
    let present = read_some_members(app.shards.of(conversation)?, conversation, &concerned).await?;
    let own = present.iter().find(|member| member.user == actor.id).ok_or(Refusal::NotFound)?;
    if own.role == Role::Member && !matches!(command, GroupCommand::Leave) {
        return Err(Refusal::Forbidden.into());
    }
    let doubted: Vec<UserId> = present.iter().map(|member| member.user).filter(|user| users.contains(user)).collect();
    listing::doubt(&app.directory, conversation, &doubted).await?;
    let place = ConversationRef::Group { id: conversation };
    let command = Command::Group(command);
    let request = Request { conversation: place, actor, command, origin: None, reply: Box::new(|_| {}) };
    let outcome = app.shards.run(request).await;
    let finished = match &outcome {
        Ok(outcome) => finish(app, conversation, &doubted, outcome).await,
        Err(refusal) if is_certain(refusal) => settle_users(app, conversation, &[], &doubted).await.map(|_| ()),
        Err(_) => Ok(()),
    };
    if let Err(error) = finished {
        let cause: &dyn std::error::Error = &error;
        tracing::warn!(error = cause, "ended memberships wait for the sweep");
    }
    Ok(outcome?)
}

async fn finish(app: &App, conversation: ConversationId, doubted: &[UserId], outcome: &Outcome) -> Result<()> {
    let Outcome::Members { seq, left, is_dissolved, .. } = outcome else {
        return settle_users(app, conversation, &[], doubted).await.map(|_| ());
    };
    retry(|| listing::mark_left(&app.directory, conversation, left, *seq)).await?;
    if *is_dissolved {
        return finish_dissolved(app, conversation).await;
    }
    // One who was in doubt and has not left, such as one who had left already.
    let gone: HashSet<UserId> = left.iter().map(|joining| joining.user).collect();
    let rest: Vec<UserId> = doubted.iter().copied().filter(|user| !gone.contains(user)).collect();
    if rest.is_empty() { Ok(()) } else { settle_users(app, conversation, &[], &rest).await.map(|_| ()) }
}
