//! For those who wait for what others are told by a reply.

use tokio::sync::oneshot;

use crate::domain::Refusal;
use crate::error::Result;

/// A reply, and what it is called with; `unavailable` where it is dropped instead.
pub(super) fn await_reply<T: Send + 'static>()
-> (impl FnOnce(Result<T, Refusal>) + Send + 'static, impl Future<Output = Result<T>> + Send) {
    let (sender, receiver) = oneshot::channel();
    let reply = move |result| {
        let _ = sender.send(result);
    };
    (reply, async move { Ok(receiver.await.unwrap_or(Err(Refusal::Unavailable))?) })
}
