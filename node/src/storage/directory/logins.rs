//! Logins: what REST calls sessions. Endings are written into `change` in the same transaction.

use std::time::Duration;

use super::Directory;
use super::accounts::Account;
use crate::domain::rotation::{Presented, Rotation, RotationState, TokenHash, rotate};
use crate::domain::{LoginId, Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::pool::Transaction;

pub const STATEMENTS: &[&str] =
    &[INSERT_LOGIN, LOCK_LOGIN, ADVANCE_LOGIN, TOUCH_LOGIN, END_LOGIN, END_LOGINS, LIST_LOGINS, FORGET_LOGINS];

/// What a new login begins with.
#[derive(Clone, Debug)]
pub struct NewLogin {
    pub id: LoginId,
    pub user: UserId,
    pub device: Option<String>,
    pub address: Option<String>,
    pub refresh_hash: TokenHash,
}

const INSERT_LOGIN: &str = "\
with owner as (
    select id from account
    where id = $2 and password_hash = $3 and disabled_at is null and deleted_at is null for share
)
insert into login (id, user_id, device, address, refresh_hash, created_at, last_seen_at)
select $1, id, $4, $5, $6, $7, $7 from owner";

/// False: the password that was checked is no longer the user's, or the user is out.
pub async fn insert_login(
    directory: &Directory,
    login: &NewLogin,
    password_hash: &str,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let client = directory.client().await?;
    let hash = login.refresh_hash.as_slice();
    let inserted = client
        .execute(INSERT_LOGIN, &[&login.id, &login.user, &password_hash, &login.device, &login.address, &hash, &now])
        .await?;
    Ok(inserted == 1)
}

/// What became of a login whose refresh token was presented.
#[derive(Clone, Debug)]
pub enum Rotated {
    /// This successor (by its index) is good now.
    Good(usize, Box<Account>),
    /// It has been ended by this.
    Ended,
    Refused,
}

const LOCK_LOGIN: &str = "\
select a.id, a.username, a.email, a.display_name, a.avatar_url, a.status_text, a.roles, a.read_receipts,
       a.disabled_at is not null or a.deleted_at is not null, a.created_at, a.password_hash,
       l.refresh_hash, l.previous_hash, l.rotated_at, l.created_at, l.ended_at
from login l join account a on a.id = l.user_id
where l.id = $1 for update of l";

const ADVANCE_LOGIN: &str = "\
update login set refresh_hash = $2, previous_hash = $3, rotated_at = $4, last_seen_at = $4, address = coalesce($5, address)
where id = $1";

const TOUCH_LOGIN: &str = "update login set last_seen_at = $2 where id = $1";

/// Rotates under the row's lock, so that of two uses at once one advances and the other repeats.
pub async fn rotate_login(
    directory: &Directory,
    login: LoginId,
    presented: &Presented,
    address: Option<&str>,
    now: Timestamp,
    life: Duration,
) -> Result<Rotated, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let Some(row) = transaction.query_opt(LOCK_LOGIN, &[&login]).await? else {
        transaction.commit().await?;
        return Ok(Rotated::Refused);
    };
    let account = super::accounts::account_of(&row)?;
    let state = RotationState {
        current: row.try_get(11)?,
        previous: row.try_get(12)?,
        rotated_at: row.try_get(13)?,
        created_at: row.try_get(14)?,
        ended_at: row.try_get(15)?,
        is_user_out: account.is_out,
    };
    let outcome = match rotate(&state, presented, now, life) {
        Rotation::Refuse => Rotated::Refused,
        Rotation::Advance => match presented.successors.first() {
            Some(successor) => {
                let (new, old) = (successor.as_slice(), presented.hash.as_slice());
                transaction.execute(ADVANCE_LOGIN, &[&login, &new, &old, &now, &address]).await?;
                Rotated::Good(0, Box::new(account))
            }
            None => Rotated::Refused,
        },
        Rotation::Repeat(index) => {
            transaction.execute(TOUCH_LOGIN, &[&login, &now]).await?;
            Rotated::Good(index, Box::new(account))
        }
        Rotation::End => {
            transaction.execute(END_LOGIN, &[&login, &None::<UserId>, &now]).await?;
            Rotated::Ended
        }
    };
    transaction.commit().await?;
    Ok(outcome)
}

/// Of this user, where one is given.
const END_LOGIN: &str = "\
with ended as (
    update login set ended_at = $3 where id = $1 and ($2::uuid is null or user_id = $2) and ended_at is null returning id
)
insert into change (kind, subject) select 'login_ended', id::text from ended";

/// Ends a login, of `user` or whoever's. False: there is none like that, or it has ended.
pub async fn end_login(
    directory: &Directory,
    login: LoginId,
    user: Option<UserId>,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let client = directory.client().await?;
    Ok(client.execute(END_LOGIN, &[&login, &user, &now]).await? == 1)
}

const END_LOGINS: &str = "\
with ended as (
    update login set ended_at = $3 where user_id = $1 and id is distinct from $2 and ended_at is null returning id
), told as (
    insert into change (kind, subject) select 'login_ended', id::text from ended
)
select id from ended";

/// Ends all logins of a user, but one where one is to be kept: which they were.
pub(super) async fn end_logins(
    transaction: &Transaction<'_>,
    user: UserId,
    keep: Option<LoginId>,
    now: Timestamp,
) -> Result<Vec<LoginId>, StorageError> {
    let rows = transaction.query(END_LOGINS, &[&user, &keep, &now]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A login as its user sees it.
#[derive(Clone, Debug)]
pub struct Login {
    pub id: LoginId,
    pub device: Option<String>,
    pub address: Option<String>,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
}

const LIST_LOGINS: &str = "\
select id, device, address, created_at, last_seen_at from login
where user_id = $1 and ended_at is null and coalesce(rotated_at, created_at) > $2
  and ($3::timestamptz is null or (created_at, id) < ($3, $4::uuid))
order by created_at desc, id desc limit $5";

/// Logins that stand, newest first, `after` the last one of the page before.
pub async fn list_logins(
    directory: &Directory,
    user: UserId,
    used_since: Timestamp,
    after: Option<(Timestamp, LoginId)>,
    limit: usize,
) -> Result<Vec<Login>, StorageError> {
    let client = directory.client().await?;
    let (after_at, after_id) = after.unzip();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(LIST_LOGINS, &[&user, &used_since, &after_at, &after_id, &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Login {
                id: row.try_get(0)?,
                device: row.try_get(1)?,
                address: row.try_get(2)?,
                created_at: row.try_get(3)?,
                last_seen_at: row.try_get(4)?,
            })
        })
        .collect()
}

const FORGET_LOGINS: &str = "\
delete from login where id in (
    select id from login where last_seen_at < $1 and (ended_at is null or ended_at < $1) limit 1000
)";

/// Removes logins that nobody can use since `before`, some at a time.
pub async fn forget_logins(directory: &Directory, before: Timestamp) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(FORGET_LOGINS, &[&before]).await?;
    Ok(())
}
