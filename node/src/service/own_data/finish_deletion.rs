//! What becomes of a deleted user's groups, friendships, blocks and lists. Every step may be repeated, so that the sweep can begin
//! again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::app::App;
use crate::domain::command::{Actor, PairCommand};
use crate::domain::{ConversationId, Refusal, Role, UserId};
use crate::error::{Error, Result};
use crate::service::groups::change_group::set_role;
use crate::service::groups::dissolve_group::dissolve_group;
use crate::service::groups::leave_group::leave_group;
use crate::service::people::change_pair::change_pair;
use crate::storage::directory::deletions::{self, Deletion, delete_lists, read_unfinished};
use crate::storage::directory::pairs::{find_peers, read_blocked};
use crate::storage::directory::read_listing::{read_joined, read_listed};
use crate::storage::shard::own_rows::{delete_own_hidden, delete_own_marks};
use crate::storage::shard::read_heirs::read_heirs;
use crate::storage::shard::read_members::read_some_members;

/// After this time nothing that was begun before a deletion is on its way any more, such as a joining.
pub const DELETION_AGE: Duration = Duration::from_secs(30);
/// Deletions of one look.
const DELETIONS_MAX: i64 = 100;
/// Pairs of one page.
const PEERS_MAX: i64 = 200;
/// Members who are asked to take a group over; those before them are deleted or disabled themselves.
const HEIRS_MAX: i64 = 1_000;
/// Conversations of one statement.
const CONVERSATIONS_AT_ONCE: usize = 1_000;
/// Times that a group is tried while others change its roles.
const TRIES: usize = 5;

/// Looks at deletions that were not finished `age` ago. Answers how many are now.
pub async fn sweep_deletions(app: &Arc<App>, age: Duration) -> Result<usize> {
    let mut finished = 0;
    for deletion in read_unfinished(&app.directory, age, DELETIONS_MAX).await? {
        deletions::touch(&app.directory, deletion.user).await?;
        match finish_deletion(app, &deletion).await {
            Ok(()) => finished += usize::from(deletion.is_settled),
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "a deleted account waits for its shards");
            }
        }
    }
    Ok(finished)
}

/// Leaves all groups, ends all friendships and blocks, deletes all lists. Until the deletion is settled it is looked at once more:
/// somebody may have been about to bring the user into a group.
pub(super) async fn finish_deletion(app: &Arc<App>, deletion: &Deletion) -> Result<()> {
    let actor = Actor { id: deletion.user, name: deletion.name.as_str().into() };
    for group in read_joined(&app.directory, deletion.user).await? {
        give_up_group(app, &actor, group).await?;
    }
    let mut after = UserId(Uuid::nil());
    loop {
        let peers = find_peers(&app.directory, deletion.user, after, PEERS_MAX).await?;
        let Some(last) = peers.last() else { break };
        after = *last;
        for peer in peers {
            change_pair(app, actor.clone(), peer, PairCommand::SetFriends { is_friends: false }).await?;
        }
    }
    let mut after = UserId(Uuid::nil());
    loop {
        let blocked = read_blocked(&app.directory, deletion.user, after, PEERS_MAX).await?;
        let Some(last) = blocked.last() else { break };
        after = last.other;
        for listed in blocked {
            change_pair(app, actor.clone(), listed.other, PairCommand::Unblock).await?;
        }
    }
    delete_own_rows(app, deletion.user).await?;
    delete_lists(&app.directory, deletion.user).await?;
    if deletion.is_settled {
        deletions::finish(&app.directory, deletion.user).await?;
    }
    Ok(())
}

/// What the user has hidden, and, of the conversations that are still listed, what he has set for them and when he read them.
async fn delete_own_rows(app: &App, user: UserId) -> Result<()> {
    let mut by_shard: BTreeMap<_, Vec<ConversationId>> = BTreeMap::new();
    for id in read_listed(&app.directory, user).await? {
        by_shard.entry(app.shards.of(id)?.id).or_default().push(id);
    }
    for shard in app.shards.all() {
        delete_own_hidden(shard, user).await?;
        for ids in by_shard.get(&shard.id).into_iter().flat_map(|ids| ids.chunks(CONVERSATIONS_AT_ONCE)) {
            delete_own_marks(shard, user, ids).await?;
        }
    }
    Ok(())
}

/// Leaves a group; as its owner it hands over first: to the admin who has been there longest, else the member, else it dissolves it.
async fn give_up_group(app: &Arc<App>, actor: &Actor, group: ConversationId) -> Result<()> {
    for _ in 0..TRIES {
        let shard = app.shards.of(group)?;
        let own = read_some_members(shard, group, &[actor.id]).await?;
        let Some(own) = own.first() else { return Ok(()) };
        if own.role == Role::Owner {
            let heirs = read_heirs(shard, group, actor.id, HEIRS_MAX).await?;
            match heirs.iter().find(|user| !app.standing.is_out(**user)) {
                Some(heir) => allow_late(set_role(app, actor.clone(), group, *heir, Role::Owner).await)?,
                None => return allow_late(dissolve_group(app, actor.clone(), group).await),
            }
        }
        match leave_group(app, actor.clone(), group).await {
            // The heir left before, or was not there any more.
            Err(Error::Refused(Refusal::OwnerMustTransfer)) => {}
            outcome => return allow_late(outcome),
        }
    }
    Err(Refusal::Unavailable.into())
}

/// Somebody was faster.
fn allow_late(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(Error::Refused(Refusal::NotFound | Refusal::Forbidden)) => Ok(()),
        outcome => outcome,
    }
}
