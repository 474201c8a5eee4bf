//! Changes what stands between two users: blocks and friendship. The truth is the row of their conversation, changed under its lock
//! by the lane, so that every send is either before the change or after it. The directory's lists are copied from it before the
//! caller has its answer; a mark made first lets the sweep finish that after a crash.

use std::sync::Arc;

use uuid::Uuid;

use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome, PairCommand, PairState};
use crate::domain::{ConversationRef, Refusal, UserId};
use crate::error::{Error, Result};
use crate::service::carry_through::{carry_through, is_certain, retry};
use crate::storage::directory::pairs::{self, PendingPair};
use crate::storage::directory::profiles;
use crate::storage::shard::lane::Request;

/// Changes the actor's pair with `other`, who must exist.
pub async fn change_pair(app: &Arc<App>, actor: Actor, other: UserId, command: PairCommand) -> Result<PairState> {
    if other == actor.id {
        return Err(Refusal::field("user_id", "is yourself").into());
    }
    if profiles::read_profiles(&app.directory, &[other]).await?.is_empty() {
        return Err(Refusal::NotFound.into());
    }
    let then = Arc::clone(app);
    carry_through(app, "change_pair", async move { write_pair(&then, actor, other, command).await }).await
}

async fn write_pair(app: &App, actor: Actor, other: UserId, command: PairCommand) -> Result<PairState> {
    let conversation = ConversationRef::direct(actor.id, other);
    let (low, high) = if actor.id < other { (actor.id, other) } else { (other, actor.id) };
    let pending = PendingPair { low, high, token: Uuid::new_v4() };
    pairs::add_pending(&app.directory, pending).await?;
    let command = Command::Pair(command);
    let request = Request { conversation, actor, command, origin: None, reply: Box::new(|_| {}) };
    let state = match app.shards.run(request).await {
        Ok(Outcome::Pair(state)) => state,
        Ok(other) => return Err(Error::internal(format!("a change of a pair came out as {other:?}"))),
        Err(refusal) => {
            if is_certain(&refusal) {
                pairs::delete_pending(&app.directory, pending).await?;
            }
            return Err(refusal.into());
        }
    };
    copy_pair(app, pending, &state).await?;
    Ok(state)
}

/// Copies the state to both users' lists and takes the mark away.
pub(super) async fn copy_pair(app: &App, pending: PendingPair, state: &PairState) -> Result<()> {
    retry(|| pairs::copy_state(&app.directory, pending.low, pending.high, state)).await?;
    app.pair_memory.forget(pending.low);
    app.pair_memory.forget(pending.high);
    retry(|| pairs::delete_pending(&app.directory, pending)).await?;
    Ok(())
}
