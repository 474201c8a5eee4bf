//! The audit log: written in the transaction of the change it speaks of; the table refuses every other kind of write.

use tokio_postgres::Row;

use super::Directory;
use super::notifications::json_of;
use crate::domain::audit::{AuditEntry, AuditRecord};
use crate::domain::ids::AuditId;
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::pool::Transaction;

pub const STATEMENTS: &[&str] = &[WRITE_AUDIT, LIST_AUDIT];

const WRITE_AUDIT: &str = "\
insert into audit (id, admin_id, action, target, before, after, address) values ($1, $2, $3, $4, $5, $6, $7)";

/// Writes an entry beside a change.
pub(super) async fn write(transaction: &Transaction<'_>, record: AuditRecord<'_>) -> Result<(), StorageError> {
    let (before, after) = (record.before.map(ToString::to_string), record.after.map(ToString::to_string));
    let (id, author) = (AuditId::random(), record.author);
    transaction
        .execute(WRITE_AUDIT, &[&id, &author.id, &record.action, &record.target, &before, &after, &author.address])
        .await?;
    Ok(())
}

/// Which entries are asked for; `None`: all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub admin: Option<UserId>,
    pub action: Option<String>,
    pub target: Option<String>,
}

const LIST_AUDIT: &str = "\
select id, admin_id, action, target, before, after, address, created_at from audit
where (created_at, id) < ($1, $2::uuid)
  and ($3::uuid is null or admin_id = $3) and ($4::text is null or action = $4) and ($5::text is null or target = $5)
order by created_at desc, id desc limit $6";

/// Newest first, `before` the last one of the page before.
pub async fn list_audit(
    directory: &Directory,
    filter: &AuditFilter,
    before: (Timestamp, AuditId),
    limit: usize,
) -> Result<Vec<AuditEntry>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client
        .query(LIST_AUDIT, &[&before.0, &before.1, &filter.admin, &filter.action, &filter.target, &limit])
        .await?;
    rows.iter().map(entry_of).collect()
}

fn entry_of(row: &Row) -> Result<AuditEntry, StorageError> {
    let json = |index: usize| row.try_get::<_, Option<String>>(index).map(|text| text.map(json_of));
    Ok(AuditEntry {
        id: row.try_get(0)?,
        admin_id: row.try_get(1)?,
        action: row.try_get(2)?,
        target: row.try_get(3)?,
        before: json(4)?.transpose()?,
        after: json(5)?.transpose()?,
        address: row.try_get(6)?,
        created_at: row.try_get(7)?,
    })
}
