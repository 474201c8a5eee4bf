//! Takes notifications to this node's sessions that another node could not bring here, since Redis was away.

use crate::app::App;
use crate::domain::UserId;
use crate::domain::ids::NotificationId;
use crate::error::Result;
use crate::protocol::server::{NotificationData, notification};
use crate::storage::directory::changes::{Change, Notified};
use crate::storage::directory::notifications::find_shared;

pub async fn tell_notified(app: &App, change: &Change) -> Result<()> {
    let notified = change.value.as_deref().and_then(|json| serde_json::from_str::<Notified>(json).ok());
    let (Some(notified), Ok(id)) = (notified, change.subject.parse()) else { return Ok(()) };
    if notified.node == app.config.node_id {
        return Ok(());
    }
    let users: Vec<UserId> = notified.users.into_iter().filter(|user| app.hub.has_user(*user)).collect();
    if users.is_empty() {
        return Ok(());
    }
    let Some((kept, users)) = find_shared(&app.directory, &users, NotificationId(id)).await? else { return Ok(()) };
    let frame = notification(&NotificationData {
        notification_id: kept.id,
        r#type: &kept.r#type,
        title: &kept.title,
        content: &kept.content,
        data: &kept.data,
        created_at: kept.created_at,
    });
    for session in users.iter().flat_map(|user| app.hub.of_user(*user)) {
        session.send(&frame);
    }
    Ok(())
}
