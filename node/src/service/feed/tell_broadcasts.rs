//! Takes broadcasts to this node's sessions, each once and in their order: every node does so when the feed of changes says that
//! there is news, so none is lost with Redis, and a node that was paused tells what it missed.

use crate::app::App;
use crate::error::Result;
use crate::hub::Hub;
use crate::protocol::server::{NotificationData, notification};
use crate::storage::directory::broadcasts::{Broadcast, newest_number, read_after};

/// Broadcasts of one reading.
const AT_ONCE: i64 = 100;

/// For a node that reads the beginning of the feed: one that starts has nobody to tell; one that was paused has.
pub async fn begin_telling(app: &App) -> Result<()> {
    let newest = newest_number(&app.directory).await?;
    // A greater one is of a database that was restored.
    if app.told_broadcasts.get().is_none_or(|told| told > newest) {
        app.told_broadcasts.set(newest);
        return Ok(());
    }
    tell_broadcasts(app).await
}

/// Tells what has not been told yet.
pub async fn tell_broadcasts(app: &App) -> Result<()> {
    while let Some(told) = app.told_broadcasts.get() {
        let news = read_after(&app.directory, told, AT_ONCE).await?;
        for broadcast in &news {
            tell(app, broadcast).await;
            app.told_broadcasts.set(broadcast.number);
        }
        if news.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Part by part of the hub, so that many sessions do not hold up what else this thread has to do.
async fn tell(app: &App, broadcast: &Broadcast) {
    let frame = notification(&NotificationData {
        notification_id: broadcast.id,
        r#type: &broadcast.r#type,
        title: &broadcast.title,
        content: &broadcast.content,
        data: &broadcast.data,
        created_at: broadcast.created_at,
    });
    for part in 0..Hub::parts() {
        for session in app.hub.some(part) {
            session.send(&frame);
        }
        tokio::task::yield_now().await;
    }
}
