//! Rows of the log as entries. Every statement that reads entries selects, in this order:
//! `id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at`.

use tokio_postgres::Row;

use super::super::StorageError;
use crate::domain::{Body, Entry};

/// The entry of a row whose columns from `first` on are those above.
pub fn entry_of(row: &Row, first: usize) -> Result<Entry, StorageError> {
    let kind: i16 = row.try_get(first + 3)?;
    let body: &str = row.try_get(first + 4)?;
    Ok(Entry {
        id: row.try_get(first)?,
        sender_id: row.try_get(first + 1)?,
        sender_name: row.try_get(first + 2)?,
        body: Body::from_json(kind, body).map_err(|error| StorageError::Failed(Box::new(error)))?,
        temp_id: row.try_get(first + 5)?,
        ordinal: row.try_get(first + 6)?,
        created_at: row.try_get(first + 7)?,
    })
}
