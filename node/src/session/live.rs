//! The life of one socket: who is it, enter the cluster, read and write until it ends, leave.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;

use super::dispatch::{Client, dispatch};
use super::metrics::METRICS;
use super::reader::{Incoming, ReadEnd, Reader};
use super::welcome::{First, welcome};
use super::writer::{self, Rest};
use crate::app::App;
use crate::auth::Caller;
use crate::domain::Refusal;
use crate::domain::sync::SyncRequest;
use crate::hub::handle::{Close, Identity, SessionHandle, control};
use crate::protocol::client::{self, ClientFrame};
use crate::protocol::codes::CloseCode;
use crate::service::accounts::authenticate::{Accept, authenticate};
use crate::service::sessions::connect::connect;
use crate::service::sessions::disconnect::disconnect;

/// The first frame has this long to bring a token.
const AUTH_TIMEOUT: Duration = Duration::from_secs(5);
/// A session waits this long for its turn to ask its first queries.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How a client says who it is.
pub enum Credentials {
    Url(String),
    Header(String),
    FirstFrame,
    /// A page of another origin: whatever it says.
    ForeignOrigin,
}

/// An upgraded socket.
pub struct Opening {
    pub tcp: TcpStream,
    /// What the client sent right behind its request.
    pub leftover: Bytes,
    pub credentials: Credentials,
}

/// A token, and what came with it in an `auth` frame.
struct Said {
    token: String,
    accept: Accept,
    frame_id: Option<String>,
    sync: Option<Result<SyncRequest, Refusal>>,
}

/// Serves one socket from the upgrade to its end.
pub async fn run(app: Arc<App>, opening: Opening) {
    let Opening { tcp, leftover, credentials } = opening;
    let rest = {
        let mut reader = Reader::new(&tcp, leftover);
        // Boxed: what is needed for a moment only should not be room that an idle session takes.
        match Box::pin(open(&app, &tcp, &mut reader, credentials)).await {
            Ok(client) => live(&app, &tcp, reader, client).await,
            Err(close) => Rest::of(close),
        }
    };
    METRICS.count_close(match rest.close {
        Close::With(code) => Some(code),
        Close::Echo(_) | Close::Cut => None,
    });
    Box::pin(writer::finish(tcp, rest)).await;
}

/// From the token to the `success` frame, which is queued.
async fn open(
    app: &Arc<App>,
    tcp: &TcpStream,
    reader: &mut Reader<'_>,
    credentials: Credentials,
) -> Result<Client, Close> {
    let began = Instant::now();
    let said = match credentials {
        Credentials::ForeignOrigin => return Err(Close::With(CloseCode::Unauthorized)),
        Credentials::Url(token) => Said { token, accept: Accept::WsToken, frame_id: None, sync: None },
        Credentials::Header(token) => Said { token, accept: Accept::Either, frame_id: None, sync: None },
        Credentials::FirstFrame => tokio::time::timeout(AUTH_TIMEOUT, first_frame(tcp, reader))
            .await
            .unwrap_or(Err(Close::With(CloseCode::Unauthorized)))?,
    };
    let permit = tokio::time::timeout(ADMISSION_TIMEOUT, Arc::clone(&app.sessions.admissions).acquire_owned()).await;
    let Ok(Ok(permit)) = permit else { return Err(Close::With(CloseCode::Overloaded)) };
    let caller = authenticate(app, &said.token, said.accept).await.map_err(|error| close_of(&error.into_refusal()))?;
    let identity = Identity { user: caller.user, login: caller.login, expires_at: caller.expires_at };
    let session = Arc::new(SessionHandle::new(identity, app.clock.now(), app.config.limits.outgoing_bytes_max));
    session.hold();
    METRICS.sessions.increment(1.0);
    let entered = Entered { app: Arc::clone(app), session: Arc::clone(&session), caller };
    if let Err(code) = connect(app, &session).await {
        return Err(Close::With(code));
    }
    welcome(app, &entered.caller, &session, First { frame_id: said.frame_id, sync: said.sync, permit });
    METRICS.connect_seconds.record(began.elapsed().as_secs_f64());
    Ok(Client::new(entered))
}

/// A session in the hub. When it is dropped, however that comes, the session leaves.
pub struct Entered {
    pub app: Arc<App>,
    pub session: Arc<SessionHandle>,
    pub caller: Caller,
}

impl Drop for Entered {
    fn drop(&mut self) {
        METRICS.sessions.decrement(1.0);
        self.session.close_as(Close::Cut);
        self.app.hub.leave(&self.session);
        let (app, session) = (Arc::clone(&self.app), Arc::clone(&self.session));
        self.app.tasks.spawn("disconnect", async move { disconnect(&app, &session).await });
    }
}

async fn first_frame(tcp: &TcpStream, reader: &mut Reader<'_>) -> Result<Said, Close> {
    loop {
        match reader.next().await {
            Ok(Incoming::Text(mut json)) => {
                let parsed = client::parse(&mut json);
                let Ok(ClientFrame::Auth(auth)) = parsed.frame else {
                    return Err(Close::With(CloseCode::Unauthorized));
                };
                return Ok(Said { token: auth.token, accept: Accept::Either, frame_id: parsed.id, sync: auth.sync });
            }
            Ok(Incoming::Ping(payload)) => {
                // Best effort: a Pong to who is not known yet.
                let _ = tcp.try_write(&control(0x8a, &payload));
            }
            Ok(Incoming::Pong(_)) => {}
            Ok(Incoming::Close(code)) => return Err(Close::Echo(code.unwrap_or(1_000))),
            Err(ReadEnd::Gone) => return Err(Close::Cut),
            Err(ReadEnd::Refused(code)) => return Err(Close::With(code)),
        }
    }
}

fn close_of(refusal: &Refusal) -> Close {
    Close::With(match refusal {
        Refusal::Unavailable | Refusal::Overloaded { .. } => CloseCode::Overloaded,
        Refusal::Internal => CloseCode::Internal,
        _ => CloseCode::Unauthorized,
    })
}

/// Reads and writes, both in one task, until the session is closed by whomever.
async fn live(app: &Arc<App>, tcp: &TcpStream, reader: Reader<'_>, client: Client) -> Rest {
    let session = Arc::clone(client.session());
    let ping_later = || app.sessions.ping_later(&session);
    let mut reading = pin!(read(reader, client));
    let mut writing = pin!(writer::write(tcp, &session, ping_later));
    let mut is_reading = true;
    // Neither is ever dropped half way through and begun again: a frame is read whole, or the session is over.
    poll_fn(|cx| {
        if is_reading && !session.is_closed() && reading.as_mut().poll(cx).is_ready() {
            is_reading = false;
        }
        writing.as_mut().poll(cx)
    })
    .await
}

/// Reads until the client closes, breaks the protocol, or is gone.
async fn read(mut reader: Reader<'_>, mut client: Client) {
    let close = loop {
        match reader.next().await {
            Ok(Incoming::Text(json)) => dispatch(&mut client, json).await,
            Ok(Incoming::Ping(payload)) => client.answer_ping(&payload),
            Ok(Incoming::Pong(payload)) => client.take_pong(&payload),
            Ok(Incoming::Close(code)) => break Close::Echo(code.unwrap_or(1_000)),
            Err(ReadEnd::Gone) => break Close::Cut,
            Err(ReadEnd::Refused(code)) => break Close::With(code),
        }
    };
    client.session().close_as(close);
    // Kept until the writer is done: dropping it is leaving.
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size_of_future<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_session_is_small() {
        let task = size_of_future(run);
        let handle = size_of::<SessionHandle>();
        // What an idle session costs, beside its map entries and its socket. What only a frame needs is boxed while it is needed.
        assert!(task <= 1_800 && handle <= 640, "task {task}, handle {handle}");
    }
}
