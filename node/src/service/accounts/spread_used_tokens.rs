//! Lets the directory learn which `ws_token`s Redis saw used, and the other way round, so that neither's absence lets a token in twice.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::memory::used_tokens::life_left;
use crate::storage::directory::used_tokens;

/// How often uses are written to the directory in one statement, and told to a Redis that was away.
const SPREAD_INTERVAL: Duration = Duration::from_millis(200);

/// Spreads what this node has seen until it stops.
pub fn start(app: &Arc<App>) {
    let app = Arc::clone(app);
    app.tasks.clone().spawn("spread_used_tokens", async move {
        let mut tick = tokio::time::interval(SPREAD_INTERVAL);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = app.tasks.stopping() => return write_uses(&app).await,
            }
            write_uses(&app).await;
            tell_redis(&app).await;
            app.used_tokens.forget(app.clock.now());
        }
    });
}

async fn write_uses(app: &App) {
    let uses = app.used_tokens.take_unwritten();
    if uses.is_empty() {
        return;
    }
    if let Err(error) = used_tokens::write_used(&app.directory, &uses).await {
        tracing::debug!(%error, "uses of tokens wait for the directory");
        app.used_tokens.put_back_unwritten(uses);
    }
}

async fn tell_redis(app: &App) {
    if !app.router.is_up() {
        return;
    }
    let now = app.clock.now();
    for (id, expires_at) in app.used_tokens.take_untold().into_iter().filter(|(_, expires_at)| *expires_at > now) {
        if app.router.use_once(id, life_left(expires_at, now)).await.is_err() {
            app.used_tokens.add_untold(id, expires_at);
        }
    }
}
