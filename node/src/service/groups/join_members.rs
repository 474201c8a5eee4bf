//! How users come into a group, over two databases: each joining has a random token; a row with it is written to the user's list as
//! pending, then the lane makes the member, soon or never, then the mark is cleared. Whatever is left half done the sweep finishes.

use std::collections::HashSet;
use std::time::Duration;

use super::sweep_listings::settle;
use crate::app::App;
use crate::domain::command::{Actor, Command, GroupCommand, Joining, Outcome};
use crate::domain::{ConversationId, ConversationRef, JoinToken, Timestamp, UserId};
use crate::error::Result;
use crate::service::carry_through::{is_certain, retry};
use crate::storage::directory::listing;
use crate::storage::shard::lane::Request;

/// The judge refuses a joining that comes later than this after its row was written: the sweep must be able to tell the dead.
const COMMITTED_WITHIN: Duration = Duration::from_secs(5);

/// Writes the rows, runs the command that `make` makes of the joinings, and finishes the rows by what came of it.
pub(super) async fn join_members(
    app: &App,
    actor: Actor,
    conversation: ConversationId,
    users: &[UserId],
    make: impl FnOnce(Vec<Joining>, Timestamp) -> GroupCommand,
) -> Result<Outcome> {
    let joinings: Vec<Joining> = users.iter().map(|&user| Joining { user, token: JoinToken::random() }).collect();
    let pending_since = listing::add_pending(&app.directory, conversation, &joinings).await?;
    let command = Command::Group(make(joinings.clone(), pending_since.plus(COMMITTED_WITHIN)));
    let place = ConversationRef::Group { id: conversation };
    let request = Request { conversation: place, actor, command, origin: None, reply: Box::new(|_| {}) };
    match app.shards.run(request).await {
        Ok(outcome) => {
            if let Err(error) = finish(app, conversation, &joinings, &outcome).await {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "joinings wait for the sweep");
            }
            Ok(outcome)
        }
        Err(refusal) => {
            if is_certain(&refusal)
                && let Err(error) = listing::withdraw(&app.directory, conversation, &joinings).await
            {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "joinings wait for the sweep");
            }
            Err(refusal.into())
        }
    }
}

/// The token that stands in the shard wins: its row is written or confirmed, others are deleted.
async fn finish(app: &App, conversation: ConversationId, joinings: &[Joining], outcome: &Outcome) -> Result<()> {
    let Outcome::Members { joined, already, .. } = outcome else {
        return settle(app, conversation, joinings).await;
    };
    let standing: Vec<Joining> = joined.iter().chain(already).copied().collect();
    let tokens: HashSet<JoinToken> = standing.iter().map(|joining| joining.token).collect();
    let void: Vec<Joining> = joinings.iter().copied().filter(|joining| !tokens.contains(&joining.token)).collect();
    retry(|| listing::stand_in(&app.directory, conversation, &standing)).await?;
    Ok(retry(|| listing::withdraw(&app.directory, conversation, &void)).await?)
}
