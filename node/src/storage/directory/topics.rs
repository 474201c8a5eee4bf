//! Who subscribes to which topics, what consumers have done, and what they could not do.

use std::collections::HashSet;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{Directory, audit};
use crate::domain::audit::AuditRecord;
use crate::domain::topic::{Consumer, Pattern, Subscription, Wish};
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    READ_SUBSCRIPTIONS,
    INSERT_SUBSCRIPTION,
    DELETE_SUBSCRIPTION,
    READ_HANDLED,
    MARK_HANDLED,
    FORGET_HANDLED,
    INSERT_DEAD,
    FORGET_DEAD,
    READ_DEAD,
    READ_ADMINISTRATORS,
    INSERT_AUDIT,
];

const READ_SUBSCRIPTIONS: &str = "\
select id, consumer, pattern, level, created_by, created_at from subscription order by id";

/// All of them; one that this version cannot read is left out.
pub async fn read_subscriptions(directory: &Directory) -> Result<Vec<Wish>, StorageError> {
    let rows = directory.client().await?.query(READ_SUBSCRIPTIONS, &[]).await?;
    rows.iter().filter_map(|row| wish_of(row).transpose()).collect()
}

fn wish_of(row: &Row) -> Result<Option<Wish>, StorageError> {
    let (consumer, pattern): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let (Some(consumer), Ok(pattern)) = (Consumer::parse(&consumer), Pattern::parse(&pattern)) else {
        return Ok(None);
    };
    let subscription = Subscription { id: row.try_get(0)?, consumer, pattern, level: row.try_get(3)? };
    Ok(Some(Wish { subscription, created_by: row.try_get(4)?, created_at: row.try_get(5)? }))
}

const INSERT_SUBSCRIPTION: &str = "\
with made as (
    insert into subscription (id, consumer, pattern, level, created_by)
    select $1, $2, $3, $4, $5 where (select count(*) from subscription) < $6 returning id, created_at
), told as (
    insert into change (kind, subject) select 'subscription', id::text from made
)
select created_at from made";

/// `None`: there are too many.
pub async fn insert_subscription(
    directory: &Directory,
    new: &Subscription,
    most: i64,
    audit: AuditRecord<'_>,
) -> Result<Option<Timestamp>, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let (consumer, pattern) = (new.consumer.as_str(), new.pattern.as_str());
    let author = audit.author.id;
    let row =
        transaction.query_opt(INSERT_SUBSCRIPTION, &[&new.id, &consumer, &pattern, &new.level, &author, &most]).await?;
    let Some(row) = row else { return Ok(None) };
    audit::write(&transaction, audit).await?;
    transaction.commit().await?;
    Ok(Some(row.try_get(0)?))
}

const DELETE_SUBSCRIPTION: &str = "\
with gone as (delete from subscription where id = $1 returning id)
insert into change (kind, subject) select 'subscription', id::text from gone";

/// False: there is none.
pub async fn delete_subscription(
    directory: &Directory,
    id: Uuid,
    audit: AuditRecord<'_>,
) -> Result<bool, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    if transaction.execute(DELETE_SUBSCRIPTION, &[&id]).await? == 0 {
        return Ok(false);
    }
    audit::write(&transaction, audit).await?;
    transaction.commit().await?;
    Ok(true)
}

const READ_HANDLED: &str = "select event_id from topic_handled where consumer = $1 and event_id = any($2)";

/// With which of these events a consumer is done: they may come again.
pub async fn read_handled(
    directory: &Directory,
    consumer: Consumer,
    events: &[Uuid],
) -> Result<HashSet<Uuid>, StorageError> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = directory.client().await?.query(READ_HANDLED, &[&consumer.as_str(), &events]).await?;
    rows.iter().map(|row| row.try_get(0).map_err(StorageError::from)).collect()
}

const MARK_HANDLED: &str = "\
insert into topic_handled (consumer, event_id) select distinct $1::text, id from unnest($2::uuid[]) as done (id)
on conflict (consumer, event_id) do nothing";

pub async fn mark_handled(directory: &Directory, consumer: Consumer, events: &[Uuid]) -> Result<(), StorageError> {
    if !events.is_empty() {
        directory.client().await?.execute(MARK_HANDLED, &[&consumer.as_str(), &events]).await?;
    }
    Ok(())
}

const FORGET_HANDLED: &str = "\
delete from topic_handled where (consumer, event_id) in (
    select consumer, event_id from topic_handled where handled_at < clock_timestamp() - interval '3 hours' limit $1
)";

/// Some of events that no outbox has any more; answers how many.
pub async fn forget_handled(directory: &Directory, limit: i64) -> Result<u64, StorageError> {
    directory.client().await?.execute(FORGET_HANDLED, &[&limit]).await
}

/// What a consumer could not do.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub consumer: String,
    pub event_id: Uuid,
    pub topic: String,
    pub payload: String,
    pub error: String,
    pub created_at: Timestamp,
}

/// Where a dead letter stands in the list: two consumers may give the same event up at one moment.
pub type Place = (i64, Uuid, String);

impl DeadLetter {
    /// In microseconds: what is shown has milliseconds only.
    pub fn place(&self) -> Place {
        (self.created_at.0, self.event_id, self.consumer.clone())
    }
}

const INSERT_DEAD: &str = "\
insert into dead_letter (consumer, event_id, topic, payload, error) values ($1, $2, $3, $4, $5)
on conflict (consumer, event_id) do nothing";

pub async fn insert_dead(
    directory: &Directory,
    consumer: Consumer,
    event: Uuid,
    topic: &str,
    payload: &str,
    error: &str,
) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(INSERT_DEAD, &[&consumer.as_str(), &event, &topic, &payload, &error]).await?;
    Ok(())
}

const FORGET_DEAD: &str = "\
delete from dead_letter where (consumer, event_id) in (
    select consumer, event_id from dead_letter where created_at < clock_timestamp() - interval '30 days'
    order by created_at limit $1
)";

/// Some of those that nobody has looked at for long; answers how many.
pub async fn forget_dead(directory: &Directory, limit: i64) -> Result<u64, StorageError> {
    directory.client().await?.execute(FORGET_DEAD, &[&limit]).await
}

const READ_DEAD: &str = "\
select consumer, event_id, topic, payload, error, created_at from dead_letter
where (created_at, event_id, consumer) < ($1, $2, $3)
order by created_at desc, event_id desc, consumer desc limit $4";

/// Newest first, before `before`.
pub async fn read_dead(
    directory: &Directory,
    before: Option<Place>,
    limit: i64,
) -> Result<Vec<DeadLetter>, StorageError> {
    // Later than any is.
    let (at, event, consumer) = before.unwrap_or((i64::MAX / 4, Uuid::max(), String::new()));
    let rows = directory.client().await?.query(READ_DEAD, &[&Timestamp(at), &event, &consumer, &limit]).await?;
    let letter_of = |row: &Row| {
        Ok(DeadLetter {
            consumer: row.try_get(0)?,
            event_id: row.try_get(1)?,
            topic: row.try_get(2)?,
            payload: row.try_get(3)?,
            error: row.try_get(4)?,
            created_at: row.try_get(5)?,
        })
    };
    rows.iter().map(letter_of).collect()
}

const READ_ADMINISTRATORS: &str = "\
select id from account where 'admin' = any(roles) and disabled_at is null and deleted_at is null order by id limit 1000";

/// Whom an alert reaches.
pub async fn read_administrators(directory: &Directory) -> Result<Vec<UserId>, StorageError> {
    let rows = directory.client().await?.query(READ_ADMINISTRATORS, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

const INSERT_AUDIT: &str = "\
insert into audit (id, admin_id, action, target, after)
select id, wished_by, 'event', topic, payload
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) as event (id, wished_by, topic, payload)
on conflict (id) do nothing";

/// An event for the audit log.
#[derive(Clone, Debug)]
pub struct AuditedEvent {
    pub id: Uuid,
    /// The administrator in whose name it is kept.
    pub wished_by: UserId,
    pub topic: String,
    /// JSON.
    pub payload: String,
}

/// Keeps events in the audit log, each once.
pub async fn insert_audit(directory: &Directory, events: Vec<AuditedEvent>) -> Result<(), StorageError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut columns: (Vec<Uuid>, Vec<UserId>, Vec<String>, Vec<String>) = Default::default();
    for event in events {
        columns.0.push(event.id);
        columns.1.push(event.wished_by);
        columns.2.push(event.topic);
        columns.3.push(event.payload);
    }
    let client = directory.client().await?;
    client.execute(INSERT_AUDIT, &[&columns.0, &columns.1, &columns.2, &columns.3]).await?;
    Ok(())
}
