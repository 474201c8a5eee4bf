//! The lists of blocks, friends and friend requests: copies of what the pairs' rows in the shards say, written only by a greater epoch and version,
//! so that whoever is late changes nothing. What has ended stays as a row, since a late copy must find it there.

use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{Directory, notifications};
use crate::domain::command::PairState;
use crate::domain::friend_request::{Direction, FriendAction};
use crate::domain::ids::NotificationId;
use crate::domain::notification::NewNotification;
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::pool::Transaction;

pub const STATEMENTS: &[&str] = &[
    ADD_PENDING,
    DELETE_PENDING,
    READ_PENDING,
    COPY_BLOCKS,
    COPY_FRIENDS,
    COPY_REQUESTS,
    READ_BLOCKS,
    READ_BLOCKED,
    READ_FRIENDS,
    FIND_FRIENDS,
    LIST_FRIENDS,
    FIND_FRIEND,
    FIND_BLOCKS,
    LIST_REQUESTS,
    FIND_REQUEST,
    FIND_PEERS,
];

/// A pair's change whose copies may not be written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingPair {
    pub low: UserId,
    pub high: UserId,
    pub token: Uuid,
    /// What the other is to be told of this change.
    pub telling: Option<Telling>,
}

/// A change about friendship, of which the other is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    pub actor: UserId,
    pub action: FriendAction,
    /// Of the one who asks.
    pub message: Option<String>,
}

const ADD_PENDING: &str = "\
insert into pair_pending (low_user, high_user, token, asker_id, message, actor_id, action)
values ($1, $2, $3, $4, $5, $6, $7)";

/// Remembers that a pair is about to change, so that a sweep finds it should this node die.
pub async fn add_pending(directory: &Directory, pending: &PendingPair) -> Result<(), StorageError> {
    let client = directory.client().await?;
    let telling = pending.telling.as_ref();
    let (actor, action) = telling.map(|telling| (telling.actor, telling.action)).unzip();
    // Nodes before this version look for the words of who asks beside the asker.
    let asker = actor.filter(|_| action == Some(FriendAction::Ask));
    let message = telling.and_then(|telling| telling.message.as_deref());
    let action = action.map(FriendAction::as_str);
    client
        .execute(ADD_PENDING, &[&pending.low, &pending.high, &pending.token, &asker, &message, &actor, &action])
        .await?;
    Ok(())
}

const DELETE_PENDING: &str = "delete from pair_pending where low_user = $1 and high_user = $2 and token = $3";

pub async fn delete_pending(directory: &Directory, pending: &PendingPair) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(DELETE_PENDING, &[&pending.low, &pending.high, &pending.token]).await?;
    Ok(())
}

/// Nodes before this version name an asker and no actor.
const READ_PENDING: &str = "\
select low_user, high_user, token, message, coalesce(actor_id, asker_id),
       coalesce(action, case when asker_id is not null then 'ask' end)
from pair_pending
where pending_at < clock_timestamp() - $1::float8 * interval '1 second' order by pending_at limit $2";

/// Changes that began longer ago than `age` and were not finished.
pub async fn read_pending(directory: &Directory, age: Duration, limit: i64) -> Result<Vec<PendingPair>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_PENDING, &[&age.as_secs_f64(), &limit]).await?;
    rows.iter()
        .map(|row| {
            let message: Option<String> = row.try_get(3)?;
            let (actor, action): (Option<UserId>, Option<String>) = (row.try_get(4)?, row.try_get(5)?);
            let action = action.as_deref().and_then(FriendAction::parse);
            let telling = actor.zip(action).map(|(actor, action)| Telling { actor, action, message });
            Ok(PendingPair { low: row.try_get(0)?, high: row.try_get(1)?, token: row.try_get(2)?, telling })
        })
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

const COPY_REQUESTS: &str = "\
insert into friend_request (user_id, other_id, direction, message, epoch, version, since)
values ($1, $2, $3, $5, $6, $7, $8), ($2, $1, $4, $5, $6, $7, $8)
on conflict (user_id, other_id) do update
set direction = excluded.direction, message = excluded.message, epoch = excluded.epoch, version = excluded.version,
    since = case when friend_request.direction = excluded.direction then friend_request.since else excluded.since end
where (friend_request.epoch, friend_request.version) < (excluded.epoch, excluded.version)";

/// When the other is told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TellWhen {
    /// It is known to have happened.
    Always,
    /// Where the lists did not know of the state: whoever copied it before has told.
    IfNew,
}

/// What is told with a copy, to whom, under an id that is the same however often it is done.
#[derive(Clone, Debug)]
pub struct News {
    pub receiver: UserId,
    pub id: NotificationId,
    pub notification: NewNotification,
    pub when: TellWhen,
}

/// Copies a pair's state into the lists of both, on both sides, where it is newer than what stands there, keeps what is told of it and
/// takes the mark away: all of it or nothing. `message` is that of the one who asks. Answers when it was told, if it was.
pub async fn finish_pending(
    directory: &Directory,
    pending: &PendingPair,
    state: &PairState,
    message: Option<&str>,
    news: Option<&News>,
) -> Result<Option<Timestamp>, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let is_new = copy_state(&transaction, pending.low, pending.high, state, message).await?;
    let told_at = match news {
        Some(news) if is_new || news.when == TellWhen::Always => {
            Some(notifications::insert(&transaction, &[news.receiver], news.id, &news.notification).await?)
        }
        _ => None,
    };
    transaction.execute(DELETE_PENDING, &[&pending.low, &pending.high, &pending.token]).await?;
    transaction.commit().await?;
    Ok(told_at)
}

/// Whether the lists did not know of it.
async fn copy_state(
    transaction: &Transaction<'_>,
    low: UserId,
    high: UserId,
    state: &PairState,
    message: Option<&str>,
) -> Result<bool, StorageError> {
    let PairState { low_blocks_high, high_blocks_low, is_friends, epoch, version, at, .. } = state;
    transaction.execute(COPY_BLOCKS, &[&low, &high, low_blocks_high, high_blocks_low, epoch, version, at]).await?;
    transaction.execute(COPY_FRIENDS, &[&low, &high, is_friends, epoch, version, at]).await?;
    let (of_low, of_high) = match state.asker(low, high) {
        None => (0, 0),
        Some(asker) if asker == low => (Direction::Outgoing.code(), Direction::Incoming.code()),
        Some(_) => (Direction::Incoming.code(), Direction::Outgoing.code()),
    };
    let copied =
        transaction.execute(COPY_REQUESTS, &[&low, &high, &of_low, &of_high, &message, epoch, version, at]).await?;
    Ok(copied > 0)
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

/// One line of a list of friends or of blocked users.
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
    read_listed(directory, READ_BLOCKED, user, after, limit).await
}

async fn read_listed(
    directory: &Directory,
    statement: &'static str,
    user: UserId,
    after: UserId,
    limit: i64,
) -> Result<Vec<Listed>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(statement, &[&user, &after, &limit]).await?;
    rows.iter().map(|row| Ok(Listed { other: row.try_get(0)?, since: row.try_get(1)? })).collect()
}

const READ_FRIENDS: &str = "select other_id from friend where user_id = $1 and is_active";

/// A user's friends.
pub async fn read_friends(directory: &Directory, user: UserId) -> Result<Vec<UserId>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_FRIENDS, &[&user]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

const FIND_FRIENDS: &str = "select other_id from friend where user_id = $1 and other_id = any($2) and is_active";

/// Of these users, a user's friends.
pub async fn find_friends(directory: &Directory, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(FIND_FRIENDS, &[&user, &others]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

const LIST_FRIENDS: &str = "\
select other_id, since from friend where user_id = $1 and is_active and other_id > $2 order by other_id limit $3";

/// A user's friends in the order of their ids, after `after`.
pub async fn list_friends(
    directory: &Directory,
    user: UserId,
    after: UserId,
    limit: i64,
) -> Result<Vec<Listed>, StorageError> {
    read_listed(directory, LIST_FRIENDS, user, after, limit).await
}

const FIND_FRIEND: &str = "select since from friend where user_id = $1 and other_id = $2 and is_active";

/// Since when two users are friends.
pub async fn find_friend(
    directory: &Directory,
    user: UserId,
    other: UserId,
) -> Result<Option<Timestamp>, StorageError> {
    let row = directory.client().await?.query_opt(FIND_FRIEND, &[&user, &other]).await?;
    row.map(|row| row.try_get(0)).transpose().map_err(StorageError::from)
}

/// A friend request as one of the two has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    pub other: UserId,
    pub direction: Direction,
    pub message: Option<String>,
    pub since: Timestamp,
}

/// Newest first; `$2` are the directions wanted.
const LIST_REQUESTS: &str = "\
select other_id, direction, message, since from friend_request
where user_id = $1 and direction <> 0 and direction = any($2)
  and (since, other_id) < ($3, $4)
order by since desc, other_id desc limit $5";

/// A user's pending requests, of one direction or of both, newest first, from a place on.
pub async fn list_requests(
    directory: &Directory,
    user: UserId,
    direction: Option<Direction>,
    before: (Timestamp, UserId),
    limit: i64,
) -> Result<Vec<RequestRow>, StorageError> {
    let wanted = direction.map_or_else(|| vec![1_i16, 2], |direction| vec![direction.code()]);
    let (since, other) = before;
    let client = directory.client().await?;
    let rows = client.query(LIST_REQUESTS, &[&user, &wanted, &since, &other, &limit]).await?;
    rows.iter().map(request_of).collect()
}

const FIND_REQUEST: &str = "\
select other_id, direction, message, since from friend_request where user_id = $1 and other_id = $2 and direction <> 0";

/// What is pending between two users, as the first of them has it.
pub async fn find_request(
    directory: &Directory,
    user: UserId,
    other: UserId,
) -> Result<Option<RequestRow>, StorageError> {
    let row = directory.client().await?.query_opt(FIND_REQUEST, &[&user, &other]).await?;
    row.as_ref().map(request_of).transpose()
}

fn request_of(row: &Row) -> Result<RequestRow, StorageError> {
    let code: i16 = row.try_get(1)?;
    let direction = Direction::from_code(code).ok_or_else(|| StorageError::Failed("unknown direction".into()))?;
    Ok(RequestRow { other: row.try_get(0)?, direction, message: row.try_get(2)?, since: row.try_get(3)? })
}

const FIND_PEERS: &str = "\
select other_id from friend where user_id = $1 and is_active and other_id > $2
union
select other_id from friend_request where user_id = $1 and direction <> 0 and other_id > $2
order by other_id limit $3";

/// Friends, and those asked or asking, in the order of their ids: with whom something is to be ended when the user goes.
pub async fn find_peers(
    directory: &Directory,
    user: UserId,
    after: UserId,
    limit: i64,
) -> Result<Vec<UserId>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(FIND_PEERS, &[&user, &after, &limit]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
