//! Gives a client what it missed: by a cursor what changed in all its conversations, or exactly what follows in those it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::plan_sync::{self, News, Reading, Seen};
use super::send_pages::{Planned, Sent, send_pages};
use crate::app::App;
use crate::domain::cursor::{Cursor, Mark, Since, Snapshot, shard_key};
use crate::domain::sync::{Held, LIMIT_MAX, NEWEST, NEWEST_CONVERSATIONS, SyncRequest};
use crate::domain::{ConversationId, ConversationRef, Refusal, Seq, UserId};
use crate::error::{Error, Result};
use crate::hub::SessionHandle;
use crate::memory::away::Lost;
use crate::protocol::sync::{complete, gone};
use crate::storage::directory::read_listing;
use crate::storage::shard::read_entries::Range;
use crate::storage::shard::read_snapshot::read_snapshot;
use crate::storage::shard::read_states::{self, Listing, Side, State};
use crate::storage::{Shard, ShardId, StorageError};

/// A shard that has not answered by then is told of later.
const SHARD_TIMEOUT: Duration = Duration::from_secs(2);

/// The conversations that a first sync begins with.
const NEWEST_LISTED: Listing = Listing { with_pinned: false, kind: None, after: None, limit: NEWEST_CONVERSATIONS };

/// Up to where each conversation counts as given: what was held back meanwhile and is not above it is not sent again.
pub type Given = HashMap<ConversationId, Seq>;

/// Answers a `sync`. A refusal is the caller's to tell; pages may have been sent before it.
pub async fn sync(
    app: &Arc<App>,
    session: &Arc<SessionHandle>,
    request: SyncRequest,
    frame_id: Option<&str>,
) -> std::result::Result<Given, Refusal> {
    let Some(_turn) = session.syncs.take().await else {
        return Err(Refusal::RateLimited { retry_after_ms: 1_000 });
    };
    let seen = note_seen(session, &request.seen);
    let synced = match &request.conversations {
        Some(conversations) => sync_conversations(app, session, &request, conversations, &seen, frame_id).await,
        None => sync_by_cursor(app, session, &request, &seen, frame_id).await,
    };
    synced.map_err(Error::into_refusal)
}

/// What the client says that it holds is received.
fn note_seen(session: &SessionHandle, seen: &[Held]) -> Seen {
    let mut highest = Seen::new();
    for held in seen {
        let seq = highest.entry(held.conversation_id).or_default();
        *seq = held.seq.max(*seq);
        if let Some(conversation) = ConversationId::from_uuid(held.conversation_id) {
            session.given(conversation, held.seq);
        }
    }
    highest
}

// --- By cursor

async fn sync_by_cursor(
    app: &App,
    session: &SessionHandle,
    request: &SyncRequest,
    seen: &Seen,
    frame_id: Option<&str>,
) -> Result<Given> {
    let user = session.user;
    let old = match &request.cursor {
        Some(text) => Some(Cursor::decode(text, user, &app.away.cursor_keys).ok_or(Refusal::InvalidCursor)?),
        None => None,
    };
    // Before anything else is read: whatever commits later has a higher number than these.
    let mut shards = read_snapshots(app, app.shards.all().iter().map(|shard| shard.id)).await;
    let ids = by_shard(app, read_listing::read_listed(&app.directory, user).await?, &mut shards.lost);
    let limit = request.limit().unwrap_or(if old.is_some() { LIMIT_MAX } else { NEWEST });
    let readings = readings(app, user, seen, limit, &shards);
    let news = match &old {
        Some(cursor) => read_since(cursor, &readings, &ids, &mut shards.lost).await?,
        None => read_first(&readings, &ids, &mut shards.lost).await?,
    };
    let planned = plan_sync::share_out(news, limit);
    let Some(sent) = send_pages(app, session, &planned, frame_id).await? else { return Ok(Given::new()) };
    shards.lost.extend(&sent.lost);
    let cursor = next_cursor(app, old.as_ref(), &shards).encode(user, &app.away.cursor_keys);
    finish(app, session, frame_id, Some(&cursor), &shards.lost).await;
    Ok(sent.given)
}

/// Shards at the beginning of a sync.
struct Snapshots {
    taken: Vec<(ShardId, Snapshot)>,
    /// Those that do not answer.
    lost: BTreeSet<ShardId>,
}

async fn read_snapshots(app: &App, ids: impl Iterator<Item = ShardId>) -> Snapshots {
    let reads = ids.filter_map(|id| app.shards.get(id)).map(async |shard| {
        let snapshot = tokio::time::timeout(SHARD_TIMEOUT, read_snapshot(shard)).await;
        (shard.id, snapshot.unwrap_or(Err(StorageError::Unavailable(None))))
    });
    let mut snapshots = Snapshots { taken: Vec::new(), lost: BTreeSet::new() };
    for (id, snapshot) in join_all(reads).await {
        match snapshot {
            Ok(snapshot) => snapshots.taken.push((id, snapshot)),
            Err(error) => {
                tracing::debug!(shard = id.0, %error, "a sync goes without this shard");
                snapshots.lost.insert(id);
            }
        }
    }
    snapshots
}

fn readings<'a>(app: &'a App, user: UserId, seen: &'a Seen, limit: u32, shards: &Snapshots) -> Vec<Reading<'a>> {
    let taken = shards.taken.iter();
    taken.filter_map(|(id, now)| Some(Reading { shard: app.shards.get(*id)?, now: *now, user, seen, limit })).collect()
}

/// Conversations by the shard that holds them.
pub fn by_shard(
    app: &App,
    ids: Vec<ConversationId>,
    lost: &mut BTreeSet<ShardId>,
) -> BTreeMap<ShardId, Vec<ConversationId>> {
    let mut map: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for id in ids {
        match app.shards.of(id) {
            Ok(shard) => map.entry(shard.id).or_default().push(id),
            // Nobody is known to hold its slot: some shard was away when the map was read.
            Err(_) => {
                lost.extend(app.shards.all().iter().filter(|shard| shard.database().is_away()).map(|shard| shard.id));
            }
        }
    }
    map
}

async fn read_since(
    cursor: &Cursor,
    readings: &[Reading<'_>],
    ids: &BTreeMap<ShardId, Vec<ConversationId>>,
    lost: &mut BTreeSet<ShardId>,
) -> Result<Vec<News>> {
    let reads = readings.iter().filter_map(|reading| Some((reading, ids.get(&reading.shard.id)?)));
    let reads = reads.map(async |(reading, ids)| {
        let mark = cursor.mark(shard_key(&reading.shard.name));
        let since = mark.map_or(Since::ALL, |mark| mark.since(&reading.now));
        (reading.shard.id, plan_sync::read_news(*reading, ids, since).await)
    });
    gather(join_all(reads).await, lost)
}

async fn read_first(
    readings: &[Reading<'_>],
    ids: &BTreeMap<ShardId, Vec<ConversationId>>,
    lost: &mut BTreeSet<ShardId>,
) -> Result<Vec<News>> {
    let reads = readings.iter().filter_map(|reading| Some((reading, ids.get(&reading.shard.id)?)));
    let reads = reads.map(async |(reading, ids)| {
        let keys = read_states::read_keys(reading.shard, reading.user, ids, NEWEST_LISTED).await;
        (reading.shard.id, keys.map(|keys| keys.into_iter().map(|key| (reading.shard.id, key)).collect::<Vec<_>>()))
    });
    let keys: Vec<_> = gather(join_all(reads).await, lost)?;
    let shard_of: HashMap<ConversationId, ShardId> = keys.iter().map(|(shard, key)| (key.id, *shard)).collect();
    let newest = plan_sync::newest_keys(keys.into_iter().map(|(_, key)| key).collect());
    let reads = readings.iter().map(async |reading| {
        let keys = newest.iter().filter(|key| shard_of.get(&key.id) == Some(&reading.shard.id));
        (reading.shard.id, plan_sync::read_first(*reading, &keys.copied().collect::<Vec<_>>()).await)
    });
    gather(join_all(reads).await, lost)
}

/// What all shards answered; those that did not are noted.
pub fn gather<T>(
    reads: Vec<(ShardId, std::result::Result<Vec<T>, StorageError>)>,
    lost: &mut BTreeSet<ShardId>,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for (id, read) in reads {
        match read.map_err(Error::from) {
            Ok(some) => all.extend(some),
            Err(error) if error.is_passing() => {
                lost.insert(id);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Shards that did not answer keep their old mark, or have none: then all of them is news next time.
fn next_cursor(app: &App, old: Option<&Cursor>, shards: &Snapshots) -> Cursor {
    let mark = |shard: &Arc<Shard>| {
        let key = shard_key(&shard.name);
        let taken = shards.taken.iter().find(|(id, _)| *id == shard.id && !shards.lost.contains(id));
        match taken {
            Some((_, snapshot)) => Some(Mark::of(key, snapshot)),
            None => old.and_then(|old| old.mark(key)).copied(),
        }
    };
    Cursor { marks: app.shards.all().iter().filter_map(mark).collect() }
}

/// Says that it is all, or that some could not be read: then the session hears of it when they can.
async fn finish(
    app: &App,
    session: &SessionHandle,
    frame_id: Option<&str>,
    cursor: Option<&str>,
    lost: &BTreeSet<ShardId>,
) {
    if session.send_paced(complete(frame_id, cursor, !lost.is_empty())).await.is_ok() {
        for id in lost {
            app.away.wait_for(Lost::Shard(*id), session.id);
        }
    }
}

// --- By conversations

async fn sync_conversations(
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
    let mut shards = read_snapshots(app, ids.keys().copied()).await;
    shards.lost.extend(lost);
    let limit = request.limit().unwrap_or(LIMIT_MAX);
    let known = read_named(app, session.user, &ids, &mut shards).await?;
    let mut sent = Sent::default();
    // Pages come in the order that was asked for, so that what was gone is said in its place.
    let mut run = Vec::new();
    for held in conversations {
        let id = ConversationId::from_uuid(held.conversation_id);
        if id.is_some_and(|id| app.shards.id_of(id.slot()).is_none_or(|shard| shards.lost.contains(&shard))) {
            continue;
        }
        let seen = seen.get(&held.conversation_id).copied().unwrap_or_default();
        match id.and_then(|id| known.get(&id)).and_then(|(state, epoch)| plan(app, state, *epoch, held, seen, limit)) {
            Some(planned) => run.push(planned),
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
        finish(app, session, frame_id, None, &shards.lost).await;
    }
    Ok(sent.given)
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
            let state = unwritten(user, peer);
            if let Some((_, now)) = epoch.filter(|_| state.id() == id) {
                known.insert(id, (state, now.epoch));
            }
        }
    }
    Ok(known)
}

/// A direct conversation that has no row yet, because nobody has written in it.
pub fn unwritten(user: UserId, peer: UserId) -> State {
    State {
        conversation: ConversationRef::direct(user, peer),
        last_seq: Seq::ZERO,
        last_ordinal: 0,
        last_created_at: crate::domain::Timestamp::default(),
        first_seq: Seq(1),
        left_seq: None,
        read_seq: Seq::ZERO,
        read_ordinal: 0,
        delivered_seq: Seq::ZERO,
        is_pinned: false,
        muted_until: None,
        read_receipts: None,
        side: Side::Direct { peer, peer_read_seq: Seq::ZERO, peer_read_receipts: None, is_blocked: false },
    }
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
        has_gap: false,
        has_more: high < newest,
        state: state.clone(),
    })
}
