//! What is told to everyone: one row each. Numbers are given out under a lock that is held to the commit, so that whoever has seen a
//! number has seen all smaller ones.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;

use super::notifications::json_of;
use super::{Directory, audit};
use crate::domain::audit::AuditRecord;
use crate::domain::ids::NotificationId;
use crate::domain::notification::NewNotification;
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    LOCK_BROADCASTS,
    INSERT_BROADCAST,
    PUBLISH_BROADCAST,
    TELL_BROADCAST,
    NEWEST_NUMBER,
    READ_AFTER,
    READ_SEEING,
    LIST_BROADCASTS,
];

/// A broadcast as the history shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Broadcast {
    #[serde(skip)]
    pub number: i64,
    pub id: NotificationId,
    pub r#type: String,
    pub title: String,
    pub content: String,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub data: Box<RawValue>,
    pub created_by: UserId,
    pub created_at: Timestamp,
}

const LOCK_BROADCASTS: &str = "select pg_advisory_xact_lock(hashtextextended('herald.broadcast', 0))";

const INSERT_BROADCAST: &str = "\
insert into broadcast (number, id, kind, title, content, data, created_by, created_at)
select coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, greatest(clock_timestamp(), max(created_at) + interval '1 microsecond')
from broadcast
returning number, id, kind, title, content, data, created_by, created_at";

const PUBLISH_BROADCAST: &str = "\
insert into outbox (id, topic, payload, created_at)
select id, $2::text, json_build_object('notification_id', id, 'title', title, 'created_by', created_by)::text, created_at
from broadcast where id = $1";

const TELL_BROADCAST: &str = "insert into change (kind, subject) values ('broadcast', $1)";

/// Keeps one, and tells all nodes that there is news. `topic`: where somebody subscribes to it.
pub async fn insert_broadcast(
    directory: &Directory,
    id: NotificationId,
    new: &NewNotification,
    audit: AuditRecord<'_>,
    topic: Option<&str>,
) -> Result<Broadcast, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    transaction.query_one(LOCK_BROADCASTS, &[]).await?;
    let (kind, data) = (new.kind.as_str(), new.data.to_string());
    let author = audit.author.id;
    let row = transaction.query_one(INSERT_BROADCAST, &[&id, &kind, &new.title, &new.content, &data, &author]).await?;
    if let Some(topic) = topic {
        transaction.execute(PUBLISH_BROADCAST, &[&id, &topic]).await?;
    }
    transaction.execute(TELL_BROADCAST, &[&id.to_string()]).await?;
    audit::write(&transaction, audit).await?;
    transaction.commit().await?;
    broadcast_of(&row)
}

const NEWEST_NUMBER: &str = "select coalesce(max(number), 0) from broadcast";

pub async fn newest_number(directory: &Directory) -> Result<i64, StorageError> {
    let client = directory.client().await?;
    Ok(client.query_one(NEWEST_NUMBER, &[]).await?.try_get(0)?)
}

const READ_AFTER: &str = "\
select number, id, kind, title, content, data, created_by, created_at from broadcast
where number > $1 order by number limit $2";

/// Those with greater numbers, in their order.
pub async fn read_after(directory: &Directory, number: i64, limit: i64) -> Result<Vec<Broadcast>, StorageError> {
    let client = directory.client().await?;
    client.query(READ_AFTER, &[&number, &limit]).await?.iter().map(broadcast_of).collect()
}

const READ_SEEING: &str = "select id from account where id = any($1) and coalesce(broadcast_base, 0) < $2";

/// Of these users, those whose accounts were made before a broadcast.
pub async fn read_seeing(directory: &Directory, users: &[UserId], number: i64) -> Result<Vec<UserId>, StorageError> {
    let rows = directory.client().await?.query(READ_SEEING, &[&users, &number]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

const LIST_BROADCASTS: &str = "\
select number, id, kind, title, content, data, created_by, created_at from broadcast
where number < $1 and ($2 or number > (select coalesce(max(broadcast_base), 0) from account where id = $3))
order by number desc limit $4";

/// Newest first, with numbers below `before`: all of them, or those since this reader's account was made.
pub async fn list_broadcasts(
    directory: &Directory,
    reader: UserId,
    sees_all: bool,
    before: i64,
    limit: usize,
) -> Result<Vec<Broadcast>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    client.query(LIST_BROADCASTS, &[&before, &sees_all, &reader, &limit]).await?.iter().map(broadcast_of).collect()
}

fn broadcast_of(row: &Row) -> Result<Broadcast, StorageError> {
    Ok(Broadcast {
        number: row.try_get(0)?,
        id: row.try_get(1)?,
        r#type: row.try_get(2)?,
        title: row.try_get(3)?,
        content: row.try_get(4)?,
        data: json_of(row.try_get(5)?)?,
        created_by: row.try_get(6)?,
        created_at: row.try_get(7)?,
    })
}
