//! Settings that an administrator has changed. Initial values are in every node's configuration, not here.

use super::Directory;
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[READ_SETTINGS, WRITE_SETTING];

const READ_SETTINGS: &str = "select key, value from setting where not is_initial";

/// Names and JSON values.
pub async fn read_settings(directory: &Directory) -> Result<Vec<(String, String)>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_SETTINGS, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

const WRITE_SETTING: &str = "\
with written as (
    insert into setting (key, value, is_initial) values ($1, $2, false)
    on conflict (key) do update set value = excluded.value, is_initial = false, updated_at = clock_timestamp()
    returning key
)
insert into change (kind, subject) select 'setting', key from written";

/// Keeps a value for all nodes, which learn it from the feed.
pub async fn write_setting(directory: &Directory, name: &str, json: &str) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(WRITE_SETTING, &[&name, &json]).await?;
    Ok(())
}
