//! Exactly what follows in the conversations that a client names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::join_all;

use super::Given;
use super::finish_sync::finish_sync;
use super::plan_sync::{Seen, visible};
use super::send_pages::{Planned, Sent, send_pages};
use super::take_snapshots::{Snapshots, take_snapshots};
use crate::app::App;
use crate::domain::sync::{HIDDEN_NEWEST, Held, LIMIT_MAX, SyncRequest};
use crate::domain::{ConversationId, Seq, UserId};
use crate::error::Result;
use crate::hub::SessionHandle;
use crate::protocol::sync::gone;
use crate::service::ask_shards::{by_shard, gather};
use crate::storage::ShardId;
use crate::storage::directory::read_listing;
use crate::storage::shard::hidden::read_hidden_since;
use crate::storage::shard::read_entries::Range;
use crate::storage::shard::read_states::{self, State};

pub async fn sync_conversations(
    app: &App,
    session: &SessionHandle,
    request: &SyncRequest,
    conversations: &[Held],
    seen: &Seen,
    frame_id: Option<&str>,
) -> Result<Given> {
    let mut lost = BTreeSet::new();
    let ids = conversations.iter().filter_map(|held| ConversationId::from_uuid(held.conversation_id)).collect();
    let ids = by_shard(app, ids, &mut lost);
    let mut shards = take_snapshots(app, ids.keys().copied()).await;
    shards.lost.extend(lost);
    let limit = request.limit().unwrap_or(LIMIT_MAX);
    let known = read_named(app, session.user, &ids, &mut shards).await?;
    let mut hidden = read_hidden(app, session.user, &known, &mut shards).await?;
    let mut sent = Sent::default();
    // Pages come in the order that was asked for, so that what was gone is said in its place.
    let mut run = Vec::new();
    for held in &each_once(conversations) {
        let id = ConversationId::from_uuid(held.conversation_id);
        if id.is_some_and(|id| app.shards.id_of(id.slot()).is_none_or(|shard| shards.lost.contains(&shard))) {
            continue;
        }
        let seen = seen.get(&held.conversation_id).copied().unwrap_or_default();
        match id.and_then(|id| known.get(&id)).and_then(|(state, epoch)| plan(app, state, *epoch, held, seen, limit)) {
            Some(planned) => {
                let hidden = hidden.remove(&planned.state.id()).unwrap_or_default();
                run.push(Planned { hidden, ..planned });
            }
            None => {
                if !send_run(app, session, &mut run, frame_id, &mut sent).await?
                    || session.send_paced(gone(frame_id, held.conversation_id)).await.is_err()
                {
                    return Ok(sent.given);
                }
            }
        }
    }
    if send_run(app, session, &mut run, frame_id, &mut sent).await? {
        shards.lost.extend(&sent.lost);
        finish_sync(app, session, frame_id, None, &shards.lost).await;
    }
    Ok(sent.given)
}

/// A conversation that is asked for twice, in the place of the first, from the lower position.
fn each_once(asked: &[Held]) -> Vec<Held> {
    let mut each: Vec<Held> = Vec::new();
    for held in asked {
        match each.iter_mut().find(|other| other.conversation_id == held.conversation_id) {
            Some(other) => other.seq = other.seq.min(held.seq),
            None => each.push(*held),
        }
    }
    each
}

/// Sends the pages planned so far. False: the session was closed.
async fn send_run(
    app: &App,
    session: &SessionHandle,
    run: &mut Vec<Planned>,
    frame_id: Option<&str>,
    all: &mut Sent,
) -> Result<bool> {
    let planned = std::mem::take(run);
    if planned.is_empty() {
        return Ok(true);
    }
    let Some(sent) = send_pages(app, session, &planned, frame_id).await? else { return Ok(false) };
    all.given.extend(sent.given);
    all.lost.extend(sent.lost);
    Ok(true)
}

/// The conversations that are named, with the epoch of their logs.
async fn read_named(
    app: &App,
    user: UserId,
    ids: &BTreeMap<ShardId, Vec<ConversationId>>,
    shards: &mut Snapshots,
) -> Result<HashMap<ConversationId, (State, i64)>> {
    let reads = shards.taken.iter().filter_map(|(id, now)| Some((app.shards.get(*id)?, *now, ids.get(id)?)));
    let reads = reads.map(async |(shard, now, ids)| {
        let states = read_states::read_states(shard, user, ids).await;
        (shard.id, states.map(|states| states.into_iter().map(|state| (state, now.epoch)).collect::<Vec<_>>()))
    });
    let states = gather(join_all(reads).await, &mut shards.lost)?;
    let mut known: HashMap<_, _> = states.into_iter().map(|(state, epoch)| (state.id(), (state, epoch))).collect();
    let missing: Vec<ConversationId> = shards
        .taken
        .iter()
        .filter(|(id, _)| !shards.lost.contains(id))
        .flat_map(|(id, _)| ids.get(id).into_iter().flatten())
        .filter(|id| !known.contains_key(id))
        .copied()
        .collect();
    if !missing.is_empty() {
        for (id, peer) in read_listing::read_peers(&app.directory, user, &missing).await? {
            let epoch = shards.taken.iter().find(|(shard, _)| app.shards.id_of(id.slot()) == Some(*shard));
            let state = State::unwritten(user, peer);
            if let Some((_, now)) = epoch.filter(|_| state.id() == id) {
                known.insert(id, (state, now.epoch));
            }
        }
    }
    Ok(known)
}

/// The newest that the user has hidden in each.
async fn read_hidden(
    app: &App,
    user: UserId,
    known: &HashMap<ConversationId, (State, i64)>,
    shards: &mut Snapshots,
) -> Result<HashMap<ConversationId, Vec<Seq>>> {
    let mut ranges: BTreeMap<ShardId, Vec<Range>> = BTreeMap::new();
    for (state, _) in known.values() {
        if let Some(shard) = app.shards.id_of(state.id().slot()) {
            ranges.entry(shard).or_default().push(visible(state));
        }
    }
    let limit = i64::try_from(HIDDEN_NEWEST).unwrap_or(i64::MAX);
    let reads = ranges.iter().filter_map(|(id, ranges)| Some((app.shards.get(*id)?, ranges)));
    let reads = reads.map(async |(shard, ranges)| {
        let hidden = read_hidden_since(shard, user, ranges, 0, limit).await;
        (shard.id, hidden.map(|hidden| hidden.into_iter().collect::<Vec<_>>()))
    });
    Ok(gather(join_all(reads).await, &mut shards.lost)?.into_iter().collect())
}

/// The entries after what the client holds, oldest first. `None`: it was left, and the client has all that it may see.
fn plan(app: &App, state: &State, epoch: i64, held: &Held, seen: Seq, limit: u32) -> Option<Planned> {
    let after = held.seq.max(seen).max(state.first_seq.previous());
    let newest = state.visible_last();
    if state.is_left() && after >= newest {
        return None;
    }
    let high = newest.min(Seq(after.0.saturating_add(i64::from(limit))));
    Some(Planned {
        shard: app.shards.id_of(state.id().slot())?,
        epoch,
        range: Range { conversation: state.id(), low: after.next(), high },
        hidden: Vec::new(),
        has_gap: false,
        has_more: high < newest,
        state: state.clone(),
    })
}
