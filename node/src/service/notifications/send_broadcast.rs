//! Tells everyone something: one row in the directory, from where every node takes it to its own sessions.

use serde_json::json;

use crate::app::App;
use crate::domain::audit::{AuditRecord, Author};
use crate::domain::ids::NotificationId;
use crate::domain::notification::NewNotification;
use crate::domain::topic::Topic;
use crate::error::Result;
use crate::service::feed::follow_changes::hasten;
pub use crate::storage::directory::broadcasts::Broadcast;
use crate::storage::directory::broadcasts::insert_broadcast;

pub async fn send_broadcast(app: &App, author: &Author, new: &NewNotification) -> Result<Broadcast> {
    let id = NotificationId::random();
    let target = id.to_string();
    let after = json!({"type": new.kind, "title": new.title, "content": new.content, "data": new.data});
    let record =
        AuditRecord { author, action: "broadcast.send", target: Some(&target), before: None, after: Some(&after) };
    let topic = Topic::Broadcast.to_string();
    let topic = app.subscriptions.wants(&topic).then_some(topic);
    let broadcast = insert_broadcast(&app.directory, id, new, record, topic.as_deref()).await?;
    hasten(app);
    Ok(broadcast)
}
