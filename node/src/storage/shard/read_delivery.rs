//! What delivery reads: member sets, holes of a log, and entries since a moment, for repair.

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::super::StorageError;
use super::super::pool::Client;
use super::super::types::Xid8;
use super::Shard;
use super::rows::entry_of;
use crate::domain::member_set::{Interval, MemberSet};
use crate::domain::message::Message;
use crate::domain::{
    Body, BootId, ConversationId, ConversationKind, ConversationRef, Entry, MessageId, Seq, Timestamp, UserId,
};

/// An entry with what its frame shows of the message it speaks of.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    pub entry: Entry,
    /// Of an edit: the edited message as it is now.
    pub target: Option<Box<Message>>,
    /// Of an edit: who has hidden the edited message.
    pub hidden_by: Vec<UserId>,
    /// Who wrote it, where that was read.
    pub boot: Option<BootId>,
}

/// Entries of one conversation, found by repair.
#[derive(Clone, Debug)]
pub struct FoundEntries {
    pub conversation: ConversationRef,
    /// As it was when these were read. (What lanes here have read may be older: entries would be taken for outdated.)
    pub epoch: i64,
    pub members_version: i64,
    pub member_count: i32,
    /// In seq order; holes are possible, where older transactions made the rest.
    pub entries: Vec<StoredEntry>,
}

const READ_MEMBERS_VERSION: &str = "
    select members_version, case when is_dissolved then last_seq end from conversation where id = $1";
const READ_MEMBERS: &str = "select user_id, first_seq, left_seq from member where conversation_id = $1";
const READ_HOLE: &str = "
    select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at, boot,
        (select epoch from epoch where is_only)
    from entry where id > $1 and id < $2 order by id limit $3";
const READ_RECENT_START: &str = "
    select id from (
        select id, created_at from entry where id > $1 and id < $2 order by id desc limit 64) e
    where created_at > clock_timestamp() - interval '10 seconds' order by id limit 1";
const READ_TARGETS: &str = "select id, body from entry where id = any($1) and kind = 1";
const READ_HIDERS: &str = "select message_id, user_id from hidden where message_id = any($1)";
const READ_SINCE: &str = "
    select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at,
        (select epoch from epoch where is_only)
    from entry
    where created_at >= $1 and tx >= $2 and ($3::uuid is null or boot = $3)
    order by id limit $4";
const READ_CONVERSATIONS: &str = "
    select id, kind, low_user, high_user, members_version, member_count from conversation where id = any($1)";
const READ_SNAPSHOT: &str = "select pg_snapshot_xmin(pg_current_snapshot()), clock_timestamp()";
const READ_UNREAD: &str = "
    select m.user_id, c.last_ordinal, greatest(m.read_ordinal, m.first_ordinal)
    from conversation c join member m on m.conversation_id = c.id
    where c.id = $1 and m.left_seq is null and not c.is_dissolved
    union all
    select side.user_id, c.last_ordinal, side.read_ordinal
    from conversation c
    cross join lateral (values (c.low_user, c.low_read_ordinal), (c.high_user, c.high_read_ordinal)) as side (user_id, read_ordinal)
    where c.id = $1 and c.kind = 1
    limit 200";

pub const STATEMENTS: &[&str] = &[
    READ_MEMBERS_VERSION,
    READ_MEMBERS,
    READ_HOLE,
    READ_RECENT_START,
    READ_TARGETS,
    READ_HIDERS,
    READ_SINCE,
    READ_CONVERSATIONS,
    READ_SNAPSHOT,
    READ_UNREAD,
];

/// The version of a group's member set. None: there is no such group.
pub async fn read_members_version(shard: &Shard, conversation: ConversationId) -> Result<Option<i64>, StorageError> {
    let client = shard.client().await?;
    let statement = client.prepare_cached(READ_MEMBERS_VERSION).await?;
    let row = client.query_opt(&statement, &[&conversation]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The member set of a group. The version is read first: members read after it are at least as new, and applying a change that
/// they hold already changes nothing.
pub async fn read_members(shard: &Shard, conversation: ConversationId) -> Result<MemberSet, StorageError> {
    let client = shard.client().await?;
    let version = client.prepare_cached(READ_MEMBERS_VERSION).await?;
    let members = client.prepare_cached(READ_MEMBERS).await?;
    let Some(row) = client.query_opt(&version, &[&conversation]).await? else {
        return Ok(MemberSet::default());
    };
    let version: i64 = row.try_get(0)?;
    // The end of a group is the end of every membership in it; the members' rows do not say so.
    let end: Option<Seq> = row.try_get(1)?;
    let mut intervals = HashMap::new();
    for row in client.query(&members, &[&conversation]).await? {
        let user: UserId = row.try_get(0)?;
        let left: Option<Seq> = row.try_get(2)?;
        intervals.insert(user, Interval { first: row.try_get(1)?, left: left.or(end) });
    }
    Ok(MemberSet::new(version, intervals))
}

/// The entries after `after` and before `before`, both exclusive, in order.
pub async fn read_hole(
    shard: &Shard,
    conversation: ConversationRef,
    after: Seq,
    before: Seq,
    limit: i64,
) -> Result<FoundEntries, StorageError> {
    let client = shard.client().await?;
    let statement = client.prepare_cached(READ_HOLE).await?;
    let (from, to) = (conversation.id().message(after), conversation.id().message(before));
    let rows = client.query(&statement, &[&from, &to, &limit]).await?;
    let entries = rows.iter().map(|row| entry_of(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let mut entries = with_targets(&client, entries).await?;
    for (stored, row) in entries.iter_mut().zip(&rows) {
        stored.boot = Some(BootId(row.try_get(8)?));
    }
    let (mut members_version, mut member_count) = (0, 0);
    if matches!(conversation, ConversationRef::Group { .. }) {
        let statement = client.prepare_cached(READ_CONVERSATIONS).await?;
        if let Some(row) = client.query_opt(&statement, &[&[conversation.id()].as_slice()]).await? {
            (members_version, member_count) = (row.try_get(4)?, row.try_get(5)?);
        }
    }
    let epoch = epoch_of(&rows, 9)?;
    Ok(FoundEntries { conversation, epoch, members_version, member_count, entries })
}

/// Each row has it; 0 where there is none.
fn epoch_of(rows: &[Row], column: usize) -> Result<i64, StorageError> {
    Ok(rows.first().map_or(Ok(0), |row| row.try_get(column))?)
}

/// The seq after which a gate is to begin, so that what was made in the last seconds before `before` is shown: at most 64 entries.
pub async fn read_recent_start(shard: &Shard, conversation: ConversationId, before: Seq) -> Result<Seq, StorageError> {
    let client = shard.client().await?;
    let statement = client.prepare_cached(READ_RECENT_START).await?;
    let (from, to) = (conversation.message(Seq::ZERO), conversation.message(before));
    let row = client.query_opt(&statement, &[&from, &to]).await?;
    let first: Option<MessageId> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(first.map_or(before, MessageId::seq).previous())
}

/// Adds to each edit the message that it speaks of, in one query for all.
async fn with_targets(client: &Client, entries: Vec<Entry>) -> Result<Vec<StoredEntry>, StorageError> {
    let wanted: Vec<MessageId> = entries.iter().filter_map(edited_message).collect();
    let mut targets: HashMap<MessageId, Box<Message>> = HashMap::new();
    let mut hiders: HashMap<MessageId, Vec<UserId>> = HashMap::new();
    if !wanted.is_empty() {
        let statement = client.prepare_cached(READ_TARGETS).await?;
        for row in client.query(&statement, &[&wanted]).await? {
            let body: &str = row.try_get(1)?;
            let body = Body::from_json(1, body).map_err(|error| StorageError::Failed(Box::new(error)))?;
            if let Body::Message(message) = body {
                targets.insert(row.try_get(0)?, message);
            }
        }
    }
    if !targets.is_empty() {
        for row in client.query(READ_HIDERS, &[&wanted]).await? {
            hiders.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
    }
    let with_target = |entry: Entry| {
        let edited = edited_message(&entry);
        let target = edited.and_then(|id| targets.get(&id).cloned());
        let hidden_by = edited.and_then(|id| hiders.get(&id).cloned()).unwrap_or_default();
        StoredEntry { entry, target, hidden_by, boot: None }
    };
    Ok(entries.into_iter().map(with_target).collect())
}

fn edited_message(entry: &Entry) -> Option<MessageId> {
    match &entry.body {
        Body::Edit(edit) => Some(entry.id.conversation().message(edit.message_seq)),
        _ => None,
    }
}

/// What repair asks for: entries of transactions from `tx` on, of one boot or of all.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    pub tx: Xid8,
    /// Not older than this; for the BRIN index.
    pub created_at: Timestamp,
    pub boot: Option<BootId>,
}

/// Entries since a moment, by conversation. More than `limit` entries: the rest is left out, and the second value is true.
pub async fn read_since(shard: &Shard, since: Since, limit: i64) -> Result<(Vec<FoundEntries>, bool), StorageError> {
    let client = shard.client().await?;
    let statement = client.prepare_cached(READ_SINCE).await?;
    let boot: Option<Uuid> = since.boot.map(|boot| boot.0);
    let rows = client.query(&statement, &[&since.created_at, &since.tx, &boot, &(limit + 1)]).await?;
    let is_cut = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
    let entries = rows.iter().map(|row| entry_of(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<(ConversationId, Vec<StoredEntry>)> = Vec::new();
    for stored in with_targets(&client, entries).await? {
        let conversation = stored.entry.id.conversation();
        match found.last_mut() {
            Some((last, entries)) if *last == conversation => entries.push(stored),
            _ => found.push((conversation, vec![stored])),
        }
    }
    let ids: Vec<ConversationId> = found.iter().map(|(id, _)| *id).collect();
    let statement = client.prepare_cached(READ_CONVERSATIONS).await?;
    let mut conversations = HashMap::new();
    for row in client.query(&statement, &[&ids]).await? {
        let id: ConversationId = row.try_get(0)?;
        let kind: i16 = row.try_get(1)?;
        let conversation = match (ConversationKind::from_code(kind), row.try_get(2)?, row.try_get(3)?) {
            (Some(ConversationKind::Direct), Some(low), Some(high)) => ConversationRef::Direct { id, low, high },
            _ => ConversationRef::Group { id },
        };
        conversations.insert(id, (conversation, row.try_get::<_, i64>(4)?, row.try_get::<_, i32>(5)?));
    }
    let epoch = epoch_of(&rows, 8)?;
    let with_conversation = |(id, entries): (ConversationId, Vec<StoredEntry>)| {
        let (conversation, members_version, member_count) = conversations.get(&id).copied()?;
        Some(FoundEntries { conversation, epoch, members_version, member_count, entries })
    };
    Ok((found.into_iter().filter_map(with_conversation).collect(), is_cut))
}

/// The oldest transaction still under way, and the shard's clock. All that commits later has a number not below it.
pub async fn read_snapshot(shard: &Shard) -> Result<(Xid8, Timestamp), StorageError> {
    let client = shard.client().await?;
    let statement = client.prepare_cached(READ_SNAPSHOT).await?;
    let row = client.query_one(&statement, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Time before a cursor's moment from which on entries are looked at: a transaction may be that much older than its commit.
pub const BRIN_MARGIN: Duration = Duration::from_mins(2);

/// Of each present member of a pair or a small group: its last ordinal and what the member has read.
pub async fn read_unread(shard: &Shard, conversation: ConversationId) -> Result<Vec<(UserId, i64, i64)>, StorageError> {
    let client = shard.client().await?;
    let statement = client.prepare_cached(READ_UNREAD).await?;
    let rows = client.query(&statement, &[&conversation]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
