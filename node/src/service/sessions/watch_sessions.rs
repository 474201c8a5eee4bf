//! What is due for sessions from time to time, in one task for all: Pings, heartbeats, ends of tokens, slow sockets, received positions,
//! routes. It goes round the parts of the hub, so that no tick does all at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disconnect::remove_route;
use super::mark_received::{Moment, mark_received};
use super::restore_routes::restore_routes;
use crate::app::App;
use crate::domain::Timestamp;
use crate::hub::Hub;
use crate::hub::SessionHandle;
use crate::hub::handle::PING_QUIET;
use crate::memory::presence::Cause;
use crate::protocol::codes::CloseCode;
use crate::protocol::server::{self, ResyncReason};

/// Without any frame of the application for so long a client is gone, whatever its socket says.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(45);
/// A socket that takes nothing for so long, while something waits for it, is a slow consumer's.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Every session is looked at in this time.
const ROUND: Duration = Duration::from_secs(2);
/// Received positions are written, and routes compared, in this time.
const LONG_ROUND: Duration = Duration::from_secs(30);

/// Watches until the node stops.
pub fn start(app: &Arc<App>) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("watch sessions", async move {
        let app = task_app;
        let mut tick = tokio::time::interval(PING_QUIET);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut part = 0;
        let parts = Hub::parts().div_ceil(ticks_of(ROUND));
        loop {
            tokio::select! {
                () = app.tasks.stopping() => return,
                _ = tick.tick() => {}
            }
            for session in app.sessions.take_pings() {
                session.end_ping_wait();
            }
            let now = app.clock.now();
            for _ in 0..parts {
                app.hub.some(part).iter().for_each(|session| check(session, now));
                part = (part + 1) % Hub::parts();
            }
        }
    });
    let task_app = Arc::clone(app);
    app.tasks.spawn("keep positions", async move {
        let app = task_app;
        let mut tick = tokio::time::interval(LONG_ROUND / u32::try_from(Hub::parts()).unwrap_or(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut part = 0;
        loop {
            tokio::select! {
                () = app.tasks.stopping() => return,
                _ = tick.tick() => {}
            }
            write_received(&app, part).await;
            part = (part + 1) % Hub::parts();
        }
    });
    let task_app = Arc::clone(app);
    app.tasks.spawn("keep routes", async move {
        let app = task_app;
        let mut compared_at = Instant::now();
        loop {
            tokio::select! {
                () = app.tasks.stopping() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            if !app.router.is_up() {
                continue;
            }
            for (user, session) in app.sessions.take_unremoved() {
                remove_route(&app, user, session).await;
            }
            if app.sessions.take_unrouted() || compared_at.elapsed() >= LONG_ROUND {
                compared_at = Instant::now();
                compare_routes(&app).await;
            }
        }
    });
}

fn ticks_of(time: Duration) -> usize {
    usize::try_from(time.as_millis() / PING_QUIET.as_millis()).unwrap_or(1).max(1)
}

fn check(session: &SessionHandle, now: Timestamp) {
    if now >= session.expires_at() {
        session.close(CloseCode::TokenExpired);
    } else if now.since(session.heard_at()) > HEARTBEAT_TIMEOUT {
        session.close(CloseCode::HeartbeatMissed);
    } else if session.stalled_for() > STALL_TIMEOUT {
        session.close(CloseCode::SlowConsumer);
    }
}

async fn write_received(app: &App, part: usize) {
    for session in app.hub.some(part) {
        let _turn = session.writing_received.lock().await;
        let positions = session.take_received();
        if positions.is_empty() {
            continue;
        }
        let unwritten = mark_received(app, session.user, &positions, Moment::Periodic).await;
        if !unwritten.is_empty() {
            session.put_back_received(&unwritten);
        }
    }
}

/// A session whose route was missing may have missed entries.
async fn compare_routes(app: &App) {
    let put_back = restore_routes(app).await;
    if put_back.is_empty() {
        return;
    }
    tracing::info!(sessions = put_back.len(), "routes were missing and have been put back");
    let frame = server::resync(ResyncReason::BusLost, None);
    for (user, session) in put_back {
        app.presence.note(user, Cause::Came, Instant::now());
        if let Some(session) = app.hub.get(session) {
            session.send_resync(&frame, None);
        }
    }
}
