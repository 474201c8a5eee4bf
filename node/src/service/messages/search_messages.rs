//! Finds messages by their words in the conversations that a user is in, newest first. The index says where they may be; what is shown
//! is decided by the log as it is now: by the present text, by who sees it, by what is hidden or recalled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::view_messages::{MessageView, view_messages};
use crate::app::App;
use crate::domain::search::Query;
use crate::domain::{Body, ConversationId, ConversationRef, Entry, MessageId, Refusal, Timestamp, UserId};
use crate::error::Result;
use crate::service::ask_shards::by_shard;
use crate::service::conversations::resolve::resolve;
use crate::storage::directory::read_listing;
use crate::storage::shard::read_states::{State, read_states};
use crate::storage::shard::search::{Block, Period, read_blocks, read_searched};
use crate::storage::{ShardId, StorageError};

/// Blocks found at a time, of each shard: what many share is found in the newest of them; where a search goes on from some moment, very
/// many conversations may have a block at that moment.
const NEWEST_BLOCKS_MAX: i64 = 1_000;
const BLOCKS_MAX: i64 = 8_000;
/// Blocks read at a time.
const BLOCKS_AT_ONCE: usize = 64;
/// A call that has looked for this long answers with what it has found, and where to go on.
const TIME_MAX: Duration = Duration::from_secs(1);

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Search {
    pub query: Query,
    pub conversation: Option<ConversationId>,
    /// Both exclusive, to the millisecond, as times are shown.
    pub before: Option<Timestamp>,
    pub after: Option<Timestamp>,
}

/// A place in the results: what comes after it is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(i64, MessageId);

impl Place {
    /// Nothing newer than this moment was left out.
    const fn at(moment: Timestamp) -> Self {
        Self(moment.0, MessageId(uuid::Uuid::max()))
    }

    fn of(entry: &Entry) -> Self {
        Self(entry.created_at.0, entry.id)
    }
}

/// Messages after a place, `limit` at most, and where to go on; none: that is all.
pub async fn search_messages(
    app: &App,
    user: UserId,
    search: &Search,
    after: Option<Place>,
    limit: usize,
) -> Result<(Vec<MessageView>, Option<Place>)> {
    let begun = Instant::now();
    let ids = find_logs(app, user, search.conversation).await?;
    let (mut found, mut next) = (Vec::new(), after);
    loop {
        let period = period_of(search, next);
        let is_newest = next.is_none() && search.before.is_none();
        let most = if is_newest { NEWEST_BLOCKS_MAX } else { BLOCKS_MAX };
        let (blocks, cut_at) = find_blocks(app, user, &ids, &search.query, period, most).await?;
        let missing = limit - found.len();
        let (more, place) = look_up(app, user, search, (next, period), (&blocks, cut_at), missing, begun).await?;
        found.extend(more);
        next = place;
        if next.is_none() || found.len() >= limit || begun.elapsed() > TIME_MAX {
            return Ok((view(app, user, found).await?, next));
        }
    }
}

async fn find_logs(
    app: &App,
    user: UserId,
    only: Option<ConversationId>,
) -> Result<BTreeMap<ShardId, Vec<ConversationId>>> {
    if let Some(id) = only {
        let conversation = resolve(app, user, id).await?.ok_or(Refusal::NotFound)?;
        let shard = app.shards.of(id)?;
        let is_in = matches!(conversation, ConversationRef::Direct { .. })
            || read_states(shard, user, &[id]).await?.iter().any(|state| !state.is_left());
        return if is_in { Ok(BTreeMap::from([(shard.id, vec![id])])) } else { Err(Refusal::NotFound.into()) };
    }
    let mut lost: BTreeSet<ShardId> = BTreeSet::new();
    let ids = by_shard(app, read_listing::read_listed(&app.directory, user).await?, &mut lost);
    if lost.is_empty() { Ok(ids) } else { Err(StorageError::Unavailable(None).into()) }
}

fn period_of(search: &Search, after: Option<Place>) -> Period {
    // In PostgreSQL's range, whatever a client asks for.
    const FIRST: i64 = 0;
    const LAST: i64 = 253_402_300_799_999_999;
    let to = search.before.map_or(LAST, |before| before.as_millis().saturating_mul(1_000) - 1);
    let to = after.map_or(to, |place| to.min(place.0));
    let from = search.after.map_or(FIRST, |after| after.as_millis().saturating_add(1).saturating_mul(1_000));
    Period { from: Timestamp(from.clamp(FIRST, LAST)), to: Timestamp(to.clamp(FIRST, LAST)) }
}

/// Blocks of all shards, those with the newest messages first. Where some shard had more: nothing above this moment was left out.
async fn find_blocks(
    app: &App,
    user: UserId,
    ids: &BTreeMap<ShardId, Vec<ConversationId>>,
    query: &Query,
    period: Period,
    most: i64,
) -> Result<(Vec<(ShardId, Block)>, Option<Timestamp>)> {
    let bits = query.bits();
    let reads = ids.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| {
        let blocks = read_blocks(shard, user, ids, &bits, period, most).await?;
        Ok::<_, StorageError>((shard.id, blocks))
    });
    let mut all = Vec::new();
    let mut cut_at = None;
    for (shard, blocks) in try_join_all(reads).await? {
        if i64::try_from(blocks.len()).unwrap_or(i64::MAX) >= most {
            cut_at = cut_at.max(blocks.last().map(|block| block.last_at));
        }
        all.extend(blocks.into_iter().map(|block| (shard, block)));
    }
    all.sort_by_key(|(_, block)| std::cmp::Reverse(block.last_at));
    Ok((all, cut_at))
}

/// Goes through the blocks until no other can have anything newer than what fills the page.
async fn look_up(
    app: &App,
    user: UserId,
    search: &Search,
    (after, period): (Option<Place>, Period),
    (blocks, cut_at): (&[(ShardId, Block)], Option<Timestamp>),
    limit: usize,
    begun: Instant,
) -> Result<(Vec<Entry>, Option<Place>)> {
    let mut found: BTreeMap<(Timestamp, MessageId), Entry> = BTreeMap::new();
    let mut rest = blocks;
    let frontier = loop {
        // What is newer than this is known.
        let frontier = rest.first().map(|(_, block)| block.last_at).max(cut_at);
        let known = frontier.map_or(found.len(), |at| found.range((at, MessageId(uuid::Uuid::max()))..).count());
        let has_moved = frontier.is_none_or(|at| at < period.to);
        let is_late = has_moved && begun.elapsed() > TIME_MAX;
        if rest.is_empty() || known > limit || is_late {
            // Where more blocks reach up to the place than are looked at, those left out are the least active conversations'.
            break frontier.filter(|_| has_moved);
        }
        let (now, later) = rest.split_at(rest.len().min(BLOCKS_AT_ONCE));
        rest = later;
        for entry in read(app, user, now, search, period).await? {
            let is_before = after.is_none_or(|place| (entry.created_at.0, entry.id) < (place.0, place.1));
            if is_before && is_match(&entry, &search.query) {
                found.insert((entry.created_at, entry.id), entry);
            }
        }
        while found.len() > limit + 1 {
            found.pop_first();
        }
    };
    if let Some(at) = frontier {
        found.retain(|(created_at, _), _| *created_at > at);
    }
    let mut entries: Vec<Entry> = found.into_values().rev().collect();
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = if has_more { entries.last().map(Place::of) } else { frontier.map(Place::at) };
    Ok((entries, next))
}

async fn read(
    app: &App,
    user: UserId,
    blocks: &[(ShardId, Block)],
    search: &Search,
    period: Period,
) -> Result<Vec<Entry>> {
    let mut by_shard: BTreeMap<ShardId, Vec<Block>> = BTreeMap::new();
    for (shard, block) in blocks {
        by_shard.entry(*shard).or_default().push(*block);
    }
    let reads = by_shard.iter().filter_map(|(id, blocks)| Some((app.shards.get(*id)?, blocks)));
    let reads =
        reads.map(async |(shard, blocks)| read_searched(shard, user, blocks, search.query.sender(), period).await);
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

fn is_match(entry: &Entry, query: &Query) -> bool {
    match &entry.body {
        Body::Message(message) if message.recalled.is_none() => {
            message.content.as_deref().is_some_and(|content| query.matches(content))
        }
        _ => false,
    }
}

/// The messages found, for a user who is still in their conversations.
async fn view(app: &App, user: UserId, entries: Vec<Entry>) -> Result<Vec<MessageView>> {
    let mut ids: Vec<ConversationId> = entries.iter().map(|entry| entry.id.conversation()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut lost = BTreeSet::new();
    let ids = by_shard(app, ids, &mut lost);
    let reads = ids.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| read_states(shard, user, ids).await);
    let states = try_join_all(reads).await?.into_iter().flatten().filter(|state| !state.is_left());
    let states: HashMap<ConversationId, State> = states.map(|state| (state.id(), state)).collect();
    let with = |entry: Entry| {
        let state = states.get(&entry.id.conversation()).filter(|state| state.first_seq <= entry.seq())?;
        Some((state.conversation, entry))
    };
    view_messages(app, user, entries.into_iter().filter_map(with).collect()).await
}
