//! Which conversations a user is to look for: an index of what the shards know. A row says where to look, the member's row in
//! the shard says whether the user is a member. Each joining has a row of its own, under its token.

use std::time::Duration;

use tokio_postgres::Row;

use super::Directory;
use crate::domain::command::Joining;
use crate::domain::{ConversationId, JoinToken, Seq, Timestamp, UserId};
use crate::storage::StorageError;

/// Rows written or read by one statement.
pub const ROWS_MAX: usize = 1_000;

pub const STATEMENTS: &[&str] =
    &[LIST_PAIR, NOW, ADD_PENDING, WITHDRAW, STAND_IN, DOUBT, MARK_LEFT, FIND, READ_PENDING, READ_LEFT, DELETE_LEFT];

/// What is known of the one who is to receive a first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    Unknown,
    /// Disabled or deleted.
    Out,
    Listed,
}

const LIST_PAIR: &str = "\
with receiver as (select disabled_at is not null or deleted_at is not null as is_out from account where id = $2),
made as (
    insert into listing (user_id, conversation_id, join_token, kind, peer_id)
    select pair.user_id, $3, '00000000-0000-0000-0000-000000000000', 1, pair.peer_id
    from receiver, (values ($1::uuid, $2::uuid), ($2, $1)) as pair (user_id, peer_id)
    where not receiver.is_out
    order by pair.user_id
    on conflict (user_id, conversation_id, join_token) do nothing
)
select is_out from receiver";

/// Looks the receiver of a first message up and lists the conversation for both, whether or not it exists already.
pub async fn list_pair(
    directory: &Directory,
    sender: UserId,
    receiver: UserId,
    conversation: ConversationId,
) -> Result<Receiver, StorageError> {
    let client = directory.client().await?;
    let row = client.query_opt(LIST_PAIR, &[&sender, &receiver, &conversation]).await?;
    Ok(match row.map(|row| row.try_get::<_, bool>(0)).transpose()? {
        None => Receiver::Unknown,
        Some(true) => Receiver::Out,
        Some(false) => Receiver::Listed,
    })
}

const NOW: &str = "select clock_timestamp()";

const ADD_PENDING: &str = "\
insert into listing (user_id, conversation_id, join_token, kind, pending_at)
select joining.user_id, $3, joining.token, 2, clock_timestamp()
from unnest($1::uuid[], $2::uuid[]) as joining (user_id, token)
order by joining.user_id
on conflict (user_id, conversation_id, join_token) do nothing";

/// Writes the rows of joinings that are about to be committed in the shard. Answers the directory's time before the first was
/// written: the joinings must be committed soon after that, or never.
pub async fn add_pending(
    directory: &Directory,
    conversation: ConversationId,
    joinings: &[Joining],
) -> Result<Timestamp, StorageError> {
    let client = directory.client().await?;
    let now: Timestamp = client.query_one(NOW, &[]).await?.try_get(0)?;
    for page in joinings.chunks(ROWS_MAX) {
        let (users, tokens) = columns(page);
        client.execute(ADD_PENDING, &[&users, &tokens, &conversation]).await?;
    }
    Ok(now)
}

const WITHDRAW: &str = "\
delete from listing using unnest($1::uuid[], $2::uuid[]) as joining (user_id, token)
where listing.user_id = joining.user_id and listing.join_token = joining.token and listing.conversation_id = $3
  and listing.pending_at is not null";

/// Deletes the rows of joinings that did not come to be.
pub async fn withdraw(
    directory: &Directory,
    conversation: ConversationId,
    joinings: &[Joining],
) -> Result<(), StorageError> {
    execute_pages(directory, WITHDRAW, conversation, joinings).await
}

const STAND_IN: &str = "\
insert into listing (user_id, conversation_id, join_token, kind)
select joining.user_id, $3, joining.token, 2 from unnest($1::uuid[], $2::uuid[]) as joining (user_id, token)
order by joining.user_id
on conflict (user_id, conversation_id, join_token) do update set pending_at = null";

/// Makes rows of joinings that stand in the shard, or clears the mark of those that are there.
pub async fn stand_in(
    directory: &Directory,
    conversation: ConversationId,
    joinings: &[Joining],
) -> Result<(), StorageError> {
    execute_pages(directory, STAND_IN, conversation, joinings).await
}

async fn execute_pages(
    directory: &Directory,
    sql: &'static str,
    conversation: ConversationId,
    joinings: &[Joining],
) -> Result<(), StorageError> {
    if joinings.is_empty() {
        return Ok(());
    }
    let client = directory.client().await?;
    for page in joinings.chunks(ROWS_MAX) {
        let (users, tokens) = columns(page);
        client.execute(sql, &[&users, &tokens, &conversation]).await?;
    }
    Ok(())
}

const DOUBT: &str = "\
update listing set pending_at = coalesce(pending_at, clock_timestamp())
where user_id = any($1) and conversation_id = $2 and left_at is null";

/// Marks rows of memberships that are about to end as pending, so that the sweep finds them should this node die.
pub async fn doubt(directory: &Directory, conversation: ConversationId, users: &[UserId]) -> Result<(), StorageError> {
    let client = directory.client().await?;
    for page in users.chunks(ROWS_MAX) {
        client.execute(DOUBT, &[&page, &conversation]).await?;
    }
    Ok(())
}

const MARK_LEFT: &str = "\
insert into listing (user_id, conversation_id, join_token, kind, left_seq, left_at)
select joining.user_id, $3, joining.token, 2, $4, clock_timestamp()
from unnest($1::uuid[], $2::uuid[]) as joining (user_id, token)
on conflict (user_id, conversation_id, join_token) do update
set left_seq = excluded.left_seq, left_at = coalesce(listing.left_at, excluded.left_at), pending_at = null";

/// Marks joinings that have ended; `left_seq` is the last entry that they see. The rows stay a while, so that a sync can show it.
pub async fn mark_left(
    directory: &Directory,
    conversation: ConversationId,
    joinings: &[Joining],
    left_seq: Seq,
) -> Result<(), StorageError> {
    if joinings.is_empty() {
        return Ok(());
    }
    let client = directory.client().await?;
    for page in joinings.chunks(ROWS_MAX) {
        let (users, tokens) = columns(page);
        client.execute(MARK_LEFT, &[&users, &tokens, &conversation, &left_seq]).await?;
    }
    Ok(())
}

fn columns(joinings: &[Joining]) -> (Vec<UserId>, Vec<JoinToken>) {
    joinings.iter().map(|joining| (joining.user, joining.token)).unzip()
}

/// Where a user's list says to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The other user of a direct conversation.
    pub peer: Option<UserId>,
}

const FIND: &str = "select peer_id from listing where user_id = $1 and conversation_id = $2 limit 1";

/// Whether a conversation is in a user's list, or was.
pub async fn find(
    directory: &Directory,
    user: UserId,
    conversation: ConversationId,
) -> Result<Option<Found>, StorageError> {
    let client = directory.client().await?;
    let row = client.query_opt(FIND, &[&user, &conversation]).await?;
    row.map(|row| Ok(Found { peer: row.try_get(0)? })).transpose()
}

/// A joining of which it is not known whether it came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub conversation: ConversationId,
    pub joining: Joining,
}

const READ_PENDING: &str = "\
select conversation_id, user_id, join_token from listing
where pending_at < clock_timestamp() - $1::float8 * interval '1 second'
order by pending_at limit $2";

/// Pending rows older than `age`, oldest first.
pub async fn read_pending(directory: &Directory, age: Duration, limit: i64) -> Result<Vec<Pending>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_PENDING, &[&age.as_secs_f64(), &limit]).await?;
    rows.iter().map(pending_of).collect()
}

fn pending_of(row: &Row) -> Result<Pending, StorageError> {
    let joining = Joining { user: row.try_get(1)?, token: row.try_get(2)? };
    Ok(Pending { conversation: row.try_get(0)?, joining })
}

const READ_LEFT: &str = "\
select conversation_id, user_id, join_token from listing
where left_at < clock_timestamp() - $1::float8 * interval '1 second' limit $2";

/// Rows of joinings that ended longer ago than `age`.
pub async fn read_left(directory: &Directory, age: Duration, limit: i64) -> Result<Vec<Pending>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_LEFT, &[&age.as_secs_f64(), &limit]).await?;
    rows.iter().map(pending_of).collect()
}

const DELETE_LEFT: &str = "\
delete from listing l using unnest($1::uuid[], $2::uuid[], $3::uuid[]) k(conversation_id, user_id, join_token)
where l.user_id = k.user_id and l.conversation_id = k.conversation_id and l.join_token = k.join_token
  and l.left_at is not null";

/// Deletes these rows.
pub async fn delete_left(directory: &Directory, left: &[Pending]) -> Result<(), StorageError> {
    let client = directory.client().await?;
    let conversations: Vec<ConversationId> = left.iter().map(|row| row.conversation).collect();
    let (users, tokens): (Vec<UserId>, Vec<JoinToken>) =
        left.iter().map(|row| (row.joining.user, row.joining.token)).unzip();
    client.execute(DELETE_LEFT, &[&conversations, &users, &tokens]).await?;
    Ok(())
}
