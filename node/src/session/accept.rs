//! The upgrade from HTTP: what a WebSocket request must have, and what becomes of its socket.

use std::sync::Arc;

use axum::extract::{Query, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::{Parts, downcast};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::live::{Credentials, Opening, run};
use crate::app::App;

#[derive(Deserialize)]
struct InUrl {
    token: Option<String>,
}

/// Upgrades a request that [`refuse`] lets through; its socket is a session until it is closed. Who has no good token, or comes from a
/// foreign page, is let in first and closed with 1008 then, so that browsers can see the reason. `permit` is dropped with the socket;
/// `bare` takes it out of what the server keeps its sockets in.
pub fn accept<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    app: &Arc<App>,
    mut request: Request,
    is_foreign: bool,
    permit: impl Send + 'static,
    bare: fn(S) -> TcpStream,
) -> Response {
    let credentials = if is_foreign { Credentials::ForeignOrigin } else { credentials_of(&request) };
    let protocol = first_protocol(request.headers());
    let Ok((response, upgraded)) = upgrade(&mut request) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let task_app = Arc::clone(app);
    app.tasks.spawn("session", async move {
        let Some((tcp, leftover)) = socket_of(upgraded, bare).await else { return };
        run(task_app, Opening { tcp, leftover, credentials }).await;
        // One place among the open sockets, until the socket is closed.
        drop(permit);
    });
    let mut response = response.into_response();
    if let Some(protocol) = protocol {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// What is answered to a request that is no WebSocket's.
pub fn refuse(request: &Request) -> Option<Response> {
    let headers = request.headers();
    if !is_upgrade_request(request) {
        let upgrade = [(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")];
        return Some((StatusCode::UPGRADE_REQUIRED, upgrade, "this is a WebSocket endpoint").into_response());
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return Some((StatusCode::UPGRADE_REQUIRED, version, "only version 13 is spoken here").into_response());
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_key = base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    (!is_key).then(|| (StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64").into_response())
}

/// The URL's token counts before the header's; without either, the first frame brings it.
fn credentials_of(request: &Request) -> Credentials {
    let in_url = Query::<InUrl>::try_from_uri(request.uri()).ok().and_then(|Query(query)| query.token);
    if let Some(token) = in_url {
        return Credentials::Url(token);
    }
    let in_header = request.headers().get(header::AUTHORIZATION).map(|value| {
        let value = value.to_str().unwrap_or_default();
        let is_bearer = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
        if is_bearer { value.get(7..).unwrap_or_default().trim().to_owned() } else { String::new() }
    });
    in_header.map_or(Credentials::FirstFrame, Credentials::Header)
}

/// Browsers fail a connection for which they asked for a sub-protocol and got none.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    HeaderValue::from_str(asked.split(',').next()?.trim()).ok()
}

/// The bare socket, and a copy of what hyper had read beyond the request: its buffer is large.
async fn socket_of<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    upgraded: UpgradeFut,
    bare: fn(S) -> TcpStream,
) -> Option<(TcpStream, bytes::Bytes)> {
    let upgraded = upgraded.await.ok()?.into_inner().into_inner();
    let Parts { io, read_buf, .. } = downcast::<TokioIo<S>>(upgraded).ok()?;
    Some((bare(io.into_inner()), bytes::Bytes::copy_from_slice(&read_buf)))
}
