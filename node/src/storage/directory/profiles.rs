//! Reads what is shown of users, many at a time.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::Directory;
use crate::domain::UserId;
use crate::domain::profile::Profile;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[READ_PROFILES];

const READ_PROFILES: &str = "\
select id, username, display_name, avatar_url, status_text, created_at,
       disabled_at is not null or deleted_at is not null
from account where id = any($1)";

/// Those of `users` that exist, disabled and deleted ones among them.
pub async fn read_profiles(directory: &Directory, users: &[UserId]) -> Result<HashMap<UserId, Profile>, StorageError> {
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let client = directory.client().await?;
    let rows = client.query(READ_PROFILES, &[&users]).await?;
    rows.iter().map(|row| profile_of(row).map(|profile| (profile.id, profile))).collect()
}

pub(super) fn profile_of(row: &Row) -> Result<Profile, StorageError> {
    Ok(Profile {
        id: row.try_get(0)?,
        username: row.try_get(1)?,
        display_name: row.try_get(2)?,
        avatar_url: row.try_get(3)?,
        status_text: row.try_get(4)?,
        created_at: row.try_get(5)?,
        is_out: row.try_get(6)?,
    })
}
