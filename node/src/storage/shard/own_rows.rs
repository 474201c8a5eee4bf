//! What a shard keeps of a user beside messages and positions: read for the user, and deleted with the account.

use super::Shard;
use super::read_entries::Range;
use crate::domain::{ConversationId, MessageId, Seq, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    HIDDEN,
    READ_MARKS,
    REACTIONS,
    DELETE_HIDDEN,
    DELETE_READ_MARKS,
    DELETE_PERSONALS,
    FORGET_READ_MARKS,
    FORGET_PERSONALS,
];

/// Rows deleted by one statement.
const ROWS_MAX: i64 = 5_000;

const HIDDEN: &str = "
    select message_id from hidden where user_id = $1 and message_id > $2 order by message_id limit $3";

const READ_MARKS: &str = "
    select r.conversation_id, m.seq, m.at
    from unnest($2::uuid[]) as w (id)
    join read_mark r on r.conversation_id = w.id and r.user_id = $1
    cross join lateral unnest(r.seqs, r.times) as m (seq, at)
    order by 1, 2";

const REACTIONS: &str = "
    select message_seq, emoji from reaction
    where conversation_id = $1 and message_seq >= $2 and message_seq <= $3 and user_id = $4 and is_present
    order by 1, 2";

const DELETE_HIDDEN: &str = "
    delete from hidden where user_id = $1 and message_id in (select message_id from hidden where user_id = $1 limit $2)";

const DELETE_READ_MARKS: &str = "delete from read_mark where conversation_id = any($2) and user_id = $1";

const DELETE_PERSONALS: &str = "delete from personal where conversation_id = any($2) and user_id = $1";

macro_rules! forget {
    ($table:literal) => {
        concat!(
            "
    delete from ",
            $table,
            " r using unnest($1::uuid[], $2::uuid[]) k(conversation_id, user_id)
    where r.conversation_id = k.conversation_id and r.user_id = k.user_id and not exists (
        select from member m join conversation c on c.id = m.conversation_id
        where m.conversation_id = k.conversation_id and m.user_id = k.user_id and m.left_seq is null and not c.is_dissolved)"
        )
    };
}

const FORGET_READ_MARKS: &str = forget!("read_mark");

const FORGET_PERSONALS: &str = forget!("personal");

/// When a user read up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMark {
    pub conversation: ConversationId,
    pub seq: Seq,
    pub at: Timestamp,
}

/// Messages that a user has hidden, in the order of their ids, after `after`.
pub async fn read_own_hidden(
    shard: &Shard,
    user: UserId,
    after: MessageId,
    limit: i64,
) -> Result<Vec<MessageId>, StorageError> {
    let rows = shard.client().await?.query(HIDDEN, &[&user, &after, &limit]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// When a user read in these conversations, as far as that is kept.
pub async fn read_own_marks(
    shard: &Shard,
    user: UserId,
    conversations: &[ConversationId],
) -> Result<Vec<ReadMark>, StorageError> {
    let rows = shard.client().await?.query(READ_MARKS, &[&user, &conversations]).await?;
    let mark = |row: &tokio_postgres::Row| {
        Ok(ReadMark { conversation: row.try_get(0)?, seq: row.try_get(1)?, at: row.try_get(2)? })
    };
    rows.iter().map(mark).collect()
}

/// A user's reactions to messages of a range. All reactions there are read: its length bounds the time.
pub async fn read_own_reactions(
    shard: &Shard,
    range: Range,
    user: UserId,
) -> Result<Vec<(MessageId, String)>, StorageError> {
    let Range { conversation, low, high } = range;
    let rows = shard.client().await?.query(REACTIONS, &[&conversation, &low, &high, &user]).await?;
    rows.iter().map(|row| Ok((conversation.message(row.try_get(0)?), row.try_get(1)?))).collect()
}

/// Deletes all that a user has hidden here.
pub async fn delete_own_hidden(shard: &Shard, user: UserId) -> Result<(), StorageError> {
    let client = shard.client().await?;
    while client.execute(DELETE_HIDDEN, &[&user, &ROWS_MAX]).await? > 0 {}
    Ok(())
}

/// Deletes what a user has set for these conversations, and when he read them.
pub async fn delete_own_marks(
    shard: &Shard,
    user: UserId,
    conversations: &[ConversationId],
) -> Result<(), StorageError> {
    let client = shard.client().await?;
    client.execute(DELETE_READ_MARKS, &[&user, &conversations]).await?;
    client.execute(DELETE_PERSONALS, &[&user, &conversations]).await?;
    Ok(())
}

/// Deletes what these users have set for groups that they left, and when they read there. Who has joined again keeps it.
pub async fn forget_left(shard: &Shard, left: &[(ConversationId, UserId)]) -> Result<(), StorageError> {
    let (conversations, users): (Vec<ConversationId>, Vec<UserId>) = left.iter().copied().unzip();
    let client = shard.client().await?;
    client.execute(FORGET_READ_MARKS, &[&conversations, &users]).await?;
    client.execute(FORGET_PERSONALS, &[&conversations, &users]).await?;
    Ok(())
}
