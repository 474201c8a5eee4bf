//! A session has left the hub: what it received is written down, and then its route is removed, in this order, so that whoever sees the
//! user gone also sees what was received.

use std::time::{Duration, Instant};

use super::mark_received::{Moment, mark_received};
use crate::app::App;
use crate::hub::SessionHandle;
use crate::memory::presence::Cause;

/// Positions are tried for so long; then they are lost, and some messages may come again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

pub async fn disconnect(app: &App, session: &SessionHandle) {
    let writing = async {
        // What was taken to be written shortly before is not written yet, or comes back.
        let _turn = session.writing_received.lock().await;
        let positions = session.take_received();
        positions.is_empty() || mark_received(app, session.user, &positions, Moment::Closing).await.is_empty()
    };
    if !tokio::time::timeout(WRITE_TIMEOUT, writing).await.unwrap_or(false) {
        tracing::debug!("positions could not be written");
    }
    remove_route(app, session.user, session.id).await;
}

/// Removes a route; kept for later while Redis is away.
pub async fn remove_route(app: &App, user: crate::domain::UserId, session: crate::domain::SessionId) {
    match app.router.unregister(user.0, session).await {
        Ok(left) if left.is_empty() => app.presence.note(user, Cause::Left, Instant::now()),
        Ok(_) => {}
        Err(_) => app.sessions.add_unremoved(user, session),
    }
}
