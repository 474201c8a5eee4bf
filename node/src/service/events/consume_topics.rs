//! Does what subscriptions wish about what happens. Each event comes to one node, and again, perhaps to another, as long as nobody has
//! said that it is done; what cannot be done is put aside after some tries.

use std::sync::Arc;
use std::time::Duration;

use herald_router::TopicEntry;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::domain::Timestamp;
use crate::domain::ids::NotificationId;
use crate::domain::topic::{Consumer, OWN_STREAM, Wish};
use crate::error::{Error, Result};
use crate::service::feed::load_subscriptions::load_subscriptions;
use crate::service::notifications::notify::{NewNotification, NotificationKind, notify_once};
use crate::storage::directory::topics::{self, AuditedEvent};

const INTERVAL: Duration = Duration::from_millis(300);
/// Few enough to be done one by one before another consumer claims them.
const EVENTS_AT_ONCE: usize = 20;
/// What a consumer has not finished in this time another one tries, or the same one again.
const IDLE: Duration = Duration::from_secs(3);
/// After so many tries an event is a dead letter.
const TRIES_MAX: u64 = 5;
/// Longest text of an alert, in code points.
const CONTENT_MAX: usize = 500;

/// As `publish` packs it.
#[derive(Deserialize)]
struct Envelope {
    id: Uuid,
    created_at: Timestamp,
    data: Value,
}

/// Something to be done.
struct Work {
    entry: TopicEntry,
    envelope: Envelope,
    wish: Wish,
}

/// One task for each consumer.
pub fn start(app: &Arc<App>) {
    for consumer in Consumer::ALL {
        let app = Arc::clone(app);
        app.tasks.clone().spawn("consume_topics", async move {
            let mut pause = INTERVAL;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = app.tasks.stopping() => return,
                }
                pause = INTERVAL;
                if !app.subscriptions.has(consumer) || !app.router.is_up() {
                    continue;
                }
                match consume(&app, consumer).await {
                    Ok(true) => pause = Duration::ZERO,
                    Ok(false) => {}
                    Err(error) => {
                        let cause: &dyn std::error::Error = &error;
                        tracing::debug!(error = cause, "events wait for their consumer");
                    }
                }
            }
        });
    }
}

/// Whether there may be more.
async fn consume(app: &App, consumer: Consumer) -> Result<bool> {
    let group = consumer.as_str();
    let mut given = app.router.claim_topics(OWN_STREAM, group, IDLE, EVENTS_AT_ONCE).await?;
    let fresh = app.router.read_topics(OWN_STREAM, group, EVENTS_AT_ONCE).await?;
    let may_be_more = fresh.len() == EVENTS_AT_ONCE;
    given.extend(fresh);
    if given.is_empty() {
        return Ok(false);
    }
    // Another node may have heard of a subscription before this one: what nobody wishes is not given again.
    load_subscriptions(app).await?;
    let mut done = Vec::new();
    let mut failed = Vec::new();
    let mut works = Vec::new();
    for entry in given {
        match serde_json::from_str::<Envelope>(&entry.payload) {
            Ok(envelope) => match app.subscriptions.find(consumer, &entry.topic, &envelope.data, envelope.created_at) {
                Some(wish) => works.push(Work { entry, envelope, wish }),
                None => done.push(entry.place),
            },
            Err(error) => failed.push((entry, Error::internal(error))),
        }
    }
    let ids: Vec<Uuid> = works.iter().map(|work| work.envelope.id).collect();
    let handled = topics::read_handled(&app.directory, consumer, &ids).await?;
    let (known, works): (Vec<_>, Vec<_>) = works.into_iter().partition(|work| handled.contains(&work.envelope.id));
    done.extend(known.into_iter().map(|work| work.entry.place));
    let (finished, unfinished) = handle(app, consumer, works).await;
    let ids: Vec<Uuid> = finished.iter().map(|work| work.envelope.id).collect();
    topics::mark_handled(&app.directory, consumer, &ids).await?;
    metrics::counter!("herald_topics_handled_total", "consumer" => group)
        .increment(u64::try_from(finished.len()).unwrap_or(0));
    done.extend(finished.into_iter().map(|work| work.entry.place));
    app.router.acknowledge_topics(OWN_STREAM, group, &done).await?;
    failed.extend(unfinished.into_iter().map(|(work, error)| (work.entry, error)));
    bury_hopeless(app, consumer, failed).await?;
    Ok(may_be_more)
}

/// What was done, and what was not.
async fn handle(app: &App, consumer: Consumer, works: Vec<Work>) -> (Vec<Work>, Vec<(Work, Error)>) {
    if consumer == Consumer::Audit && audit(app, &works).await.is_ok() {
        return (works, Vec::new());
    }
    // One by one, so that one that cannot be done does not hold up the others.
    let mut finished = Vec::new();
    let mut unfinished = Vec::new();
    for work in works {
        let outcome = match consumer {
            Consumer::Alert => alert(app, &work).await,
            Consumer::Audit => audit(app, std::slice::from_ref(&work)).await,
        };
        match outcome {
            Ok(()) => finished.push(work),
            Err(error) => unfinished.push((work, error)),
        }
    }
    (finished, unfinished)
}

/// Every administrator is told, once for each event.
async fn alert(app: &App, work: &Work) -> Result<()> {
    let administrators = topics::read_administrators(&app.directory).await?;
    let (topic, envelope) = (&work.entry.topic, &work.envelope);
    let level = envelope.data.get("level").and_then(Value::as_str);
    let new = NewNotification {
        kind: NotificationKind::System,
        title: level.map_or_else(|| topic.clone(), |level| format!("{topic}: {level}")),
        content: envelope.data.to_string().chars().take(CONTENT_MAX).collect(),
        data: json!({"topic": topic, "event_id": envelope.id}),
    };
    // Another one than that of a broadcast, which is the event's.
    let id = NotificationId(Uuid::new_v5(&envelope.id, b"alert"));
    notify_once(app, id, &administrators, &new).await
}

async fn audit(app: &App, works: &[Work]) -> Result<()> {
    let audited = |work: &Work| AuditedEvent {
        id: work.envelope.id,
        wished_by: work.wish.created_by,
        topic: work.entry.topic.clone(),
        payload: work.envelope.data.to_string(),
    };
    Ok(topics::insert_audit(&app.directory, works.iter().map(audited).collect()).await?)
}

/// Puts events aside that were tried too often; the others are tried again.
async fn bury_hopeless(app: &App, consumer: Consumer, failed: Vec<(TopicEntry, Error)>) -> Result<()> {
    let group = consumer.as_str();
    for (entry, error) in failed {
        if error.is_passing() || app.router.tries_of(OWN_STREAM, group, &entry.place).await? < TRIES_MAX {
            continue;
        }
        let id = serde_json::from_str::<Envelope>(&entry.payload)
            .map_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, entry.place.as_bytes()), |envelope| envelope.id);
        tracing::error!(consumer = group, topic = entry.topic, event = %id, %error, "an event is a dead letter");
        topics::insert_dead(&app.directory, consumer, id, &entry.topic, &entry.payload, &error.to_string()).await?;
        app.router.acknowledge_topics(OWN_STREAM, group, &[entry.place]).await?;
    }
    Ok(())
}
