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
use crate::domain::topic::{Consumer, Wish};
use crate::error::{Error, Result};
use crate::service::notifications::notify::{NewNotification, NotificationKind, notify};
use crate::storage::directory::topics;

const INTERVAL: Duration = Duration::from_millis(300);
const EVENTS_AT_ONCE: usize = 100;
/// What a consumer has not finished in this time another one tries.
const IDLE: Duration = Duration::from_secs(10);
/// After so many tries an event is a dead letter.
const TRIES_MAX: u64 = 5;
/// Longest text of an alert, in code points.
const CONTENT_MAX: usize = 500;

/// As the relay packs it.
#[derive(Deserialize)]
struct Envelope {
    id: Uuid,
    created_at: Timestamp,
    data: Value,
}

/// One task for each consumer.
pub fn start(app: &Arc<App>) {
    for consumer in Consumer::ALL {
        let app = Arc::clone(app);
        app.tasks.clone().spawn("consume_topics", async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = app.tasks.stopping() => return,
                }
                if !app.subscriptions.has(consumer) || !app.router.is_up() {
                    continue;
                }
                if let Err(error) = consume(&app, consumer).await {
                    let cause: &dyn std::error::Error = &error;
                    tracing::debug!(error = cause, "events wait for their consumer");
                }
            }
        });
    }
}

async fn consume(app: &App, consumer: Consumer) -> Result<()> {
    let group = consumer.as_str();
    let late = app.router.claim_topics(group, IDLE, EVENTS_AT_ONCE).await?;
    let fresh = app.router.read_topics(group, EVENTS_AT_ONCE).await?;
    let mut done = Vec::new();
    for entry in late.into_iter().chain(fresh) {
        match handle(app, consumer, &entry).await {
            Ok(()) => done.push(entry.place),
            Err(error) => {
                if bury(app, consumer, &entry, &error).await? {
                    done.push(entry.place);
                }
            }
        }
    }
    Ok(app.router.acknowledge_topics(group, &done).await?)
}

async fn handle(app: &App, consumer: Consumer, entry: &TopicEntry) -> Result<()> {
    let envelope: Envelope = serde_json::from_str(&entry.payload).map_err(Error::internal)?;
    let found = app.subscriptions.find(consumer, &entry.topic, &envelope.data, envelope.created_at);
    let Some(wish) = found else { return Ok(()) };
    if topics::is_handled(&app.directory, consumer, envelope.id).await? {
        return Ok(());
    }
    match consumer {
        Consumer::Alert => alert(app, &entry.topic, &envelope).await?,
        Consumer::Audit => audit(app, &wish, &entry.topic, &envelope).await?,
    }
    metrics::counter!("herald_topics_handled_total", "consumer" => consumer.as_str()).increment(1);
    Ok(topics::mark_handled(&app.directory, consumer, envelope.id).await?)
}

/// Every administrator is told.
async fn alert(app: &App, topic: &str, envelope: &Envelope) -> Result<()> {
    let administrators = topics::read_administrators(&app.directory).await?;
    let level = envelope.data.get("level").and_then(Value::as_str);
    let new = NewNotification {
        kind: NotificationKind::System,
        title: level.map_or_else(|| topic.to_owned(), |level| format!("{topic}: {level}")),
        content: envelope.data.to_string().chars().take(CONTENT_MAX).collect(),
        data: json!({"topic": topic, "event_id": envelope.id}),
    };
    notify(app, &administrators, new).await
}

async fn audit(app: &App, wish: &Wish, topic: &str, envelope: &Envelope) -> Result<()> {
    let payload = envelope.data.to_string();
    Ok(topics::insert_audit(&app.directory, envelope.id, wish.created_by, topic, &payload).await?)
}

/// Puts an event aside that was tried too often. False: it is to be tried again.
async fn bury(app: &App, consumer: Consumer, entry: &TopicEntry, error: &Error) -> Result<bool> {
    let tries = app.router.tries_of(consumer.as_str(), &entry.place).await?;
    if error.is_passing() || tries < TRIES_MAX {
        return Ok(false);
    }
    let id = serde_json::from_str::<Envelope>(&entry.payload)
        .map_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, entry.place.as_bytes()), |envelope| envelope.id);
    tracing::error!(consumer = consumer.as_str(), topic = entry.topic, event = %id, %error, "an event is a dead letter");
    topics::insert_dead(&app.directory, consumer, id, &entry.topic, &entry.payload, &error.to_string()).await?;
    Ok(true)
}
