//! Members of groups as they are now, and pairs, for lists, sweeps and answers. Decisions are the lane's.

use tokio_postgres::Row;

use super::Shard;
use crate::domain::command::PairState;
use crate::domain::judge::model::Pair;
use crate::domain::{ConversationId, JoinToken, Role, Seq, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] =
    &[READ_MEMBERS, READ_SOME_MEMBERS, READ_INTERVALS, READ_DISSOLVED, READ_PAIR, FIND_CREATED];

/// A member as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: UserId,
    pub role: Role,
    pub joined_at: Timestamp,
    /// May lie in the past.
    pub muted_until: Option<Timestamp>,
}

const READ_MEMBERS: &str = "\
select m.user_id, m.role, m.joined_at, m.muted_until
from member m join conversation c on c.id = m.conversation_id
where m.conversation_id = $1 and m.user_id > $2 and m.left_seq is null and not c.is_dissolved
order by m.user_id limit $3";

/// Members in the order of their ids, after `after`.
pub async fn read_members(
    shard: &Shard,
    conversation: ConversationId,
    after: UserId,
    limit: i64,
) -> Result<Vec<Member>, StorageError> {
    let rows = shard.client().await?.query(READ_MEMBERS, &[&conversation, &after, &limit]).await?;
    rows.iter().map(member_of).collect()
}

const READ_SOME_MEMBERS: &str = "\
select m.user_id, m.role, m.joined_at, m.muted_until
from member m join conversation c on c.id = m.conversation_id
where m.conversation_id = $1 and m.user_id = any($2) and m.left_seq is null and not c.is_dissolved
order by m.user_id";

/// Those of `users` that are members now.
pub async fn read_some_members(
    shard: &Shard,
    conversation: ConversationId,
    users: &[UserId],
) -> Result<Vec<Member>, StorageError> {
    let rows = shard.client().await?.query(READ_SOME_MEMBERS, &[&conversation, &users]).await?;
    rows.iter().map(member_of).collect()
}

fn member_of(row: &Row) -> Result<Member, StorageError> {
    let code: i16 = row.try_get(1)?;
    let role = Role::from_code(code).ok_or_else(|| StorageError::Failed("unknown role".into()))?;
    Ok(Member { user: row.try_get(0)?, role, joined_at: row.try_get(2)?, muted_until: row.try_get(3)? })
}

/// The interval of a member, past ones too: the shard's word on which joining stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub user: UserId,
    pub token: JoinToken,
    pub left_seq: Option<Seq>,
}

const READ_INTERVALS: &str = "\
select m.user_id, m.join_token, coalesce(m.left_seq, case when c.is_dissolved then c.last_seq end)
from member m join conversation c on c.id = m.conversation_id
where m.conversation_id = $1 and m.user_id = any($2)";

/// Of those of `users` that are or were members.
pub async fn read_intervals(
    shard: &Shard,
    conversation: ConversationId,
    users: &[UserId],
) -> Result<Vec<Interval>, StorageError> {
    let rows = shard.client().await?.query(READ_INTERVALS, &[&conversation, &users]).await?;
    rows.iter().map(interval_of).collect()
}

const READ_DISSOLVED: &str = "\
select m.user_id, m.join_token, coalesce(m.left_seq, c.last_seq)
from member m join conversation c on c.id = m.conversation_id
where m.conversation_id = $1 and m.user_id > $2 and c.is_dissolved and coalesce(m.left_seq, c.last_seq) = c.last_seq
order by m.user_id limit $3";

/// Those who were members of a dissolved group to its end, in the order of their ids, after `after`.
pub async fn read_dissolved(
    shard: &Shard,
    conversation: ConversationId,
    after: UserId,
    limit: i64,
) -> Result<Vec<Interval>, StorageError> {
    let rows = shard.client().await?.query(READ_DISSOLVED, &[&conversation, &after, &limit]).await?;
    rows.iter().map(interval_of).collect()
}

fn interval_of(row: &Row) -> Result<Interval, StorageError> {
    Ok(Interval { user: row.try_get(0)?, token: row.try_get(1)?, left_seq: row.try_get(2)? })
}

const READ_PAIR: &str = "\
select c.pair_flags, c.pair_version, e.epoch, clock_timestamp() from conversation c, epoch e where c.id = $1 and c.kind = 1";

/// What stands between the two users of a direct conversation; none where there is no row.
pub async fn read_pair(shard: &Shard, conversation: ConversationId) -> Result<Option<(Pair, PairState)>, StorageError> {
    let row = shard.client().await?.query_opt(READ_PAIR, &[&conversation]).await?;
    row.map(|row| {
        let pair = Pair::from_flags(row.try_get(1)?, row.try_get(0)?);
        let state = pair.state(row.try_get(2)?, row.try_get(3)?);
        Ok((pair, state))
    })
    .transpose()
}

const FIND_CREATED: &str = "select true from conversation where id = $1 and kind = 2 and last_seq > 0";

/// Whether a group of this id was made.
pub async fn is_created(shard: &Shard, conversation: ConversationId) -> Result<bool, StorageError> {
    Ok(shard.client().await?.query_opt(FIND_CREATED, &[&conversation]).await?.is_some())
}
