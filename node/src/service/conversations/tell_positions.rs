//! Tells others how far somebody has read, where they may see it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::read_receipts::Receipts;
use crate::app::App;
use crate::domain::command::{Actor, Command};
use crate::domain::{ConversationKind, ConversationRef, Refusal, Seq, UserId};
use crate::error::Result;
use crate::protocol::server::{ReadData, read};
use crate::service::ask_shards::by_shard;
use crate::service::delivery::signal;
use crate::service::people::look_up_pairs::blocks_of;
use crate::storage::directory::read_listing::read_listed;
use crate::storage::shard::lane::Request;
use crate::storage::shard::read_extras::read_receivers;
use crate::storage::shard::read_states::{Listing, Side, State, read_keys, read_states};

/// In greater groups nobody is told of read positions.
const TOLD_MEMBERS_MAX: i64 = 100;
/// Of each shard so many direct conversations, the newest, are told anew when a user shows or hides all positions.
const TOLD_CONVERSATIONS_MAX: usize = 200;

/// Who tells all positions at a time; beyond, others see it once something happens in a conversation, or when it is opened.
static TELLING: Semaphore = Semaphore::const_new(4);

/// Of a pair, each position to the other where he may see it: after a block, or after one of them lets his be seen again, nothing else
/// says how far they have come meanwhile.
pub async fn tell_positions(app: &App, user: UserId, conversation: ConversationRef) -> Result<()> {
    let shard = app.shards.of(conversation.id())?;
    let states = read_states(shard, user, &[conversation.id()]).await?;
    let Some(State { read_seq, side: Side::Direct { peer, peer_read_seq, .. }, .. }) = states.first() else {
        return Ok(());
    };
    for (reader, seq) in [(user, *read_seq), (*peer, *peer_read_seq)] {
        if seq > Seq::ZERO {
            tell_others(app, reader, conversation, seq).await?;
        }
    }
    Ok(())
}

/// `read` to the others who may see it.
pub(super) async fn tell_others(app: &App, reader: UserId, conversation: ConversationRef, seq: Seq) -> Result<()> {
    let shard = app.shards.of(conversation.id())?;
    let states = read_states(shard, reader, &[conversation.id()]).await?;
    let Some(state) = states.first() else { return Ok(()) };
    let receivers = match &state.side {
        Side::Direct { is_blocked: true, .. } => return Ok(()),
        Side::Direct { peer, peer_read_receipts, .. } => vec![(*peer, *peer_read_receipts)],
        Side::Group { member_count, .. } if i64::from(*member_count) > TOLD_MEMBERS_MAX => return Ok(()),
        Side::Group { .. } => read_receivers(shard, conversation.id(), TOLD_MEMBERS_MAX).await?,
    };
    let told = visible_to(app, reader, state, receivers).await?;
    if !told.is_empty() {
        let frame = read(&ReadData { conversation_id: conversation.id(), user_id: reader, seq });
        signal::signal_users(app, &told, &frame, None).await;
    }
    Ok(())
}

/// Those of the receivers who see this reader's positions: both let theirs be seen, and neither blocks the other.
async fn visible_to(
    app: &App,
    reader: UserId,
    state: &State,
    receivers: Vec<(UserId, Option<bool>)>,
) -> Result<Vec<UserId>> {
    let mut users: Vec<UserId> = receivers.iter().map(|(user, _)| *user).collect();
    users.push(reader);
    let receipts = Receipts::of(app, &users).await;
    if !receipts.shows(reader, state.read_receipts) {
        return Ok(Vec::new());
    }
    let blocks = blocks_of(app, reader).await?;
    let sees =
        |(user, here): &(UserId, Option<bool>)| *user != reader && receipts.shows(*user, *here) && !blocks.hides(*user);
    Ok(receivers.iter().filter(|receiver| sees(receiver)).map(|(user, _)| *user).collect())
}

/// After a user has let all positions be seen, or hidden them: the newest direct conversations are in the next syncs of both sides, and
/// who is there is told what may be seen again. The others are right once something happens in them, or when they are opened.
pub async fn tell_all_positions(app: &Arc<App>, actor: Actor) -> Result<()> {
    let Ok(_place) = TELLING.try_acquire() else { return Ok(()) };
    let listed = by_shard(app, read_listed(&app.directory, actor.id).await?, &mut BTreeSet::new());
    let newest = Listing {
        with_pinned: false,
        kind: Some(ConversationKind::Direct),
        after: None,
        limit: TOLD_CONVERSATIONS_MAX,
    };
    for (shard, ids) in listed {
        let Some(shard) = app.shards.get(shard) else { continue };
        let ids: Vec<_> = read_keys(shard, actor.id, &ids, newest).await?.into_iter().map(|key| key.id).collect();
        for state in read_states(shard, actor.id, &ids).await? {
            if app.tasks.is_stopping() {
                return Ok(());
            }
            let conversation = state.conversation;
            let (command, reply) = (Command::ShowAnew, Box::new(|_| {}));
            let request = Request { conversation, actor: actor.clone(), command, origin: None, reply };
            match app.shards.run(request).await {
                // Gone meanwhile.
                Err(Refusal::NotFound) => continue,
                // The other shards may answer.
                Err(_) => break,
                Ok(_) => {}
            }
            tell_positions(app, actor.id, conversation).await?;
        }
    }
    Ok(())
}
