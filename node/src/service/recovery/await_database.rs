//! Sessions that were told less than everything because a database did not answer get `resync` when it does again.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::memory::away::Lost;
use crate::protocol::server::{ResyncReason, resync};
use crate::storage::shard::read_snapshot::read_snapshot;

/// Pause between two looks, only while somebody waits.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A task for the life of the node.
pub async fn tell_when_back(app: Arc<App>) {
    loop {
        tokio::select! {
            () = app.away.has_waiting.notified() => {}
            () = app.tasks.stopping() => return,
        }
        while !app.away.waited_for().is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = app.tasks.stopping() => return,
            }
            for lost in app.away.waited_for() {
                if is_back(&app, lost).await {
                    tell(&app, lost);
                }
            }
        }
    }
}

async fn is_back(app: &App, lost: Lost) -> bool {
    match lost {
        Lost::Directory => app.directory.database().check().await.is_ok(),
        Lost::Shard(id) => match app.shards.get(id) {
            Some(shard) => read_snapshot(shard).await.is_ok(),
            None => true,
        },
    }
}

fn tell(app: &App, lost: Lost) {
    for session in app.away.take_waiting(lost) {
        if let Some(session) = app.hub.get(session) {
            session.send(&resync(ResyncReason::ShardLost, None));
        }
    }
}
