//! What changed in all of a user's conversations since a cursor, or what a client begins with that has none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;

use super::Given;
use super::finish_sync::finish_sync;
use super::plan_sync::{self, News, Reading, Seen};
use super::send_pages::send_pages;
use super::take_snapshots::{Snapshots, take_snapshots};
use crate::app::App;
use crate::domain::cursor::{Cursor, Mark, Since, shard_key};
use crate::domain::sync::{LIMIT_MAX, NEWEST, NEWEST_CONVERSATIONS, SyncRequest};
use crate::domain::{ConversationId, Refusal, UserId};
use crate::error::Result;
use crate::hub::SessionHandle;
use crate::service::ask_shards::{by_shard, gather};
use crate::storage::directory::read_listing;
use crate::storage::shard::read_states::{self, Listing};
use crate::storage::{Shard, ShardId};

/// The conversations that a first sync begins with.
const NEWEST_LISTED: Listing = Listing { with_pinned: false, kind: None, after: None, limit: NEWEST_CONVERSATIONS };

pub async fn sync_by_cursor(
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
    let mut shards = take_snapshots(app, app.shards.all().iter().map(|shard| shard.id)).await;
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
    finish_sync(app, session, frame_id, Some(&cursor), &shards.lost).await;
    Ok(sent.given)
}

fn readings<'a>(app: &'a App, user: UserId, seen: &'a Seen, limit: u32, shards: &Snapshots) -> Vec<Reading<'a>> {
    let taken = shards.taken.iter();
    taken.filter_map(|(id, now)| Some(Reading { shard: app.shards.get(*id)?, now: *now, user, seen, limit })).collect()
}

/// The readings of shards in which the user has conversations, with those.
fn with_ids<'a, 'b>(
    readings: &'a [Reading<'b>],
    ids: &'a BTreeMap<ShardId, Vec<ConversationId>>,
) -> impl Iterator<Item = (&'a Reading<'b>, &'a Vec<ConversationId>)> {
    readings.iter().filter_map(|reading| Some((reading, ids.get(&reading.shard.id)?)))
}

async fn read_since(
    cursor: &Cursor,
    readings: &[Reading<'_>],
    ids: &BTreeMap<ShardId, Vec<ConversationId>>,
    lost: &mut BTreeSet<ShardId>,
) -> Result<Vec<News>> {
    let reads = with_ids(readings, ids).map(async |(reading, ids)| {
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
    let reads = with_ids(readings, ids).map(async |(reading, ids)| {
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
