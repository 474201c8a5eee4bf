//! Entries of logs, in seq order or back from the newest, of one conversation or of many at once.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::Row;

use crate::domain::message::Message;
use crate::domain::{Body, ConversationId, Entry, MessageId, Seq, Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::types::Xid8;

use super::Shard;
use super::rows::entry_of;

pub const STATEMENTS: &[&str] = &[RANGES, BY_IDS, RUNS, KEYS_BACK, NEWEST_MESSAGES, MESSAGES_BACK, MESSAGES_ON, TX];

/// The newest that the reader has not hidden.
const NEWEST_MESSAGES: &str = "
    select e.id, e.sender_id, e.sender_name, e.kind, e.body, e.temp_id, e.ordinal, e.created_at
    from unnest($1::uuid[], $2::uuid[]) as w (low, high)
    cross join lateral (select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at from entry
                        where entry.id >= w.low and entry.id <= w.high and entry.kind = 1
                          and not exists (select 1 from hidden h where h.user_id = $3 and h.message_id = entry.id)
                        order by entry.id desc limit 1) e";

/// Ranges are bounded by who asks: both ends are known.
const RANGES: &str = "
    select e.id, e.sender_id, e.sender_name, e.kind, e.body, e.temp_id, e.ordinal, e.created_at
    from unnest($1::uuid[], $2::uuid[]) with ordinality as w (low, high, n)
    cross join lateral (select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at from entry
                        where entry.id >= w.low and entry.id <= w.high order by entry.id) e
    order by w.n, e.id";

const BY_IDS: &str = "
    select e.id, e.sender_id, e.sender_name, e.kind, e.body, e.temp_id, e.ordinal, e.created_at
    from unnest($1::uuid[]) as w (id) join entry e on e.id = w.id";

/// For each range the number of entries, back from its end, before the first with a smaller `tx`; at most $4 are looked at.
const RUNS: &str = "
    select r.run
    from unnest($1::uuid[], $2::uuid[]) with ordinality as w (low, high, n)
    cross join lateral (
        select count(*) filter (where not s.is_known) as run
        from (select bool_or(t.tx < $3) over (order by t.id desc) as is_known
              from (select id, tx from entry where entry.id >= w.low and entry.id <= w.high order by entry.id desc limit $4) t) s
    ) r
    order by w.n";

/// For each range its newest entries without what they say; the last column is whether it is a message of another.
const KEYS_BACK: &str = "
    select w.n, e.id, e.created_at, e.kind = 1 and e.sender_id <> $3
    from unnest($1::uuid[], $2::uuid[]) with ordinality as w (low, high, n)
    cross join lateral (select id, created_at, kind, sender_id from entry
                        where entry.id >= w.low and entry.id <= w.high order by entry.id desc limit $4) e";

const MESSAGES_BACK: &str = "
    select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at
    from entry where id >= $1 and id <= $2 and kind = 1 order by id desc limit $3";

const MESSAGES_ON: &str = "
    select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at
    from entry where id >= $1 and id <= $2 and kind = 1 order by id limit $3";

const TX: &str = "select e.id, e.tx from unnest($1::uuid[]) as w (id) join entry e on e.id = w.id";

/// Entries `low` to `high` of a conversation, both included; empty when `low` > `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub conversation: ConversationId,
    pub low: Seq,
    pub high: Seq,
}

impl Range {
    pub fn count(&self) -> u64 {
        u64::try_from(self.high.0.saturating_sub(self.low.0).saturating_add(1)).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub(super) fn ends(ranges: &[Self]) -> (Vec<MessageId>, Vec<MessageId>) {
        ranges
            .iter()
            .map(|range| (range.conversation.message(range.low), range.conversation.message(range.high)))
            .unzip()
    }
}

/// An entry without what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryKey {
    pub id: MessageId,
    pub created_at: Timestamp,
    /// A message that somebody else sent.
    pub is_others_message: bool,
}

/// All entries of the ranges: in the order of the ranges, and of seq within each.
pub async fn read_ranges(shard: &Shard, ranges: &[Range]) -> Result<Vec<Entry>, StorageError> {
    let client = shard.client().await?;
    let (lows, highs) = Range::ends(ranges);
    entries_of(&client.query(RANGES, &[&lows, &highs]).await?)
}

/// The entries with these ids, in no order.
pub async fn read_by_ids(shard: &Shard, ids: &[MessageId]) -> Result<Vec<Entry>, StorageError> {
    let client = shard.client().await?;
    entries_of(&client.query(BY_IDS, &[&ids]).await?)
}

/// The messages that edits speak of, in their present state.
pub async fn read_edited(shard: &Shard, entries: &[Entry]) -> Result<BTreeMap<MessageId, Box<Message>>, StorageError> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for entry in entries {
        if let Body::Edit(edit) = &entry.body {
            let target = entry.id.conversation().message(edit.message_seq);
            match entries.iter().find(|other| other.id == target) {
                Some(Entry { body: Body::Message(message), .. }) => {
                    found.insert(target, message.clone());
                }
                _ => missing.push(target),
            }
        }
    }
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        for entry in read_by_ids(shard, &missing).await? {
            if let Body::Message(message) = entry.body {
                found.insert(entry.id, message);
            }
        }
    }
    Ok(found)
}

/// For each range, how many entries back from its end have no transaction below `since` before them; `limit` at most.
pub async fn read_runs(shard: &Shard, ranges: &[Range], since: u64, limit: i64) -> Result<Vec<u64>, StorageError> {
    let client = shard.client().await?;
    let (lows, highs) = Range::ends(ranges);
    let rows = client.query(RUNS, &[&lows, &highs, &Xid8(since), &limit]).await?;
    rows.iter().map(|row| Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))).collect()
}

/// For each range the keys of its newest entries, newest first, `limit` of each at most.
pub async fn read_keys_back(
    shard: &Shard,
    ranges: &[Range],
    reader: UserId,
    limit: i64,
) -> Result<Vec<Vec<EntryKey>>, StorageError> {
    let client = shard.client().await?;
    let (lows, highs) = Range::ends(ranges);
    let mut keys = vec![Vec::new(); ranges.len()];
    for row in client.query(KEYS_BACK, &[&lows, &highs, &reader, &limit]).await? {
        let number = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        if let Some(keys) = keys.get_mut(number) {
            keys.push(EntryKey {
                id: row.try_get(1)?,
                created_at: row.try_get(2)?,
                is_others_message: row.try_get(3)?,
            });
        }
    }
    for keys in &mut keys {
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(key.id));
    }
    Ok(keys)
}

/// The newest message of each range that the reader has not hidden, where there is one.
pub async fn read_newest_messages(shard: &Shard, reader: UserId, ranges: &[Range]) -> Result<Vec<Entry>, StorageError> {
    let client = shard.client().await?;
    let (lows, highs) = Range::ends(ranges);
    entries_of(&client.query(NEWEST_MESSAGES, &[&lows, &highs, &reader]).await?)
}

/// Messages of a range, newest first or oldest first.
pub async fn read_messages(
    shard: &Shard,
    range: Range,
    is_oldest_first: bool,
    limit: i64,
) -> Result<Vec<Entry>, StorageError> {
    let client = shard.client().await?;
    let (low, high) = (range.conversation.message(range.low), range.conversation.message(range.high));
    entries_of(&client.query(if is_oldest_first { MESSAGES_ON } else { MESSAGES_BACK }, &[&low, &high, &limit]).await?)
}

/// The transactions that wrote these entries.
pub async fn read_tx(shard: &Shard, ids: &[MessageId]) -> Result<HashMap<MessageId, u64>, StorageError> {
    let client = shard.client().await?;
    let rows = client.query(TX, &[&ids]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<_, Xid8>(1)?.0))).collect()
}

pub(super) fn entries_of(rows: &[Row]) -> Result<Vec<Entry>, StorageError> {
    rows.iter().map(|row| entry_of(row, 0)).collect()
}
