//! Pinned messages of a conversation. The lane writes them.

use super::Shard;
use super::read_entries::Range;
use super::rows::entry_of;
use crate::domain::{Entry, Seq, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[PINS];

/// A recalled message has no row.
const PINS: &str = "
    select e.id, e.sender_id, e.sender_name, e.kind, e.body, e.temp_id, e.ordinal, e.created_at, p.pinned_by, p.pinned_at, p.seq
    from pin p join entry e on e.id = p.message_id
    where p.message_id >= $1 and p.message_id <= $2 and p.seq < $3
      and not exists (select 1 from hidden h where h.user_id = $4 and h.message_id = p.message_id)
    order by p.seq desc limit $5";

/// A message that is pinned.
#[derive(Clone, Debug)]
pub struct Pinned {
    pub message: Entry,
    pub by: UserId,
    pub at: Timestamp,
    /// Of the entry that pinned it.
    pub seq: Seq,
}

/// Those among these messages that are pinned and that the reader has not hidden, the last pinned first, by entries before `before`.
pub async fn read_pins(
    shard: &Shard,
    reader: UserId,
    visible: Range,
    before: Seq,
    limit: i64,
) -> Result<Vec<Pinned>, StorageError> {
    let (low, high) = (visible.conversation.message(visible.low), visible.conversation.message(visible.high));
    let rows = shard.client().await?.query(PINS, &[&low, &high, &before, &reader, &limit]).await?;
    let pinned = |row: &tokio_postgres::Row| {
        Ok(Pinned { message: entry_of(row, 0)?, by: row.try_get(8)?, at: row.try_get(9)?, seq: row.try_get(10)? })
    };
    rows.iter().map(pinned).collect()
}
