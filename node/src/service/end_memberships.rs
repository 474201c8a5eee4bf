//! How users go out of a group, over two databases: their list's rows are marked as uncertain, the lane ends the memberships, then the
//! rows are marked as left. A node that dies in between leaves the uncertain mark to the sweep.

use super::carry_through::{is_certain, retry};
use super::sweep_listings::{finish_dissolved, settle_users};
use crate::app::App;
use crate::domain::command::{Actor, Command, GroupCommand, Outcome};
use crate::domain::{ConversationId, ConversationRef, UserId};
use crate::error::Result;
use crate::storage::directory::listing;
use crate::storage::shard::lane::Request;

/// Runs a command that ends memberships, those of `users` or, where it dissolves the group, all.
pub(super) async fn end_memberships(
    app: &App,
    actor: Actor,
    conversation: ConversationId,
    users: &[UserId],
    command: GroupCommand,
) -> Result<Outcome> {
    listing::doubt(&app.directory, conversation, users).await?;
    let place = ConversationRef::Group { id: conversation };
    let command = Command::Group(command);
    let request = Request { conversation: place, actor, command, origin: None, reply: Box::new(|_| {}) };
    let outcome = app.shards.run(request).await;
    let finished = match &outcome {
        Ok(outcome) => finish(app, conversation, users, outcome).await,
        Err(refusal) if is_certain(refusal) => settle_users(app, conversation, users).await,
        Err(_) => Ok(()),
    };
    if let Err(error) = finished {
        let cause: &dyn std::error::Error = &error;
        tracing::warn!(error = cause, "ended memberships wait for the sweep");
    }
    Ok(outcome?)
}

async fn finish(app: &App, conversation: ConversationId, users: &[UserId], outcome: &Outcome) -> Result<()> {
    if let Outcome::Members { seq, left, is_dissolved, .. } = outcome {
        retry(|| listing::mark_left(&app.directory, conversation, left, *seq)).await?;
        if *is_dissolved {
            return finish_dissolved(app, conversation).await;
        }
    }
    settle_users(app, conversation, users).await
}
