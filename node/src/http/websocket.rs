//! Every WebSocket endpoint: what must hold before the upgrade. The rest is the session's.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::problem::HttpError;
use super::server::address::ClientAddress;
use super::server::connections::ConnectionPermit;
use super::server::cors::is_origin_allowed;
use super::server::socket::Socket;
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::limits::{Limit, LimitKey};
use crate::service::limits::check_limit::check_limit;
use crate::session;

pub async fn accept(State(app): State<Arc<App>>, request: Request) -> Response {
    if let Some(refused) = session::refuse(&request) {
        return refused;
    }
    if app.is_draining() {
        return HttpError(Refusal::Unavailable).into_response();
    }
    let Some(permit) = request.extensions().get::<ConnectionPermit>().cloned() else {
        return HttpError(Refusal::RateLimited { retry_after_ms: 1_000 }).into_response();
    };
    if let Some(ClientAddress(address)) = request.extensions().get::<ClientAddress>().copied()
        && let Err(refusal) = check_limit(&app, Limit::ConnectsPerAddress, LimitKey::address(address)).await
    {
        return HttpError(refusal).into_response();
    }
    let is_foreign = !is_origin_allowed(request.headers(), &app.config.allowed_origins);
    session::accept(&app, request, is_foreign, permit, Socket::into_tcp)
}
