//! Tells of what is not kept anywhere, such as presence: at once, and lost while Redis is away.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::domain::topic::Topic;

/// Costs nothing where nobody subscribes.
pub async fn emit_unkept(app: &App, topic: Topic, data: impl FnOnce() -> Value + Send) {
    let topic = topic.to_string();
    if !app.subscriptions.wants(&topic) {
        return;
    }
    let envelope = json!({"id": Uuid::now_v7(), "created_at": app.clock.now(), "data": data()});
    // Best effort: nobody was promised it.
    let _ = app.router.append_topics(&[(topic, envelope.to_string())]).await;
}
