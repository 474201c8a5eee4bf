//! What becomes of a deleted user's groups, friendships and lists. Every step may be repeated, so that the sweep can begin again.

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
use crate::storage::directory::pairs::find_peers;
use crate::storage::directory::read_listing::read_joined;
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

/// Leaves all groups, ends all friendships, deletes all lists. Until the deletion is settled it is looked at once more: somebody may
/// have been about to bring the user into a group.
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
    delete_lists(&app.directory, deletion.user).await?;
    if deletion.is_settled {
        deletions::finish(&app.directory, deletion.user).await?;
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
