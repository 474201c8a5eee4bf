//! Deleted accounts: the tombstone that stays, and what is still to be ended.

use std::time::Duration;

use super::Directory;
use crate::domain::UserId;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    LOCK_ACCOUNT,
    BURY_ACCOUNT,
    DELETE_LOGINS,
    TELL_NODES,
    BEGIN_DELETION,
    READ_UNFINISHED,
    TOUCH,
    DELETE_LISTING,
    DELETE_NAMES,
    DELETE_BUDGET,
    DELETE_NOTIFICATIONS,
    DELETE_BROADCAST_STATES,
    DELETE_NOTIFICATION_POSITION,
    DELETE_BLOCKS,
    DELETE_FRIENDS,
    DELETE_REQUESTS,
    FINISH,
];

/// What is shown in place of a deleted user's name.
const DELETED_NAME: &str = "Deleted account";
/// Rows of a user's lists deleted by one statement.
const ROWS_MAX: i64 = 5_000;

/// An account that is deleted, with the name that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub user: UserId,
    pub name: String,
    /// Long enough ago that nothing begun before it is still on its way.
    pub is_settled: bool,
}

const LOCK_ACCOUNT: &str = "select display_name from account where id = $1 and deleted_at is null for update";

/// The key of the username stays, so that nobody takes it.
const BURY_ACCOUNT: &str = "\
update account set deleted_at = clock_timestamp(), username = null, email = null, email_key = null, display_name = $2,
    avatar_url = null, status_text = null, password_hash = null, roles = '{}'
where id = $1";

const DELETE_LOGINS: &str = "delete from login where user_id = $1";

const TELL_NODES: &str = "insert into change (kind, subject) values ('user_deleted', ($1::uuid)::text)";

const BEGIN_DELETION: &str = "insert into deletion (user_id, name) values ($1, $2)";

/// Makes an account a tombstone; no login of it counts from here on. None: it is one, or there is none.
pub async fn bury_account(directory: &Directory, user: UserId) -> Result<Option<Deletion>, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let Some(row) = transaction.query_opt(LOCK_ACCOUNT, &[&user]).await? else {
        transaction.commit().await?;
        return Ok(None);
    };
    let name: String = row.try_get(0)?;
    transaction.execute(BURY_ACCOUNT, &[&user, &DELETED_NAME]).await?;
    transaction.execute(DELETE_LOGINS, &[&user]).await?;
    transaction.execute(TELL_NODES, &[&user]).await?;
    transaction.execute(BEGIN_DELETION, &[&user, &name]).await?;
    transaction.commit().await?;
    Ok(Some(Deletion { user, name, is_settled: false }))
}

const READ_UNFINISHED: &str = "\
select user_id, name, begun_at < clock_timestamp() - $1::float8 * interval '1 second' from deletion
where tried_at < clock_timestamp() - $1::float8 * interval '1 second' order by tried_at limit $2";

/// Deletions that were last looked at longer ago than `age`.
pub async fn read_unfinished(directory: &Directory, age: Duration, limit: i64) -> Result<Vec<Deletion>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_UNFINISHED, &[&age.as_secs_f64(), &limit]).await?;
    rows.iter()
        .map(|row| Ok(Deletion { user: row.try_get(0)?, name: row.try_get(1)?, is_settled: row.try_get(2)? }))
        .collect()
}

const TOUCH: &str = "update deletion set tried_at = clock_timestamp() where user_id = $1";

/// Lets the others have their turn first.
pub async fn touch(directory: &Directory, user: UserId) -> Result<(), StorageError> {
    directory.client().await?.execute(TOUCH, &[&user]).await?;
    Ok(())
}

const DELETE_LISTING: &str = "\
delete from listing where user_id = $1 and conversation_id in (
    select conversation_id from listing where user_id = $1 limit $2)";

const DELETE_NAMES: &str = "delete from search_name where user_id = $1";

const DELETE_BUDGET: &str = "delete from friend_budget where user_id = $1";

const DELETE_NOTIFICATIONS: &str = "\
delete from notification where user_id = $1 and id in (select id from notification where user_id = $1 limit $2)";

const DELETE_BROADCAST_STATES: &str = "delete from broadcast_state where user_id = $1";

const DELETE_NOTIFICATION_POSITION: &str = "delete from notification_position where user_id = $1";

/// What the pairs' rows say was ended before; these are the user's copies of it.
const DELETE_BLOCKS: &str = "delete from block where user_id = $1";

const DELETE_FRIENDS: &str = "delete from friend where user_id = $1";

const DELETE_REQUESTS: &str = "delete from friend_request where user_id = $1";

/// Deletes what is listed by a user.
pub async fn delete_lists(directory: &Directory, user: UserId) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(DELETE_NAMES, &[&user]).await?;
    client.execute(DELETE_BUDGET, &[&user]).await?;
    client.execute(DELETE_BROADCAST_STATES, &[&user]).await?;
    client.execute(DELETE_NOTIFICATION_POSITION, &[&user]).await?;
    client.execute(DELETE_BLOCKS, &[&user]).await?;
    client.execute(DELETE_FRIENDS, &[&user]).await?;
    client.execute(DELETE_REQUESTS, &[&user]).await?;
    while client.execute(DELETE_NOTIFICATIONS, &[&user, &ROWS_MAX]).await? > 0 {}
    while client.execute(DELETE_LISTING, &[&user, &ROWS_MAX]).await? > 0 {}
    Ok(())
}

const FINISH: &str = "delete from deletion where user_id = $1";

/// Nothing is left to be ended.
pub async fn finish(directory: &Directory, user: UserId) -> Result<(), StorageError> {
    directory.client().await?.execute(FINISH, &[&user]).await?;
    Ok(())
}
