//! What one user has written in a conversation.

use super::Shard;
use super::read_entries::Range;
use super::rows::entry_of;
use crate::domain::{Entry, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[OWN_MESSAGES];

const OWN_MESSAGES: &str = "
    select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at
    from entry where id >= $1 and id <= $2 and kind = 1 and sender_id = $3 order by id";

/// A user's messages within a range, oldest first. All of the range is read: its length bounds the time.
pub async fn read_own_messages(shard: &Shard, range: Range, user: UserId) -> Result<Vec<Entry>, StorageError> {
    let (low, high) = (range.conversation.message(range.low), range.conversation.message(range.high));
    let rows = shard.client().await?.query(OWN_MESSAGES, &[&low, &high, &user]).await?;
    rows.iter().map(|row| entry_of(row, 0)).collect()
}
