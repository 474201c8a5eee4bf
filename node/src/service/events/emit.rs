//! Tells of what is not kept anywhere, such as presence: at once, and lost while Redis is away.

use serde_json::Value;
use uuid::Uuid;

use super::publish::{envelope, publish};
use crate::app::App;
use crate::domain::topic::Topic;

/// Costs nothing where nobody subscribes.
pub async fn emit_unkept(app: &App, topic: Topic, data: impl FnOnce() -> Value + Send) {
    let topic = topic.to_string();
    if !app.subscriptions.wants(&topic) {
        return;
    }
    let envelope = envelope(Uuid::now_v7(), app.clock.now(), &data());
    // Best effort: nobody was promised it.
    let _ = publish(app, &[(topic, envelope)]).await;
}
