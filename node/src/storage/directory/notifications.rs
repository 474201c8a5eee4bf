//! What users are told: a row for each user, merged in lists with the broadcasts, which have one row for all. Either is read
//! by its own mark or by the position of "read all"; a broadcast is seen by accounts that were made before it.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio_postgres::Row;

use super::{Directory, audit};
use crate::domain::audit::AuditRecord;
use crate::domain::ids::NotificationId;
use crate::domain::notification::{NewNotification, Notification};
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::pool::Transaction;

pub const STATEMENTS: &[&str] = &[
    INSERT_NOTIFICATIONS,
    LIST_NOTIFICATIONS,
    LIST_UNREAD,
    FIND_SHARED,
    READ_NOTIFICATION,
    READ_BROADCAST,
    READ_RECENT,
    MOVE_POSITION,
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
    let transaction = client.transaction().await?;
    let at = insert(&transaction, users, id, new).await?;
    if let Some(record) = audit {
        audit::write(&transaction, record).await?;
    }
    transaction.commit().await?;
    Ok(at)
}

/// The same beside a change of which users are told.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    users: &[UserId],
    id: NotificationId,
    new: &NewNotification,
) -> Result<Timestamp, StorageError> {
    let (kind, data) = (new.kind.as_str(), new.data.to_string());
    let row =
        transaction.query_one(INSERT_NOTIFICATIONS, &[&users, &id, &kind, &new.title, &new.content, &data]).await?;
    Ok(row.try_get(0)?)
}

const LIST_NOTIFICATIONS: &str = "\
with own as (
    select id, kind, title, content, data,
           is_read or created_at <= coalesce((select p.own_until from notification_position p where p.user_id = $1),
                                             '-infinity') as is_read,
           created_at
    from notification
    where user_id = $1 and (created_at, id) < ($2, $3::uuid)
    order by created_at desc, id desc limit $4
), told as (
    select b.id, b.kind, b.title, b.content, b.data,
           coalesce(s.is_read, false)
           or b.number <= coalesce((select p.broadcast_number from notification_position p where p.user_id = $1), 0)
               as is_read,
           b.created_at
    from broadcast b left join broadcast_state s on s.user_id = $1 and s.number = b.number
    where b.number > (select coalesce(max(a.broadcast_base), 0) from account a where a.id = $1)
      and (b.created_at, b.id) < ($2, $3::uuid) and not coalesce(s.is_deleted, false)
    order by b.number desc limit $4
)
select id, kind, title, content, data, is_read, created_at from own
union all
select id, kind, title, content, data, is_read, created_at from told
order by created_at desc, id desc limit $4";

const LIST_UNREAD: &str = "\
with own as (
    select id, kind, title, content, data, is_read, created_at
    from notification
    where user_id = $1 and (created_at, id) < ($2, $3::uuid) and not is_read
      and created_at > coalesce((select p.own_until from notification_position p where p.user_id = $1), '-infinity')
    order by created_at desc, id desc limit $4
), told as (
    select b.id, b.kind, b.title, b.content, b.data, false as is_read, b.created_at
    from broadcast b left join broadcast_state s on s.user_id = $1 and s.number = b.number
    where b.number > (select coalesce(max(a.broadcast_base), 0) from account a where a.id = $1)
      and b.number > coalesce((select p.broadcast_number from notification_position p where p.user_id = $1), 0)
      and (b.created_at, b.id) < ($2, $3::uuid) and not coalesce(s.is_deleted or s.is_read, false)
    order by b.number desc limit $4
)
select id, kind, title, content, data, is_read, created_at from own
union all
select id, kind, title, content, data, is_read, created_at from told
order by created_at desc, id desc limit $4";

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
    let sql = if is_unread_only { LIST_UNREAD } else { LIST_NOTIFICATIONS };
    let rows = client.query(sql, &[&user, &before.0, &before.1, &limit]).await?;
    rows.iter().map(notification_of).collect()
}

const FIND_SHARED: &str = "\
select id, kind, title, content, data, is_read, created_at, user_id from notification where user_id = any($1) and id = $2";

/// What these users were told under one id, and who of them still has it.
pub async fn find_shared(
    directory: &Directory,
    users: &[UserId],
    id: NotificationId,
) -> Result<Option<(Notification, Vec<UserId>)>, StorageError> {
    let rows = directory.client().await?.query(FIND_SHARED, &[&users, &id]).await?;
    let users = rows.iter().map(|row| row.try_get(7)).collect::<Result<_, _>>()?;
    Ok(rows.first().map(notification_of).transpose()?.map(|notification| (notification, users)))
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

/// Long before this time no transaction that has told a user something is still running: the pool bounds them.
const UNCOMMITTED_FOR: Duration = Duration::from_mins(1);

const READ_RECENT: &str = "\
update notification set is_read = true
where user_id = $1 and not is_read and created_at > clock_timestamp() - $2::float8 * interval '1 second'";

const MOVE_POSITION: &str = "\
insert into notification_position (user_id, broadcast_number, own_until)
select $1, coalesce(max(number), 0), clock_timestamp() - $2::float8 * interval '1 second' from broadcast
on conflict (user_id) do update
set broadcast_number = greatest(notification_position.broadcast_number, excluded.broadcast_number),
    own_until = greatest(notification_position.own_until, excluded.own_until)";

/// Marks all as read that there are now, however many they are: by a position. The numbers of broadcasts become visible in order. Times
/// of notifications do not, so the position stays a while behind, and what is newer is marked one by one.
pub async fn read_all(directory: &Directory, user: UserId) -> Result<(), StorageError> {
    let mut client = directory.client().await?;
    let back_s = UNCOMMITTED_FOR.as_secs_f64();
    let transaction = client.transaction().await?;
    transaction.execute(READ_RECENT, &[&user, &back_s]).await?;
    transaction.execute(MOVE_POSITION, &[&user, &back_s]).await?;
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
