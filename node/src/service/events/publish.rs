//! Events on their way to those who subscribe: to the stream of this cluster's own consumers, and to those of programs outside.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::domain::Timestamp;
use crate::domain::topic::{Consumer, OWN_STREAM};
use crate::error::Result;

/// Entries of the own stream, a bound for the case that nobody reads it: what is kept in an outbox waits there long before.
const OWN_ENTRIES_MAX: u64 = 100_000;
/// Entries that own consumers have not done, and bytes of them; what comes after waits in the outboxes.
const OWN_WAITING_MAX: u64 = 50_000;
const OWN_BYTES_MAX: u64 = 64 << 20;
/// Entries that are done stay until there are so many.
const OWN_DONE_MAX: u64 = 1_000;

/// As all who read it find an event.
pub fn envelope(id: Uuid, created_at: Timestamp, data: &Value) -> String {
    json!({"id": id, "created_at": created_at, "data": data}).to_string()
}

/// Appends events, topic and envelope, to all streams whose readers want them, in this order.
pub async fn publish(app: &App, events: &[(String, String)]) -> Result<()> {
    let wished: Vec<_> = events.iter().filter(|(topic, _)| app.subscriptions.is_wished(topic)).cloned().collect();
    app.router.append_topics(OWN_STREAM, OWN_ENTRIES_MAX, &wished).await?;
    for outside in app.subscriptions.outside() {
        let wanted: Vec<_> = events.iter().filter(|(topic, _)| outside.wants(topic)).cloned().collect();
        app.router.append_topics(&outside.name, outside.entries_max, &wanted).await?;
    }
    Ok(())
}

/// Whether own consumers keep up; what they have done is removed from their stream.
pub async fn has_room(app: &App) -> Result<bool> {
    let state = app.router.measure_topics(OWN_STREAM).await?;
    let consumers: Vec<Consumer> =
        Consumer::ALL.into_iter().filter(|consumer| app.subscriptions.has(*consumer)).collect();
    let group_of = |consumer: &Consumer| state.groups.iter().find(|group| group.name == consumer.as_str());
    let groups: Vec<_> = consumers.iter().filter_map(group_of).collect();
    let has_all = groups.len() == consumers.len();
    if has_all && state.entries > OWN_DONE_MAX {
        app.router.forget_done_topics(OWN_STREAM, &groups).await?;
    }
    let waiting = groups.iter().map(|group| group.waiting()).max().unwrap_or(0);
    let waiting = if has_all { waiting } else { state.entries };
    // Bytes of what is done count until it is removed, which is at once.
    let is_heavy = state.bytes > OWN_BYTES_MAX && waiting > OWN_DONE_MAX;
    Ok(consumers.is_empty() || (waiting < OWN_WAITING_MAX && !is_heavy))
}
