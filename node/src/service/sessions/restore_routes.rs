//! Compares this node's sessions with their routes in Redis and puts back what is missing.

use super::disconnect::remove_route;
use crate::app::App;
use crate::domain::{SessionId, UserId};
use crate::hub::SessionHandle;
use crate::protocol::codes::CloseCode;
use crate::service::delivery::signal::close_elsewhere;

/// Sessions compared in one call; the next part follows when it is answered.
const SESSIONS_AT_ONCE: usize = 1_000;

/// Puts missing routes back. Answers the sessions that had none. Those that lost theirs to the limit meanwhile are closed.
pub async fn restore_routes(app: &App) -> Vec<(UserId, SessionId)> {
    let limit = usize::try_from(app.settings.load().max_connections_per_user).unwrap_or(usize::MAX);
    let mut put_back = Vec::new();
    let sessions = app.hub.all();
    for part in sessions.chunks(SESSIONS_AT_ONCE) {
        let keys: Vec<_> = part
            .iter()
            .filter(|session| !session.is_closed())
            .map(|session| (session.user.0, session.id, session.connected_at.as_millis()))
            .collect();
        let Ok(restored) = app.router.restore(&keys, limit).await else {
            // Redis is away again: its return is told by another event.
            return put_back;
        };
        for (user, session) in restored.put_back {
            if app.hub.get(session).is_some() {
                put_back.push((UserId(user), session));
            } else {
                // It left while it was compared: its route would stay for ever.
                remove_route(app, UserId(user), session).await;
            }
        }
        for (user, route) in restored.evicted {
            close_evicted(app, UserId(user), &route).await;
        }
    }
    put_back
}

/// A session that lost its route to a newer one is closed, wherever it is.
pub async fn close_evicted(app: &App, user: UserId, route: &herald_router::Route) {
    match app.hub.get(route.session) {
        Some(session) => SessionHandle::close(&session, CloseCode::Replaced),
        None => close_elsewhere(app, user, route.boot, route.session, CloseCode::Replaced).await,
    }
}
