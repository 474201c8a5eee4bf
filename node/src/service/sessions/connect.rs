//! A session enters the cluster: this node's hub first, then its route, so that what is committed from then on comes to it.

use std::sync::Arc;
use std::time::Instant;

use super::restore_routes::close_evicted;
use crate::app::App;
use crate::hub::SessionHandle;
use crate::memory::presence::Cause;
use crate::protocol::codes::CloseCode;
use crate::service::accounts::authenticate::check_standing;

/// Enters a session whose live entries are held. Refused when its user was disabled or its login ended meanwhile. The oldest sessions
/// beyond the limit lose their routes before this answers, and are closed.
pub async fn connect(app: &Arc<App>, session: &Arc<SessionHandle>) -> Result<(), CloseCode> {
    app.hub.enter(Arc::clone(session));
    let (limit, per_second) = {
        let settings = app.settings.load();
        (usize::try_from(settings.max_connections_per_user).unwrap_or(usize::MAX), settings.max_messages_per_second)
    };
    let (user, connected_at) = (session.user, session.connected_at);
    match app.router.register(user.0, session.id, connected_at.as_millis(), limit).await {
        Ok(registered) => {
            let boot = app.router.boot();
            let is_alone = registered.others.iter().all(|route| route.boot == boot);
            app.rates.set_alone(user, is_alone, app.clock.now(), per_second);
            for route in registered.evicted {
                if route.session == session.id {
                    session.close(CloseCode::Replaced);
                } else {
                    // Its own node closes it: nothing to wait for.
                    let app = Arc::clone(app);
                    app.tasks.clone().spawn("close evicted", async move { close_evicted(&app, user, &route).await });
                }
            }
            if registered.is_first {
                app.presence.note(user, Cause::Came, Instant::now());
            }
        }
        Err(error) => {
            tracing::debug!(%error, "a session goes without a route until Redis is back");
            app.sessions.note_unrouted();
            close_oldest_here(app, session, limit);
        }
    }
    // What the feed of changes said before the session was in the hub closed no socket of it.
    check_standing(app, user, session.login()).map_err(|_| CloseCode::Unauthorized)
}

/// The limit by this node alone.
fn close_oldest_here(app: &App, session: &SessionHandle, limit: usize) {
    let mut sessions = app.hub.of_user(session.user);
    sessions.retain(|other| !other.is_closed());
    sessions.sort_by_key(|other| other.connected_at);
    let beyond = sessions.len().saturating_sub(limit);
    for oldest in sessions.iter().take(beyond) {
        oldest.close(CloseCode::Replaced);
    }
}
