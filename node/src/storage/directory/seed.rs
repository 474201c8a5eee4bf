//! Accounts that commands make: those of `herald dev`, many at once for load tests, and the first administrator.

use tokio_postgres::Client;
use uuid::Uuid;

use crate::domain::account::Username;
use crate::domain::{LoginId, UserId};
use crate::storage::StorageError;

/// An existing username is left as it is.
const INSERT_ACCOUNTS: &str = "insert into account (id, username, username_key, display_name, password_hash, roles) \
     select a.id, a.username, a.username_key, a.username, $4, $5 \
     from unnest($1::uuid[], $2::text[], $3::text[]) as a (id, username, username_key) \
     on conflict (username_key) do nothing";
const FIND_ACCOUNTS: &str = "select id, username, display_name, roles from account \
     where username_key = any($1) and deleted_at is null";
const FIND_ACCOUNT: &str = "select id, username, display_name, roles from account where id = $1 and deleted_at is null";
const INSERT_LOGIN: &str = "insert into login (id, user_id, device, refresh_hash) values ($1, $2, $3, $4)";
const COUNT_FRIENDS: &str = "select count(*) from friend where is_active and user_id = any($1) and other_id = any($1)";

/// Statements of this file, for the test that prepares them all.
pub const STATEMENTS: &[&str] = &[INSERT_ACCOUNTS, FIND_ACCOUNTS, FIND_ACCOUNT, INSERT_LOGIN, COUNT_FRIENDS];

/// An account, as far as a token names it.
#[derive(Clone, Debug)]
pub struct SeedAccount {
    pub id: UserId,
    pub username: Option<String>,
    pub display_name: String,
    pub roles: Vec<String>,
}

/// Makes accounts that all have this password and these roles; answers how many are new.
pub async fn insert_accounts(
    client: &Client,
    accounts: &[(UserId, Username)],
    password_hash: &str,
    roles: &[String],
) -> Result<u64, StorageError> {
    let ids: Vec<Uuid> = accounts.iter().map(|(id, _)| id.0).collect();
    let names: Vec<&str> = accounts.iter().map(|(_, name)| name.shown.as_str()).collect();
    let keys: Vec<&str> = accounts.iter().map(|(_, name)| name.key.as_str()).collect();
    Ok(client.execute(INSERT_ACCOUNTS, &[&ids, &names, &keys, &password_hash, &roles]).await?)
}

/// The accounts of these usernames that there are.
pub async fn find_accounts(client: &Client, names: &[Username]) -> Result<Vec<SeedAccount>, StorageError> {
    let keys: Vec<&str> = names.iter().map(|name| name.key.as_str()).collect();
    Ok(client.query(FIND_ACCOUNTS, &[&keys]).await?.iter().map(read_account).collect())
}

pub async fn find_account(client: &Client, id: UserId) -> Result<Option<SeedAccount>, StorageError> {
    Ok(client.query_opt(FIND_ACCOUNT, &[&id]).await?.as_ref().map(read_account))
}

/// A login that a command made; nobody knows a refresh token of it.
pub async fn insert_login(client: &Client, login: LoginId, user: UserId, device: &str) -> Result<(), StorageError> {
    let refresh_hash: &[u8] = login.0.as_bytes();
    client.execute(INSERT_LOGIN, &[&login, &user, &device, &refresh_hash]).await?;
    Ok(())
}

/// How many friendships there are among these users, each counted from both sides.
pub async fn count_friends(client: &Client, users: &[UserId]) -> Result<i64, StorageError> {
    let ids: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    Ok(client.query_one(COUNT_FRIENDS, &[&ids]).await?.get(0))
}

fn read_account(row: &tokio_postgres::Row) -> SeedAccount {
    SeedAccount { id: row.get(0), username: row.get(1), display_name: row.get(2), roles: row.get(3) }
}
