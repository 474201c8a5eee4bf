//! What users are told: a row for each user, merged in lists with the broadcasts, which have one row for all. A broadcast is read by
//! its own state or by the position of "read all", and seen by accounts that were made before it.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio_postgres::Row;

use super::{Directory, audit};
use crate::domain::audit::AuditRecord;
use crate::domain::ids::NotificationId;
use crate::domain::notification::{NewNotification, Notification};
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    INSERT_NOTIFICATIONS,
    LIST_NOTIFICATIONS,
    READ_NOTIFICATION,
    READ_BROADCAST,
    READ_ALL_OWN,
    READ_ALL_BROADCASTS,
    DELETE_NOTIFICATION,
    DELETE_BROADCAST,
    FORGET_NOTIFICATIONS,
];

const INSERT_NOTIFICATIONS: &str = "\
with moment as materialized (select clock_timestamp() as at), kept as (
    insert into notification (user_id, id, kind, title, content, data, created_at)
    select u.id, $2, $3, $4, $5, $6, m.at from unnest($1::uuid[]) as u (id) cross join moment m
    on conflict do nothing
)
select at from moment";

/// Keeps one for each of these users, all under one id; answers when. With `audit` the administrator's doing is kept with it.
pub async fn insert_notifications(
    directory: &Directory,
    users: &[UserId],
    id: NotificationId,
    new: &NewNotification,
    audit: Option<AuditRecord<'_>>,
) -> Result<Timestamp, StorageError> {
    let mut client = directory.client().await?;
    let data = new.data.to_string();
    let kind = new.kind.as_str();
    let Some(record) = audit else {
        let row =
            client.query_one(INSERT_NOTIFICATIONS, &[&users, &id, &kind, &new.title, &new.content, &data]).await?;
        return Ok(row.try_get(0)?);
    };
    let transaction = client.transaction().await?;
    let row =
        transaction.query_one(INSERT_NOTIFICATIONS, &[&users, &id, &kind, &new.title, &new.content, &data]).await?;
    audit::write(&transaction, record).await?;
    transaction.commit().await?;
    Ok(row.try_get(0)?)
}

const LIST_NOTIFICATIONS: &str = "\
with own as (
    select id, kind, title, content, data, is_read, created_at from notification
    where user_id = $1 and (created_at, id) < ($2, $3::uuid) and not ($4 and is_read)
    order by created_at desc, id desc limit $5
), told as (
    select b.id, b.kind, b.title, b.content, b.data,
           coalesce(s.is_read, false) or b.number <= coalesce(r.number, 0) as is_read, b.created_at
    from broadcast b
    left join broadcast_state s on s.user_id = $1 and s.number = b.number
    left join broadcast_read r on r.user_id = $1
    where b.number > (select coalesce(max(a.broadcast_base), 0) from account a where a.id = $1)
      and (b.created_at, b.id) < ($2, $3::uuid)
      and not coalesce(s.is_deleted, false)
      and not ($4 and (coalesce(s.is_read, false) or b.number <= coalesce(r.number, 0)))
    order by b.created_at desc, b.id desc limit $5
)
select id, kind, title, content, data, is_read, created_at from own
union all
select id, kind, title, content, data, is_read, created_at from told
order by created_at desc, id desc limit $5";

/// Newest first, `before` the last one of the page before.
pub async fn list_notifications(
    directory: &Directory,
    user: UserId,
    before: (Timestamp, NotificationId),
    is_unread_only: bool,
    limit: usize,
) -> Result<Vec<Notification>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(LIST_NOTIFICATIONS, &[&user, &before.0, &before.1, &is_unread_only, &limit]).await?;
    rows.iter().map(notification_of).collect()
}

const READ_NOTIFICATION: &str = "\
update notification set is_read = true where user_id = $1 and id = $2
returning id, kind, title, content, data, is_read, created_at";

const READ_BROADCAST: &str = "\
with changed as (
    insert into broadcast_state (user_id, number, is_read, is_deleted)
    select $1, b.number, true, false from broadcast b
    where b.id = $2 and b.number > (select coalesce(max(a.broadcast_base), 0) from account a where a.id = $1)
    on conflict (user_id, number) do update set is_read = true where not broadcast_state.is_deleted
    returning number
)
select b.id, b.kind, b.title, b.content, b.data, true, b.created_at
from broadcast b join changed c on c.number = b.number";

/// Marks one as read. `None`: the user has none like that.
pub async fn read_notification(
    directory: &Directory,
    user: UserId,
    id: NotificationId,
) -> Result<Option<Notification>, StorageError> {
    let client = directory.client().await?;
    let row = match client.query_opt(READ_NOTIFICATION, &[&user, &id]).await? {
        Some(row) => Some(row),
        None => client.query_opt(READ_BROADCAST, &[&user, &id]).await?,
    };
    row.as_ref().map(notification_of).transpose()
}

const READ_ALL_OWN: &str = "update notification set is_read = true where user_id = $1 and not is_read";

const READ_ALL_BROADCASTS: &str = "\
insert into broadcast_read (user_id, number) select $1, max(number) from broadcast having max(number) is not null
on conflict (user_id) do update set number = greatest(broadcast_read.number, excluded.number)";

/// Marks all as read that there are now; of broadcasts by a position, since their numbers become visible in order.
pub async fn read_all(directory: &Directory, user: UserId) -> Result<(), StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute(READ_ALL_OWN, &[&user]).await?;
    transaction.execute(READ_ALL_BROADCASTS, &[&user]).await?;
    transaction.commit().await
}

const DELETE_NOTIFICATION: &str = "delete from notification where user_id = $1 and id = $2";

const DELETE_BROADCAST: &str = "\
insert into broadcast_state (user_id, number, is_read, is_deleted)
select $1, b.number, true, true from broadcast b
where b.id = $2 and b.number > (select coalesce(max(a.broadcast_base), 0) from account a where a.id = $1)
on conflict (user_id, number) do update set is_deleted = true where not broadcast_state.is_deleted";

/// Deletes one for this user. False: there is none like that.
pub async fn delete_notification(
    directory: &Directory,
    user: UserId,
    id: NotificationId,
) -> Result<bool, StorageError> {
    let client = directory.client().await?;
    if client.execute(DELETE_NOTIFICATION, &[&user, &id]).await? > 0 {
        return Ok(true);
    }
    Ok(client.execute(DELETE_BROADCAST, &[&user, &id]).await? > 0)
}

const FORGET_NOTIFICATIONS: &str = "\
delete from notification where (user_id, id) in (
    select user_id, id from notification where created_at < clock_timestamp() - $1::float8 * interval '1 second' limit $2
)";

/// Removes some of those that are older; answers how many.
pub async fn forget_notifications(
    directory: &Directory,
    older_than: Duration,
    limit: i64,
) -> Result<u64, StorageError> {
    let client = directory.client().await?;
    client.execute(FORGET_NOTIFICATIONS, &[&older_than.as_secs_f64(), &limit]).await
}

/// JSON as it was kept.
pub(super) fn json_of(text: String) -> Result<Box<RawValue>, StorageError> {
    RawValue::from_string(text).map_err(|error| StorageError::Failed(Box::new(error)))
}

fn notification_of(row: &Row) -> Result<Notification, StorageError> {
    Ok(Notification {
        id: row.try_get(0)?,
        r#type: row.try_get(1)?,
        title: row.try_get(2)?,
        content: row.try_get(3)?,
        data: json_of(row.try_get(4)?)?,
        is_read: row.try_get(5)?,
        created_at: row.try_get(6)?,
    })
}
