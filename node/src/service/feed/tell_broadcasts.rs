//! Takes broadcasts to this node's sessions, each once and in their order: every node does so when the feed of changes says that
//! there is news, so none is lost with Redis, and a node that was paused tells what it missed.

use std::collections::HashSet;
use std::time::Duration;

use crate::app::App;
use crate::domain::UserId;
use crate::error::Result;
use crate::hub::{Hub, SessionHandle};
use crate::protocol::server::{NotificationData, notification};
use crate::storage::directory::broadcasts::{Broadcast, newest_number, read_after, read_seeing};

/// Broadcasts of one reading.
const AT_ONCE: i64 = 100;
/// Users of one statement.
const USERS_AT_ONCE: usize = 1_000;
/// Clocks of nodes and of the directory may differ by so much.
const CLOCK_MARGIN: Duration = Duration::from_mins(1);

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
            tell(app, broadcast).await?;
            app.told_broadcasts.set(broadcast.number);
        }
        if news.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Part by part of the hub, so that many sessions do not hold up what else this thread has to do.
async fn tell(app: &App, broadcast: &Broadcast) -> Result<()> {
    let frame = notification(&NotificationData {
        notification_id: broadcast.id,
        r#type: &broadcast.r#type,
        title: &broadcast.title,
        content: &broadcast.content,
        data: &broadcast.data,
        created_at: broadcast.created_at,
    });
    let recent_from = broadcast.created_at.minus(CLOCK_MARGIN);
    let is_recent = |session: &SessionHandle| session.connected_at >= recent_from;
    let seeing = seeing_of_recent(app, broadcast, is_recent).await?;
    for part in 0..Hub::parts() {
        // Who has come since those were looked for finds it in the list.
        for session in app.hub.some(part).iter().filter(|session| !is_recent(session) || seeing.contains(&session.user))
        {
            session.send(&frame);
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Whoever connected about when it was sent, or since, may have an account that was made after it, and does not have it in the list.
async fn seeing_of_recent(
    app: &App,
    broadcast: &Broadcast,
    is_recent: impl Fn(&SessionHandle) -> bool,
) -> Result<HashSet<UserId>> {
    let mut users = HashSet::new();
    for part in 0..Hub::parts() {
        users.extend(app.hub.some(part).iter().filter(|session| is_recent(session)).map(|session| session.user));
    }
    let users: Vec<UserId> = users.into_iter().collect();
    let mut seeing = HashSet::new();
    for users in users.chunks(USERS_AT_ONCE) {
        seeing.extend(read_seeing(&app.directory, users, broadcast.number).await?);
    }
    Ok(seeing)
}
