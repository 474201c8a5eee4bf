//! Reports: kept for some weeks, newest first.

use std::time::Duration;

use tokio_postgres::Row;

use super::Directory;
use super::notifications::json_of;
use crate::domain::event::{Event, EventLevel, NewEvent};
use crate::domain::ids::EventId;
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[INSERT_EVENT, LIST_EVENTS, LIST_EVENTS_OF_TYPE, COUNT_EVENTS, FORGET_EVENTS];

/// The outbox has a row where a topic is given.
const INSERT_EVENT: &str = "\
with made as (
    insert into event (id, user_id, type, level, payload) values ($1, $2, $3, $4, $5)
    returning id, user_id, type, level, payload, created_at
), told as (
    insert into outbox (id, topic, payload, created_at)
    select id, $6::text, json_build_object('event_id', id, 'user_id', user_id, 'type', type, 'level', level,
                                     'payload', payload::json)::text, created_at
    from made where $6::text is not null
)
select id, user_id, type, level, payload, created_at from made";

/// `topic`: where somebody subscribes to it.
pub async fn insert_event(
    directory: &Directory,
    user: UserId,
    new: &NewEvent,
    topic: Option<&str>,
) -> Result<Event, StorageError> {
    let client = directory.client().await?;
    let (id, level, payload) = (EventId::random(), new.level.as_str(), new.payload.to_string());
    event_of(&client.query_one(INSERT_EVENT, &[&id, &user, &new.r#type, &level, &payload, &topic]).await?)
}

/// Which reports are asked for; `None`: all.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub r#type: Option<String>,
    pub level: Option<EventLevel>,
    pub since: Option<Timestamp>,
}

const LIST_EVENTS: &str = "\
select id, user_id, type, level, payload, created_at from event
where (created_at, id) < ($1, $2::uuid) and created_at >= $3 and ($4::text is null or level = $4)
order by created_at desc, id desc limit $5";

const LIST_EVENTS_OF_TYPE: &str = "\
select id, user_id, type, level, payload, created_at from event
where type = $6 and (created_at, id) < ($1, $2::uuid) and created_at >= $3 and ($4::text is null or level = $4)
order by created_at desc, id desc limit $5";

/// Newest first, `before` the last one of the page before.
pub async fn list_events(
    directory: &Directory,
    filter: &EventFilter,
    before: (Timestamp, EventId),
    limit: usize,
) -> Result<Vec<Event>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let level = filter.level.map(EventLevel::as_str);
    let since = filter.since.unwrap_or_default();
    let rows = match &filter.r#type {
        None => client.query(LIST_EVENTS, &[&before.0, &before.1, &since, &level, &limit]).await?,
        Some(name) => client.query(LIST_EVENTS_OF_TYPE, &[&before.0, &before.1, &since, &level, &limit, name]).await?,
    };
    rows.iter().map(event_of).collect()
}

const COUNT_EVENTS: &str = "\
select level, count(*) from event where created_at >= clock_timestamp() - $1::float8 * interval '1 second' group by level";

/// How many of each level there were lately.
pub async fn count_events(directory: &Directory, back: Duration) -> Result<Vec<(String, i64)>, StorageError> {
    let client = directory.client().await?;
    let rows = client.query(COUNT_EVENTS, &[&back.as_secs_f64()]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

const FORGET_EVENTS: &str = "\
delete from event where id in (
    select id from event where created_at < clock_timestamp() - $1::float8 * interval '1 second' order by created_at limit $2
)";

/// Removes some of those that are older; answers how many.
pub async fn forget_events(directory: &Directory, older_than: Duration, limit: i64) -> Result<u64, StorageError> {
    let client = directory.client().await?;
    client.execute(FORGET_EVENTS, &[&older_than.as_secs_f64(), &limit]).await
}

fn event_of(row: &Row) -> Result<Event, StorageError> {
    Ok(Event {
        id: row.try_get(0)?,
        user_id: row.try_get(1)?,
        r#type: row.try_get(2)?,
        level: row.try_get(3)?,
        payload: json_of(row.try_get(4)?)?,
        created_at: row.try_get(5)?,
    })
}
