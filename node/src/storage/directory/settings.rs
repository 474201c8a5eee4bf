//! Settings that an administrator has changed. Initial values are in every node's configuration, not here.

use serde_json::Value;

use super::{Directory, audit};
use crate::domain::audit::{AuditRecord, Author};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[READ_SETTINGS, LOCK_SETTINGS, READ_SETTING, WRITE_SETTING, TELL_RELOAD];

const READ_SETTINGS: &str = "select key, value from setting where not is_initial";

/// Names and JSON values.
pub async fn read_settings(directory: &Directory) -> Result<Vec<(String, String)>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_SETTINGS, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// One after the other, so that each entry of the audit log says what was there before.
const LOCK_SETTINGS: &str = "select pg_advisory_xact_lock(hashtextextended('herald.settings', 0))";

const READ_SETTING: &str = "select value from setting where key = $1 and not is_initial";

const WRITE_SETTING: &str = "\
with written as (
    insert into setting (key, value, is_initial) values ($1, $2, false)
    on conflict (key) do update set value = excluded.value, is_initial = false, updated_at = clock_timestamp()
    returning key
)
insert into change (kind, subject) select 'setting', key from written";

/// Keeps a value for all nodes, which learn it from the feed. `configured` is what holds where no administrator has said anything.
pub async fn write_setting(
    directory: &Directory,
    name: &str,
    value: &Value,
    configured: Option<Value>,
    author: &Author,
) -> Result<(), StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    transaction.query_one(LOCK_SETTINGS, &[]).await?;
    let before = match transaction.query_opt(READ_SETTING, &[&name]).await? {
        Some(row) => serde_json::from_str(row.try_get(0)?).ok(),
        None => configured,
    };
    transaction.execute(WRITE_SETTING, &[&name, &value.to_string()]).await?;
    let record = AuditRecord {
        author,
        action: "setting.change",
        target: Some(name),
        before: before.as_ref(),
        after: Some(value),
    };
    audit::write(&transaction, record).await?;
    transaction.commit().await
}

const TELL_RELOAD: &str = "insert into change (kind, subject) values ('setting', '*')";

/// Lets all nodes read the settings anew.
pub async fn tell_reload(directory: &Directory, author: &Author) -> Result<(), StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute(TELL_RELOAD, &[]).await?;
    let record = AuditRecord { author, action: "settings.reload", target: None, before: None, after: None };
    audit::write(&transaction, record).await?;
    transaction.commit().await
}
