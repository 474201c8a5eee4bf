//! Changes what stands between two users: blocks and friendship. The truth is the row of their conversation, changed under its lock
//! by the lane, so that every send is either before the change or after it. The directory's lists are copied from it, and the other user
//! is told, before the caller has its answer; a mark made first lets the sweep finish that after a crash.

use std::sync::Arc;

use uuid::Uuid;

use super::tell_relationship::tell_relationship;
use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome, PairCommand, PairState};
use crate::domain::friend_request::FriendAction;
use crate::domain::judge::model::Pair;
use crate::domain::profile::Profile;
use crate::domain::{ConversationRef, Refusal, UserId, judge};
use crate::error::{Error, Result};
use crate::service::carry_through::{carry_through, is_certain, retry};
use crate::service::notifications::notify::show;
use crate::service::people::friend_news::news_of;
use crate::storage::directory::pairs::{self, PendingPair, TellWhen, Telling};
use crate::storage::directory::profiles;
use crate::storage::shard::lane::Request;
use crate::storage::shard::read_members::read_pair;

/// How a pair stands after a change, and whether it was one.
#[derive(Clone, Copy, Debug)]
pub struct Changed {
    pub state: PairState,
    pub has_changed: bool,
}

/// Changes the actor's pair with `other`, who must exist.
pub async fn change_pair(app: &Arc<App>, actor: Actor, other: UserId, command: PairCommand) -> Result<Changed> {
    find_other(app, actor.id, other).await?;
    let then = Arc::clone(app);
    carry_through(app, "change_pair", async move { write_pair(&then, actor, other, command, None).await }).await
}

/// The other user of a pair, who is not the caller.
pub async fn find_other(app: &App, user: UserId, other: UserId) -> Result<Profile> {
    if other == user {
        return Err(Refusal::field("user_id", "is yourself").into());
    }
    let profile = profiles::read_profiles(&app.directory, &[other]).await?.remove(&other);
    Ok(profile.ok_or(Refusal::NotFound)?)
}

/// What would come of a change now: spares the write, and a row, where it would be refused.
pub async fn look_ahead(app: &App, user: UserId, other: UserId, command: PairCommand) -> Result<(Pair, HasChanged)> {
    let reference = ConversationRef::direct(user, other);
    let found = read_pair(app.shards.of(reference.id())?, reference.id()).await?;
    let mut pair = found.map(|(pair, _)| pair).unwrap_or_default();
    let has_changed = judge::pair::change_pair(reference, &mut pair, user, command)?;
    Ok((pair, has_changed))
}

type HasChanged = bool;

/// The change itself, to its end. `message`: of the one who asks for friendship by it.
pub async fn write_pair(
    app: &App,
    actor: Actor,
    other: UserId,
    command: PairCommand,
    message: Option<String>,
) -> Result<Changed> {
    let conversation = ConversationRef::direct(actor.id, other);
    let (low, high) = if actor.id < other { (actor.id, other) } else { (other, actor.id) };
    let action = match command {
        PairCommand::AskFriend => Some(FriendAction::Ask),
        PairCommand::AcceptFriend => Some(FriendAction::Accept),
        PairCommand::RejectFriend => Some(FriendAction::Reject),
        _ => None,
    };
    let telling = action.map(|action| Telling { actor: actor.id, action, message });
    let pending = PendingPair { low, high, token: Uuid::new_v4(), telling };
    pairs::add_pending(&app.directory, &pending).await?;
    let command = Command::Pair(command);
    let request = Request { conversation, actor, command, origin: None, reply: Box::new(|_| {}) };
    let (before, changed) = match app.shards.run(request).await {
        Ok(Outcome::Pair { before, state, has_changed }) => (before, Changed { state, has_changed }),
        Ok(other) => return Err(Error::internal(format!("a change of a pair came out as {other:?}"))),
        Err(refusal) => {
            if is_certain(&refusal) {
                pairs::delete_pending(&app.directory, &pending).await?;
            }
            return Err(refusal.into());
        }
    };
    // One that changed nothing may be the repeat of one that did, and whose node died before it told anybody.
    let when = if changed.has_changed { TellWhen::Always } else { TellWhen::IfNew };
    finish_pair(app, &pending, &changed.state, when).await?;
    tell_relationship(app, low, high, &before, &changed.state).await;
    Ok(changed)
}

/// Copies the state to both users' lists, tells the other of it, and takes the mark away, in one transaction.
pub(super) async fn finish_pair(app: &App, pending: &PendingPair, state: &PairState, when: TellWhen) -> Result<()> {
    let (low, high) = (pending.low, pending.high);
    let asks = |telling: &Telling| telling.message.clone().filter(|_| state.asker(low, high) == Some(telling.actor));
    let message = pending.telling.as_ref().and_then(asks);
    let news = news_of(app, pending, state, when).await?;
    let told_at =
        retry(|| pairs::finish_pending(&app.directory, pending, state, message.as_deref(), news.as_ref())).await?;
    app.pair_memory.forget(low);
    app.pair_memory.forget(high);
    if let (Some(news), Some(at)) = (news, told_at) {
        show(app, news.id, &[news.receiver], &news.notification, at).await;
    }
    Ok(())
}
