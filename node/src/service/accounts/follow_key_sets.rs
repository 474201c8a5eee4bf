//! Reads the keys of other issuers when the node starts and from time to time, so that those they have withdrawn stop counting.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::auth::issuers::Issuer;

/// Keys that were withdrawn count no longer than this.
const INTERVAL: Duration = Duration::from_mins(5);
/// After a reading that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// Starts a task for each issuer whose keys can change.
pub fn start(app: &Arc<App>) {
    for issuer in app.issuers.iter().filter(|issuer| issuer.has_source()) {
        app.tasks.spawn("follow_key_set", follow(Arc::clone(app), Arc::clone(issuer)));
    }
}

async fn follow(app: Arc<App>, issuer: Arc<Issuer>) {
    loop {
        let pause = if issuer.load().await.is_ok() { INTERVAL } else { RETRY_INTERVAL };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.tasks.stopping() => return,
        }
    }
}
