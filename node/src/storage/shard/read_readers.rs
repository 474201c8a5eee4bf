//! Who has read a message, and when. Positions say who; the times are those of the last 32 moves of a position by reading, and of
//! the reader's own messages, which move it too. So a time is exact while no more than 32 moves came after it; later it is that of the
//! oldest move that is kept, and never earlier than the reading.

use std::collections::HashMap;

use super::Shard;
use super::read_entries::read_by_ids;
use crate::domain::{ConversationRef, MessageId, Seq, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[OF_GROUP, OF_PAIR, OWN_AFTER];

/// Entries after a message among which its readers' own messages are looked for.
const OWN_AFTER_MAX: i64 = 1_000;

const OF_GROUP: &str = "
    select m.user_id, m.read_seq, p.read_receipts,
           (select min(k.at) from unnest(r.seqs, r.times) as k (seq, at) where k.seq >= $2)
    from member m
    left join personal p on p.conversation_id = m.conversation_id and p.user_id = m.user_id
    left join read_mark r on r.conversation_id = m.conversation_id and r.user_id = m.user_id
    where m.conversation_id = $1 and m.user_id > $3 and m.user_id <> $4
      and m.left_seq is null and m.first_seq <= $2 and m.read_seq >= $2
    order by m.user_id limit $5";

const OF_PAIR: &str = "
    select s.user_id, s.read_seq, p.read_receipts,
           (select min(k.at) from unnest(r.seqs, r.times) as k (seq, at) where k.seq >= $2)
    from conversation c
    cross join lateral (values (c.low_user, c.low_read_seq), (c.high_user, c.high_read_seq)) as s (user_id, read_seq)
    left join personal p on p.conversation_id = c.id and p.user_id = s.user_id
    left join read_mark r on r.conversation_id = c.id and r.user_id = s.user_id
    where c.id = $1 and s.user_id > $3 and s.user_id <> $4 and s.read_seq >= $2
    order by s.user_id limit $5";

const OWN_AFTER: &str = "
    select distinct on (sender_id) sender_id, created_at from entry
    where id > $1 and id <= $2 and kind = 1 and sender_id = any($3)
    order by sender_id, id";

/// One who has read a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    pub user: UserId,
    pub read_at: Timestamp,
    /// The setting for this conversation.
    pub read_receipts: Option<bool>,
}

/// Those who have read a message of `sender`, but him, in the order of their ids, after `after`.
pub async fn read_readers(
    shard: &Shard,
    conversation: ConversationRef,
    message: MessageId,
    sender: UserId,
    after: UserId,
    limit: i64,
) -> Result<Vec<Reader>, StorageError> {
    let sql = match conversation {
        ConversationRef::Direct { .. } => OF_PAIR,
        ConversationRef::Group { .. } => OF_GROUP,
    };
    let id = conversation.id();
    let client = shard.client().await?;
    let rows = client.query(sql, &[&id, &message.seq(), &after, &sender, &limit]).await?;
    let users = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<UserId>, _>>()?;
    let last = id.message(Seq(message.seq().0.saturating_add(OWN_AFTER_MAX)));
    let mut own: HashMap<UserId, Timestamp> = HashMap::new();
    for row in client.query(OWN_AFTER, &[&message, &last, &users]).await? {
        own.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let mut readers = Vec::with_capacity(rows.len());
    let mut unknown = Vec::new();
    for row in &rows {
        let user = row.try_get(0)?;
        let marked: Option<Timestamp> = row.try_get(3)?;
        let read_at = marked.into_iter().chain(own.get(&user).copied()).min();
        if read_at.is_none() {
            unknown.push(id.message(row.try_get(1)?));
        }
        readers.push((user, read_at, id.message(row.try_get(1)?), row.try_get(2)?));
    }
    drop(client);
    // Moved long after by sending: the position is that message.
    let mut times = HashMap::new();
    if !unknown.is_empty() {
        times.extend(read_by_ids(shard, &unknown).await?.into_iter().map(|entry| (entry.id, entry.created_at)));
    }
    let reader = |(user, read_at, position, read_receipts): (UserId, Option<Timestamp>, MessageId, Option<bool>)| {
        let read_at = read_at.or_else(|| times.get(&position).copied())?;
        Some(Reader { user, read_at, read_receipts })
    };
    Ok(readers.into_iter().filter_map(reader).collect())
}
