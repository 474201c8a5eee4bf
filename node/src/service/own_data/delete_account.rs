//! Deletes an account: a tombstone is left, whose username nobody else gets. From the answer on it is nobody's login, and its sessions
//! are closed; its groups and friendships are ended right after, over all shards, and by the sweep where a node dies meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::finish_deletion::finish_deletion;
use crate::app::App;
use crate::domain::UserId;
use crate::error::Result;
use crate::service::feed::follow_changes::announce_deleted_user;
use crate::storage::directory::deletions::bury_account;

/// How long the caller waits for the groups; with very many of them it goes on afterwards.
const PATIENCE: Duration = Duration::from_secs(5);

/// Deleting again changes nothing.
pub async fn delete_account(app: &Arc<App>, user: UserId) -> Result<()> {
    let Some(deletion) = bury_account(&app.directory, user).await? else {
        return Ok(());
    };
    announce_deleted_user(app, user);
    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    let then = Arc::clone(app);
    app.tasks.spawn("delete_account", async move {
        if let Err(error) = finish_deletion(&then, &deletion).await {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(error = cause, "a deleted account waits for the sweep");
        }
        let _ = done.send(());
    });
    let _ = tokio::time::timeout(PATIENCE, is_done).await;
    Ok(())
}
