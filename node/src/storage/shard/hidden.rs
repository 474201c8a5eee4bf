//! What a user has hidden for himself. It is written by the lane.

use std::collections::{BTreeSet, HashMap};

use super::Shard;
use super::read_entries::Range;
use crate::domain::{ConversationId, MessageId, Seq, UserId};
use crate::storage::StorageError;
use crate::storage::types::Xid8;

pub const STATEMENTS: &[&str] = &[AMONG, SINCE];

const AMONG: &str = "select message_id from hidden where user_id = $1 and message_id = any($2)";

/// Of each range the newest, hidden in transactions from $4 on.
const SINCE: &str = "
    select h.message_id
    from unnest($2::uuid[], $3::uuid[]) as w (low, high)
    cross join lateral (select message_id from hidden
                        where hidden.user_id = $1 and hidden.message_id >= w.low and hidden.message_id <= w.high
                          and hidden.tx >= $4
                        order by hidden.message_id desc limit $5) h
    order by h.message_id";

/// Those of these messages that the user has hidden.
pub async fn read_hidden_among(
    shard: &Shard,
    user: UserId,
    messages: &[MessageId],
) -> Result<BTreeSet<MessageId>, StorageError> {
    if messages.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = shard.client().await?.query(AMONG, &[&user, &messages]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// What the user has hidden in these ranges in transactions not below `since`, in seq order: the newest `limit` of each.
pub async fn read_hidden_since(
    shard: &Shard,
    user: UserId,
    ranges: &[Range],
    since: u64,
    limit: i64,
) -> Result<HashMap<ConversationId, Vec<Seq>>, StorageError> {
    let mut found: HashMap<_, Vec<Seq>> = HashMap::new();
    if ranges.is_empty() {
        return Ok(found);
    }
    let (lows, highs) = Range::ends(ranges);
    let rows = shard.client().await?.query(SINCE, &[&user, &lows, &highs, &Xid8(since), &limit]).await?;
    for row in rows {
        let message: MessageId = row.try_get(0)?;
        found.entry(message.conversation()).or_default().push(message.seq());
    }
    Ok(found)
}
