//! What a session gets first: `success`, then what its user missed, then what was held back meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::auth::Caller;
use crate::domain::Refusal;
use crate::domain::sync::SyncRequest;
use crate::hub::SessionHandle;
use crate::protocol::frame::Frame;
use crate::protocol::server::{self, AuthData};
use crate::service::sync::Given;
use crate::service::sync::answer_sync::sync;
use crate::service::sync::deliver_offline::deliver_offline;

/// Seconds between a client's pings.
const HEARTBEAT_S: u32 = 30;
/// A session keeps its place among those in their first queries for so long at most: what comes later waits for the client's socket.
const ADMISSION_TIME: Duration = Duration::from_secs(3);

/// What came with the token.
pub struct First {
    pub frame_id: Option<String>,
    pub sync: Option<Result<SyncRequest, Refusal>>,
    pub permit: OwnedSemaphorePermit,
}

/// Queues `success`, and begins what follows it. The session is on hold until that is done.
pub fn welcome(app: &Arc<App>, caller: &Caller, session: &Arc<SessionHandle>, first: First) {
    let First { frame_id, sync, permit } = first;
    session.send_first(&success(app, caller, session, frame_id.as_deref()));
    let (app, session) = (Arc::clone(app), Arc::clone(session));
    app.tasks.clone().spawn("welcome", async move {
        let mut catching_up = pin!(catch_up(&app, &session, sync, frame_id));
        let soon = tokio::time::timeout(ADMISSION_TIME, catching_up.as_mut()).await;
        drop(permit);
        let given = match soon {
            Ok(given) => given,
            Err(_) => catching_up.await,
        };
        session.release(&given);
    });
}

async fn catch_up(
    app: &Arc<App>,
    session: &Arc<SessionHandle>,
    request: Option<Result<SyncRequest, Refusal>>,
    frame_id: Option<String>,
) -> Given {
    let refusal = match request {
        None => return all_missed(app, session).await,
        Some(Err(refusal)) => refusal,
        Some(Ok(request)) => match sync_session(app, session, request, frame_id.as_deref()).await {
            Ok(given) => return given,
            Err(refusal) => refusal,
        },
    };
    session.send(&server::error(frame_id.as_deref(), None, &refusal));
    match refusal {
        Refusal::InvalidCursor | Refusal::InvalidRequest(_) => all_missed(app, session).await,
        _ => Given::new(),
    }
}

async fn all_missed(app: &Arc<App>, session: &Arc<SessionHandle>) -> Given {
    let given = deliver_offline(app, session).await;
    session.set_whole();
    given
}

/// Syncs; by a cursor nothing is left out, so the session is whole then.
pub async fn sync_session(
    app: &Arc<App>,
    session: &Arc<SessionHandle>,
    request: SyncRequest,
    frame_id: Option<&str>,
) -> Result<Given, Refusal> {
    let is_by_cursor = request.cursor.is_some() && request.conversations.is_none();
    let given = sync(app, session, request, frame_id).await?;
    if is_by_cursor {
        session.set_whole();
    }
    Ok(given)
}

/// The `auth`/`success` frame.
pub fn success(app: &App, caller: &Caller, session: &SessionHandle, frame_id: Option<&str>) -> Frame {
    let data = AuthData {
        user_id: caller.user,
        username: caller.username.as_deref(),
        display_name: &caller.display_name,
        session_id: session.id.0,
        node_id: app.router.node_id().as_str(),
        heartbeat_s: HEARTBEAT_S,
        expires_at: caller.expires_at,
    };
    server::auth_success(frame_id, data)
}
