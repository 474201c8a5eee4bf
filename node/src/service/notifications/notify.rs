//! Tells users something beside messages: kept for their lists, and live to their sessions on all nodes.

use crate::app::App;
use crate::domain::audit::AuditRecord;
use crate::domain::ids::NotificationId;
pub use crate::domain::notification::{NewNotification, NotificationKind};
use crate::domain::{Timestamp, UserId};
use crate::error::Result;
use crate::protocol::server::{NotificationData, notification};
use crate::service::delivery::signal::signal_users;
use crate::service::feed::follow_changes::hasten;
use crate::storage::directory::changes;
use crate::storage::directory::notifications::insert_notifications;

/// Users of one statement and one round of routes.
pub const USERS_AT_ONCE: usize = 1_000;

/// Keeps it for each of these users, then shows it to those who are online. It is kept when this answers well, whatever becomes of
/// the frames.
pub async fn notify(app: &App, users: &[UserId], new: NewNotification) -> Result<()> {
    notify_once(app, NotificationId::random(), users, &new).await
}

/// The same under an id that the caller knows again: who has it already has it once, however often this is done.
pub async fn notify_once(app: &App, id: NotificationId, users: &[UserId], new: &NewNotification) -> Result<()> {
    for users in users.chunks(USERS_AT_ONCE) {
        keep_and_show(app, id, users, new, None).await?;
    }
    Ok(())
}

/// One statement's worth, with what the audit log is to say of it; answers when.
pub async fn keep_and_show(
    app: &App,
    id: NotificationId,
    users: &[UserId],
    new: &NewNotification,
    audit: Option<AuditRecord<'_>>,
) -> Result<Timestamp> {
    let created_at = insert_notifications(&app.directory, users, id, new, audit).await?;
    show(app, id, users, new, created_at).await;
    Ok(created_at)
}

/// Shows what is kept to those who are online, on all nodes: by the feed of changes while Redis is away. What is lost with a node or with
/// Redis is in the lists.
pub async fn show(app: &App, id: NotificationId, users: &[UserId], new: &NewNotification, created_at: Timestamp) {
    let frame = notification(&NotificationData {
        notification_id: id,
        r#type: new.kind.as_str(),
        title: &new.title,
        content: &new.content,
        data: &new.data,
        created_at,
    });
    if signal_users(app, users, &frame, None).await {
        return;
    }
    match changes::tell_notified(&app.directory, id, &app.config.node_id, users).await {
        Ok(()) => hasten(app),
        Err(error) => {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(error = cause, "users on other nodes are not shown what is in their lists");
        }
    }
}
