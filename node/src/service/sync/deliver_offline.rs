//! What a session gets that begins without a sync: the messages of others that its user has received on no device, oldest first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::Given;
use super::shown::{hideable, shown_to};
use crate::app::App;
use crate::domain::{Body, ConversationId, Entry, MessageId, Seq, Timestamp};
use crate::error::{Error, Result};
use crate::hub::received::Log;
use crate::hub::{Closed, SessionHandle};
use crate::memory::away::Lost;
use crate::protocol::frame::Frame;
use crate::protocol::server::{ResyncReason, resync};
use crate::protocol::sync::complete;
use crate::service::ask_shards::{by_shard, gather};
use crate::storage::directory::read_listing;
use crate::storage::shard::hidden::read_hidden_among;
use crate::storage::shard::read_entries::{self, EntryKey, Range};
use crate::storage::shard::read_states::{self, State};
use crate::storage::{Shard, ShardId, StorageError};

/// Conversations whose newest entries are looked at by one statement, and how many of each at first.
const LOOKED_AT_MAX: usize = 100;
const LITTLE: i64 = 100;
/// Entries looked at by each further statement, in conversations with more.
const FAR: i64 = 1_000;
/// Messages read, and shown, at a time.
const SHOWN_AT_ONCE: usize = 50;

/// How much of what was missed is delivered.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    messages_max: usize,
    since: Timestamp,
}

/// Messages to be delivered, and whether others are left out for their age or number.
#[derive(Debug, Default)]
struct Missed {
    keys: Vec<EntryKey>,
    has_left_out: bool,
}

/// Delivers what was missed, then says `sync`/`complete`. Answers up to where held live entries would be repeats.
pub async fn deliver_offline(app: &Arc<App>, session: &Arc<SessionHandle>) -> Given {
    let Some(_turn) = session.syncs.take().await else { return Given::new() };
    let (given, lost) = match deliver(app, session).await {
        Ok(Ok(done)) => done,
        Ok(Err(Closed)) => return Given::new(),
        Err(error) => {
            tracing::warn!(%error, "offline delivery waits for the directory");
            (Given::new(), HashSet::from([Lost::Directory]))
        }
    };
    if session.send_paced(complete(None, None, !lost.is_empty())).await.is_ok() {
        for lost in lost {
            app.away.wait_for(lost, session.id);
        }
    }
    given
}

type Done = (Given, HashSet<Lost>);

/// What is known of the conversations looked at, with their shards and the epochs of those, from before they were read.
type States = HashMap<ConversationId, (ShardId, i64, State)>;

async fn deliver(app: &App, session: &SessionHandle) -> Result<std::result::Result<Done, Closed>> {
    let settings = app.settings.load();
    let bounds = Bounds {
        messages_max: usize::try_from(settings.offline_messages_max).unwrap_or(usize::MAX),
        since: app.clock.now().minus(Duration::from_secs(u64::from(settings.offline_days) * 24 * 3_600)),
    };
    let mut lost = BTreeSet::new();
    let listed = read_listing::read_listed(&app.directory, session.user).await?;
    let ids = by_shard(app, listed, &mut lost);
    let reads = ids.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| {
        let epoch = shard.epoch();
        let read = read_missed(shard, session, ids, bounds).await;
        (shard.id, read.map(|read| vec![(shard.id, epoch, read)]))
    });
    let mut states = States::new();
    let mut all = Missed::default();
    for (shard, epoch, (of_shard, missed)) in gather(join_all(reads).await, &mut lost)? {
        states.extend(of_shard.into_iter().map(|state| (state.id(), (shard, epoch, state))));
        all.keys.extend(missed.keys);
        all.has_left_out |= missed.has_left_out;
    }
    all.keep_newest(bounds.messages_max);
    if all.has_left_out {
        session.send(&resync(ResyncReason::OfflineLimit, None));
    }
    all.keys.sort_unstable_by_key(|key| (key.created_at, key.id));
    let mut given = Given::new();
    for part in all.keys.chunks(SHOWN_AT_ONCE) {
        if deliver_part(app, session, part, &states, &mut given, &mut lost).await?.is_err() {
            return Ok(Err(Closed));
        }
    }
    // What was left out on purpose counts as given: its age, its number, one's own, recalled ones, other kinds.
    for (id, (shard, epoch, state)) in &states {
        if !lost.contains(shard) {
            session.given(Log { conversation: *id, epoch: *epoch }, state.visible_last());
        }
    }
    Ok(Ok((given, lost.into_iter().map(Lost::Shard).collect())))
}

/// What one shard has that was not received.
async fn read_missed(
    shard: &Shard,
    session: &SessionHandle,
    ids: &[ConversationId],
    bounds: Bounds,
) -> std::result::Result<(Vec<State>, Missed), StorageError> {
    let mut states = read_states::read_unreceived(shard, session.user, ids).await?;
    states.sort_unstable_by_key(|state| Reverse(state.last_created_at));
    let mut missed = Missed::default();
    for part in states.chunks(LOOKED_AT_MAX) {
        let newest = part.first().map(|state| state.last_created_at);
        if missed.keys.len() > bounds.messages_max && newest < missed.keys.iter().map(|key| key.created_at).min() {
            // The others are all older than what is delivered.
            break;
        }
        let ranges: Vec<Range> = part.iter().map(unreceived).collect();
        let keys = read_entries::read_keys_back(shard, &ranges, session.user, LITTLE).await?;
        for (range, keys) in ranges.into_iter().zip(keys) {
            look_back(shard, session, range, keys, bounds, &mut missed).await?;
        }
        missed.keep_newest(bounds.messages_max + 1);
    }
    Ok((states, missed))
}

fn unreceived(state: &State) -> Range {
    Range { conversation: state.id(), low: state.first_seq.max(state.delivered_seq.next()), high: state.visible_last() }
}

/// Goes back through one conversation from its newest entries until they are too old or too many.
async fn look_back(
    shard: &Shard,
    session: &SessionHandle,
    mut range: Range,
    mut keys: Vec<EntryKey>,
    bounds: Bounds,
    missed: &mut Missed,
) -> std::result::Result<(), StorageError> {
    let mut found = 0;
    while !keys.is_empty() {
        for key in &keys {
            if key.created_at < bounds.since || found > bounds.messages_max {
                missed.has_left_out |= key.is_others_message || key.id.seq() > range.low;
                return Ok(());
            }
            // What was written since the session is here comes live too, but held back behind this: of all kinds, so that nothing is
            // dropped that stands before a message delivered here.
            if key.is_others_message || key.created_at >= session.connected_at {
                missed.keys.push(*key);
                found += 1;
            }
        }
        range.high = keys.last().map_or(Seq::ZERO, |key| key.id.seq().previous());
        if range.is_empty() {
            return Ok(());
        }
        keys = read_entries::read_keys_back(shard, &[range], session.user, FAR).await?.pop().unwrap_or_default();
    }
    Ok(())
}

impl Missed {
    fn keep_newest(&mut self, messages_max: usize) {
        if self.keys.len() > messages_max {
            self.keys.sort_unstable_by_key(|key| Reverse((key.created_at, key.id)));
            self.keys.truncate(messages_max);
            self.has_left_out = true;
        }
    }
}

/// Whether this very session wrote it, since it is here.
fn is_own(session: &SessionHandle, entry: &Entry) -> bool {
    let temp_id = entry.temp_id.as_deref().filter(|_| entry.sender_id == session.user);
    temp_id.is_some_and(|temp_id| session.has_written(entry.id.conversation(), entry.seq(), temp_id))
}

/// Reads and sends some messages, in their order. Recalled ones are left out, unless that is to be told live.
async fn deliver_part(
    app: &App,
    session: &SessionHandle,
    part: &[EntryKey],
    states: &States,
    given: &mut Given,
    lost: &mut BTreeSet<ShardId>,
) -> Result<std::result::Result<(), Closed>> {
    let mut by_shard: BTreeMap<ShardId, Vec<MessageId>> = BTreeMap::new();
    for key in part {
        if let Some((shard, ..)) = states.get(&key.id.conversation()) {
            by_shard.entry(*shard).or_default().push(key.id);
        }
    }
    let reads = by_shard.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| (shard.id, read_entries::read_by_ids(shard, ids).await));
    let entries = gather(join_all(reads).await, lost)?;
    let mut edited = BTreeMap::new();
    for shard in by_shard.keys().filter_map(|id| app.shards.get(*id)) {
        let edits = entries.iter().filter(|entry| matches!(entry.body, Body::Edit(_)));
        let here = edits.filter(|entry| by_shard.get(&shard.id).is_some_and(|ids| ids.contains(&entry.id)));
        match read_entries::read_edited(shard, &here.cloned().collect::<Vec<_>>()).await.map_err(Error::from) {
            Ok(mut messages) => edited.append(&mut messages),
            Err(error) if error.is_passing() => {
                lost.insert(shard.id);
            }
            Err(error) => return Err(error),
        }
    }
    let mut hidden = BTreeSet::new();
    let hideable = hideable(&entries);
    for shard in by_shard.keys().filter_map(|id| app.shards.get(*id)) {
        match read_hidden_among(shard, session.user, &hideable).await.map_err(Error::from) {
            Ok(of_shard) => hidden.extend(of_shard),
            Err(error) if error.is_passing() => {
                lost.insert(shard.id);
            }
            Err(error) => return Err(error),
        }
    }
    let entries: HashMap<MessageId, _> = entries.into_iter().map(|entry| (entry.id, entry)).collect();
    for key in part {
        let conversation = key.id.conversation();
        let Some((shard, epoch, state)) = states.get(&conversation) else { continue };
        if lost.contains(shard) {
            continue;
        }
        if let Some(entry) = entries.get(&key.id)
            && (entry.created_at >= session.connected_at
                || matches!(&entry.body, Body::Message(message) if message.recalled.is_none()))
            && !is_own(session, entry)
        {
            let frame = Frame::text(&shown_to(session.user, state, entry, &edited, &hidden, key.is_others_message));
            if session.send_paced(frame).await.is_err() {
                return Ok(Err(Closed));
            }
        }
        // In seq order within each conversation: what comes before was given, or left out on purpose.
        session.given(Log { conversation, epoch: *epoch }, key.id.seq());
        given.insert(conversation, key.id.seq());
    }
    Ok(Ok(()))
}
