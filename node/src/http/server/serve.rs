//! Accepts sockets and speaks HTTP/1 on them. `axum::serve` holds a half-sent head for ever; here a head has 5 s, sockets are
//! counted, and nothing waits without a bound.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, header};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::address::{ClientAddress, IsHttps, TrustedProxies};
use super::connections::{ConnectionPermit, Connections};
use super::socket::{Phase, Socket, Times};
use crate::app::App;
use crate::config::Config;
use crate::tasks::Tasks;

/// A head must have come within this time; an answer of which the client takes nothing for so long ends its connection.
const TIMES: Times = Times { head_max: Duration::from_secs(5), stall_max: Duration::from_secs(15) };
/// Operators' tools ask every minute at most.
const INTERNAL_KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Most of a head and of what is read at once, in bytes.
const READ_BUFFER_BYTES_MAX: usize = 16 * 1024;
/// After `accept` failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests that are being answered when the node stops have this long.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Who is one too many is told so, as long as it takes, but no longer than this;
const TURN_AWAY_TIME: Duration = Duration::from_secs(1);
/// and so many at once: those beyond are cut.
const TURNED_AWAY_MAX: usize = 1_000;
/// What one gets who is one too many.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What every connection of a listener shares.
#[derive(Debug)]
struct Listener {
    routes: Router,
    proxies: TrustedProxies,
    connections: Arc<Connections>,
    /// Between two requests of a connection.
    keep_alive: Duration,
    /// Places of those who are told that there is none for them.
    turned_away: Arc<Semaphore>,
}

/// Serves clients until the node stops. The error is what of `trusted_proxies` cannot be read.
pub fn serve_clients(app: &Arc<App>, listener: TcpListener, routes: Router) -> Result<Arc<Connections>, String> {
    let config = &app.config;
    let connections = client_connections(config);
    let proxies = TrustedProxies::parse(&config.trusted_proxies)?;
    let keep_alive = Duration::from_secs(config.limits.keep_alive_s);
    let shared = Arc::new(Listener {
        routes,
        proxies,
        connections: Arc::clone(&connections),
        keep_alive,
        turned_away: turned_away(),
    });
    let tasks = app.tasks.clone();
    app.tasks.spawn("accept", accept(tasks, listener, shared));
    Ok(connections)
}

/// Serves operators, without limits per address.
pub fn serve_internal(tasks: &Tasks, listener: TcpListener, routes: Router) {
    let connections = Connections::new(1_000, usize::MAX, false);
    let shared = Arc::new(Listener {
        routes,
        proxies: TrustedProxies::default(),
        connections,
        keep_alive: INTERNAL_KEEP_ALIVE,
        turned_away: turned_away(),
    });
    tasks.spawn("accept_internal", accept(tasks.clone(), listener, shared));
}

fn turned_away() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(TURNED_AWAY_MAX))
}

fn client_connections(config: &Config) -> Arc<Connections> {
    let limits = &config.limits;
    Connections::new(limits.connections_max, limits.connections_per_address_max, !config.is_development)
}

async fn accept(tasks: Tasks, listener: TcpListener, shared: Arc<Listener>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.stopping() => return,
        };
        match accepted {
            Ok((socket, peer)) => admit(&tasks, &shared, socket, peer.ip().to_canonical()),
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(tasks: &Tasks, shared: &Arc<Listener>, socket: TcpStream, peer: IpAddr) {
    let counted = (!shared.proxies.contains(peer)).then_some(peer);
    let Some(permit) = shared.connections.admit(counted) else {
        metrics::counter!("herald_connections_refused_total").increment(1);
        if let Ok(place) = Arc::clone(&shared.turned_away).try_acquire_owned() {
            tasks.spawn("turn-away", turn_away(socket, place));
        }
        return;
    };
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%error, "the socket is gone already");
        return;
    }
    let task_tasks = tasks.clone();
    tasks.spawn("connection", serve_connection(task_tasks, Arc::clone(shared), socket, peer, permit));
}

/// Says so, and takes what has been sent: a socket that is closed over unread bytes is reset, and the answer is lost with it.
async fn turn_away(mut socket: TcpStream, _place: OwnedSemaphorePermit) {
    let telling = async {
        socket.write_all(FULL).await?;
        socket.shutdown().await?;
        tokio::io::copy(&mut socket, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(TURN_AWAY_TIME, telling).await;
}

async fn serve_connection(
    tasks: Tasks,
    shared: Arc<Listener>,
    socket: TcpStream,
    peer: IpAddr,
    permit: ConnectionPermit,
) {
    let routes = TowerToHyperService::new(shared.routes.clone());
    let is_proxied = shared.proxies.contains(peer);
    let keep_alive = shared.keep_alive;
    let phase = Phase::default();
    let service_phase = phase.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        service_phase.head_is_whole();
        let address = shared.proxies.client(peer, request.headers());
        let is_https = shared.proxies.is_https(peer, request.headers());
        let mut own = Some(permit.clone());
        if is_proxied && request.headers().contains_key(header::UPGRADE) {
            own = shared.connections.admit_address(permit.clone(), address);
        }
        let extensions = request.extensions_mut();
        extensions.insert(ClientAddress(address));
        extensions.insert(IsHttps(is_https));
        // Without a permit the WebSocket route refuses: too many from this address.
        if let Some(own) = own {
            extensions.insert(own);
        }
        let (phase, answer) = (service_phase.clone(), routes.call(request));
        async move {
            let answer = answer.await;
            phase.has_answered();
            answer
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(keep_alive).max_buf_size(READ_BUFFER_BYTES_MAX);
    let socket = Socket::new(socket, phase, TIMES);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service).into_owned();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = tasks.stopping() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_ANSWER_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        debug!(error = &*error, "connection ended");
    }
}
