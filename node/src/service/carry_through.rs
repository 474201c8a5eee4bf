//! Work that touches two databases goes on to its end even when the one who asked has gone away meanwhile.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::domain::Refusal;
use crate::error::{Error, Result};
use crate::storage::StorageError;

/// How long the second database is tried while the caller waits. A sweep finishes what is left then.
const TRIED_FOR: Duration = Duration::from_secs(8);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Runs `work` as a task of its own and waits for it.
pub async fn carry_through<T, F>(app: &Arc<App>, name: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    app.tasks.spawn(name, async move {
        let _ = sender.send(work.await);
    });
    receiver.await.unwrap_or_else(|_| Err(Error::Refused(Refusal::Unavailable)))
}

/// Repeats a write that may be repeated until it is done, or the time is up.
pub async fn retry<T, F>(mut write: impl FnMut() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    let deadline = Instant::now() + TRIED_FOR;
    let mut pause = FIRST_PAUSE;
    loop {
        match write().await {
            Err(StorageError::Unavailable(_) | StorageError::Overloaded(_)) if Instant::now() + pause < deadline => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            result => return result,
        }
    }
}

/// Whether a refusal says for certain that nothing was written.
pub const fn is_certain(refusal: &Refusal) -> bool {
    !matches!(refusal, Refusal::Unavailable | Refusal::Overloaded { .. } | Refusal::Internal)
}
