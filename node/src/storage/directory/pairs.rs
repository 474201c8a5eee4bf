//! The lists of blocks and friends: copies of what the pairs' rows in the shards say, written only by a greater epoch and version,
//! so that whoever is late changes nothing. What has ended stays as a row, since a late copy must find it there.

use std::time::Duration;

use uuid::Uuid;

use super::Directory;
use crate::domain::command::PairState;
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    ADD_PENDING,
    DELETE_PENDING,
    READ_PENDING,
    COPY_BLOCKS,
    COPY_FRIENDS,
    READ_BLOCKS,
    READ_BLOCKED,
    READ_FRIENDS,
    FIND_BLOCKS,
];

/// A pair's change whose copies may not be written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingPair {
    pub low: UserId,
    pub high: UserId,
    pub token: Uuid,
}

const ADD_PENDING: &str = "insert into pair_pending (low_user, high_user, token) values ($1, $2, $3)";

/// Remembers that a pair is about to change, so that a sweep finds it should this node die.
pub async fn add_pending(directory: &Directory, pending: PendingPair) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(ADD_PENDING, &[&pending.low, &pending.high, &pending.token]).await?;
    Ok(())
}

const DELETE_PENDING: &str = "delete from pair_pending where low_user = $1 and high_user = $2 and token = $3";

pub async fn delete_pending(directory: &Directory, pending: PendingPair) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(DELETE_PENDING, &[&pending.low, &pending.high, &pending.token]).await?;
    Ok(())
}

const READ_PENDING: &str = "\
select low_user, high_user, token from pair_pending
where pending_at < clock_timestamp() - $1::float8 * interval '1 second' order by pending_at limit $2";

/// Changes that began longer ago than `age` and were not finished.
pub async fn read_pending(directory: &Directory, age: Duration, limit: i64) -> Result<Vec<PendingPair>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_PENDING, &[&age.as_secs_f64(), &limit]).await?;
    rows.iter()
        .map(|row| Ok(PendingPair { low: row.try_get(0)?, high: row.try_get(1)?, token: row.try_get(2)? }))
        .collect()
}

const COPY_BLOCKS: &str = "\
insert into block (user_id, other_id, is_active, epoch, version, since)
values ($1, $2, $3, $5, $6, $7), ($2, $1, $4, $5, $6, $7)
on conflict (user_id, other_id) do update
set is_active = excluded.is_active, epoch = excluded.epoch, version = excluded.version,
    since = case when block.is_active and excluded.is_active then block.since else excluded.since end
where (block.epoch, block.version) < (excluded.epoch, excluded.version)";

const COPY_FRIENDS: &str = "\
insert into friend (user_id, other_id, is_active, epoch, version, since)
values ($1, $2, $3, $4, $5, $6), ($2, $1, $3, $4, $5, $6)
on conflict (user_id, other_id) do update
set is_active = excluded.is_active, epoch = excluded.epoch, version = excluded.version,
    since = case when friend.is_active and excluded.is_active then friend.since else excluded.since end
where (friend.epoch, friend.version) < (excluded.epoch, excluded.version)";

/// Copies a pair's state into the lists of both, on both sides, where it is newer than what stands there.
pub async fn copy_state(
    directory: &Directory,
    low: UserId,
    high: UserId,
    state: &PairState,
) -> Result<(), StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let PairState { low_blocks_high, high_blocks_low, is_friends, epoch, version, at } = state;
    transaction.execute(COPY_BLOCKS, &[&low, &high, low_blocks_high, high_blocks_low, epoch, version, at]).await?;
    transaction.execute(COPY_FRIENDS, &[&low, &high, is_friends, epoch, version, at]).await?;
    transaction.commit().await?;
    Ok(())
}

/// A block that concerns a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRow {
    pub user: UserId,
    pub other: UserId,
}

const READ_BLOCKS: &str = "\
select user_id, other_id from block where user_id = $1 and is_active
union all
select user_id, other_id from block where other_id = $1 and is_active";

/// All blocks by a user and of that user.
pub async fn read_blocks(directory: &Directory, user: UserId) -> Result<Vec<BlockRow>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_BLOCKS, &[&user]).await?;
    rows.iter().map(|row| Ok(BlockRow { user: row.try_get(0)?, other: row.try_get(1)? })).collect()
}

const FIND_BLOCKS: &str = "\
select user_id, other_id from block where user_id = $1 and other_id = any($2) and is_active
union all
select user_id, other_id from block where user_id = any($2) and other_id = $1 and is_active";

/// Blocks between a user and any of these others, in both directions.
pub async fn find_blocks(
    directory: &Directory,
    user: UserId,
    others: &[UserId],
) -> Result<Vec<BlockRow>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(FIND_BLOCKS, &[&user, &others]).await?;
    rows.iter().map(|row| Ok(BlockRow { user: row.try_get(0)?, other: row.try_get(1)? })).collect()
}

/// One line of a list of blocked users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub other: UserId,
    pub since: Timestamp,
}

const READ_BLOCKED: &str = "\
select other_id, since from block where user_id = $1 and is_active and other_id > $2 order by other_id limit $3";

/// Whom a user blocks, in the order of their ids, after `after`.
pub async fn read_blocked(
    directory: &Directory,
    user: UserId,
    after: UserId,
    limit: i64,
) -> Result<Vec<Listed>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_BLOCKED, &[&user, &after, &limit]).await?;
    rows.iter().map(|row| Ok(Listed { other: row.try_get(0)?, since: row.try_get(1)? })).collect()
}

const READ_FRIENDS: &str = "select other_id from friend where user_id = $1 and is_active";

/// A user's friends.
pub async fn read_friends(directory: &Directory, user: UserId) -> Result<Vec<UserId>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_FRIENDS, &[&user]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
