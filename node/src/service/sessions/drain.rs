//! The node leaves: its clients are told, spread over the drain time so that the others are not overrun, and closed when their answers
//! are out. Positions and routes follow with each session's end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng as _;

use crate::app::App;
use crate::hub::SessionHandle;
use crate::protocol::codes::CloseCode;
use crate::protocol::server;

/// Between `reconnect` and the close: what was sent before is answered meanwhile.
const ANSWER_TIME: Duration = Duration::from_millis(300);
/// Sessions are told in waves.
const WAVE: Duration = Duration::from_millis(100);
/// Clients wait up to so long, each another time, before they connect again.
const RECONNECT_MS_MAX: u64 = 1_000;
/// The last sockets have this long to end.
const END_TIMEOUT: Duration = Duration::from_secs(6);

/// Returns when all sessions have left.
pub async fn drain(app: &Arc<App>) {
    app.draining.store(true, Ordering::Release);
    let mut sessions = app.hub.all();
    let spread = Duration::from_secs(app.config.drain_s).saturating_sub(ANSWER_TIME + WAVE).mul_f64(0.7);
    let waves = usize::try_from(spread.as_millis() / WAVE.as_millis()).unwrap_or(0) + 1;
    let size = sessions.len().div_ceil(waves).max(1);
    while !sessions.is_empty() {
        let wave = sessions.split_off(sessions.len().saturating_sub(size));
        for session in &wave {
            tell(session);
        }
        app.tasks.spawn("drain", close_later(wave));
        tokio::time::sleep(WAVE).await;
    }
    // Those that entered while the first were told.
    let end = tokio::time::Instant::now() + END_TIMEOUT;
    tokio::time::sleep(ANSWER_TIME).await;
    while !app.hub.is_empty() && tokio::time::Instant::now() < end {
        for session in app.hub.all() {
            tell(&session);
            session.close(CloseCode::GoingAway);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn tell(session: &SessionHandle) {
    let after_ms = rand::rng().random_range(0..=RECONNECT_MS_MAX);
    session.send(&server::reconnect(after_ms, "node leaving"));
}

async fn close_later(sessions: Vec<Arc<SessionHandle>>) {
    tokio::time::sleep(ANSWER_TIME).await;
    for session in sessions {
        session.close(CloseCode::GoingAway);
    }
}
