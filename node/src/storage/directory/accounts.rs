//! Accounts: made, found, changed. Whatever all nodes must learn of them is written into `change` in the same transaction.

use tokio_postgres::Row;

use super::Directory;
use super::logins::end_logins;
use crate::domain::account::{AccountKey, Email, Username};
use crate::domain::patch::Patch;
use crate::domain::{LoginId, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    INSERT_ACCOUNT,
    INSERT_FOREIGN,
    IS_USERNAME_TAKEN,
    FIND_BY_USERNAME,
    FIND_BY_EMAIL,
    READ_ACCOUNT,
    UPDATE_PROFILE,
    REPLACE_PASSWORD,
    SET_DISABLED,
    SET_ROLES,
    READ_OUT_USERS,
];

/// All of an account but its password, and that apart.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: UserId,
    pub username: Option<String>,
    pub email: Option<String>,
    pub display_name: String,
    pub avatar_url: Option<String>,
    pub status_text: Option<String>,
    pub roles: Vec<String>,
    pub read_receipts: bool,
    /// Disabled or deleted.
    pub is_out: bool,
    pub created_at: Timestamp,
    /// `None`: no password login.
    pub password_hash: Option<String>,
}

/// What a new account begins with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub id: UserId,
    pub username: Username,
    pub email: Option<Email>,
    pub display_name: String,
    pub password_hash: String,
    pub roles: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    Done,
    UsernameTaken,
    EmailTaken,
}

const INSERT_ACCOUNT: &str = "\
insert into account (id, username, username_key, email, email_key, display_name, password_hash, roles, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing";

const IS_USERNAME_TAKEN: &str = "select 1 from account where username_key = $1";

/// Makes an account, unless its name or address is another's.
pub async fn insert_account(
    directory: &Directory,
    account: &NewAccount,
    now: Timestamp,
) -> Result<Inserted, StorageError> {
    let client = directory.client().await?;
    let (email, email_key) = account.email.as_ref().map(|email| (&email.shown, &email.key)).unzip();
    let inserted = client
        .execute(
            INSERT_ACCOUNT,
            &[
                &account.id,
                &account.username.shown,
                &account.username.key,
                &email,
                &email_key,
                &account.display_name,
                &account.password_hash,
                &account.roles,
                &now,
            ],
        )
        .await?;
    if inserted == 1 {
        return Ok(Inserted::Done);
    }
    let is_username_taken = client.query_opt(IS_USERNAME_TAKEN, &[&account.username.key]).await?.is_some();
    Ok(if is_username_taken { Inserted::UsernameTaken } else { Inserted::EmailTaken })
}

const INSERT_FOREIGN: &str = "\
insert into account (id, display_name, created_at) values ($1, $2, $3) on conflict (id) do nothing";

/// The account of a user of another issuer, made where it is missing: without a username and without a password. One that is
/// there stays as it is.
pub async fn find_or_insert_foreign(
    directory: &Directory,
    user: UserId,
    display_name: &str,
    now: Timestamp,
) -> Result<Account, StorageError> {
    if let Some(account) = read_account(directory, user).await? {
        return Ok(account);
    }
    let client = directory.client().await?;
    client.execute(INSERT_FOREIGN, &[&user, &display_name, &now]).await?;
    account_of(&client.query_one(READ_ACCOUNT, &[&user]).await?)
}

const FIND_BY_USERNAME: &str = "\
select id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
       disabled_at is not null or deleted_at is not null, created_at, password_hash
from account where username_key = $1";

const FIND_BY_EMAIL: &str = "\
select id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
       disabled_at is not null or deleted_at is not null, created_at, password_hash
from account where email_key = $1";

const READ_ACCOUNT: &str = "\
select id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
       disabled_at is not null or deleted_at is not null, created_at, password_hash
from account where id = $1";

/// The account with this name or address.
pub async fn find_account(directory: &Directory, key: &AccountKey) -> Result<Option<Account>, StorageError> {
    let client = directory.client().await?;
    let row = match key {
        AccountKey::Username(key) => client.query_opt(FIND_BY_USERNAME, &[key]).await?,
        AccountKey::Email(key) => client.query_opt(FIND_BY_EMAIL, &[key]).await?,
    };
    row.as_ref().map(account_of).transpose()
}

pub async fn read_account(directory: &Directory, user: UserId) -> Result<Option<Account>, StorageError> {
    let client = directory.client().await?;
    let row = client.query_opt(READ_ACCOUNT, &[&user]).await?;
    row.as_ref().map(account_of).transpose()
}

/// What of a profile changes; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    pub display_name: Option<String>,
    pub avatar_url: Patch<String>,
    pub status_text: Patch<String>,
    pub read_receipts: Option<bool>,
}

const UPDATE_PROFILE: &str = "\
with changed as (
    update account set
        display_name = coalesce($2, display_name),
        avatar_url = case when $3 then $4 else avatar_url end,
        status_text = case when $5 then $6 else status_text end,
        read_receipts = coalesce($7, read_receipts)
    where id = $1
    returning id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
              disabled_at is not null or deleted_at is not null, created_at, password_hash),
told as (
    insert into change (kind, subject, value) select 'name_changed', id::text, display_name from changed where $2 is not null)
select * from changed";

/// The account as it is then.
pub async fn update_profile(
    directory: &Directory,
    user: UserId,
    change: &ProfileChange,
) -> Result<Option<Account>, StorageError> {
    let client = directory.client().await?;
    let row = client
        .query_opt(
            UPDATE_PROFILE,
            &[
                &user,
                &change.display_name,
                &!change.avatar_url.is_keep(),
                &change.avatar_url.value(),
                &!change.status_text.is_keep(),
                &change.status_text.value(),
                &change.read_receipts,
            ],
        )
        .await?;
    row.as_ref().map(account_of).transpose()
}

const REPLACE_PASSWORD: &str = "update account set password_hash = $3 where id = $1 and password_hash = $2";

/// Replaces the password that was `old_hash` and ends all logins but `keep`: which they were. `None`: it was changed meanwhile.
pub async fn change_password(
    directory: &Directory,
    user: UserId,
    old_hash: &str,
    new_hash: &str,
    keep: LoginId,
    now: Timestamp,
) -> Result<Option<Vec<LoginId>>, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    // The account's lock makes every login either before this, and ended below, or after it, and refused.
    if transaction.execute(REPLACE_PASSWORD, &[&user, &old_hash, &new_hash]).await? == 0 {
        transaction.commit().await?;
        return Ok(None);
    }
    let ended = end_logins(&transaction, user, Some(keep), now).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}

const SET_DISABLED: &str = "\
with changed as (
    update account set disabled_at = case when $2 then coalesce(disabled_at, clock_timestamp()) end
    where id = $1 and deleted_at is null returning id
)
insert into change (kind, subject)
select case when $2 then 'user_disabled' else 'user_enabled' end, id::text from changed";

/// Disables a user, or lets it in again. False: there is no such user.
pub async fn set_disabled(directory: &Directory, user: UserId, is_disabled: bool) -> Result<bool, StorageError> {
    let client = directory.client().await?;
    Ok(client.execute(SET_DISABLED, &[&user, &is_disabled]).await? == 1)
}

const SET_ROLES: &str = "\
with changed as (
    update account set roles = $2 where id = $1 and deleted_at is null returning id
)
insert into change (kind, subject, value) select 'roles_changed', id::text, $3 from changed";

/// False: there is no such user.
pub async fn set_roles(directory: &Directory, user: UserId, roles: &[String]) -> Result<bool, StorageError> {
    let client = directory.client().await?;
    let json = serde_json::to_string(roles).unwrap_or_else(|_| "[]".to_owned());
    Ok(client.execute(SET_ROLES, &[&user, &roles, &json]).await? == 1)
}

const READ_OUT_USERS: &str = "select id from account where disabled_at is not null or deleted_at is not null";

/// Everyone who is disabled or deleted.
pub async fn read_out_users(directory: &Directory) -> Result<Vec<UserId>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_OUT_USERS, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) fn account_of(row: &Row) -> Result<Account, StorageError> {
    Ok(Account {
        id: row.try_get(0)?,
        username: row.try_get(1)?,
        email: row.try_get(2)?,
        display_name: row.try_get(3)?,
        avatar_url: row.try_get(4)?,
        status_text: row.try_get(5)?,
        roles: row.try_get(6)?,
        read_receipts: row.try_get(7)?,
        is_out: row.try_get(8)?,
        created_at: row.try_get(9)?,
        password_hash: row.try_get(10)?,
    })
}
