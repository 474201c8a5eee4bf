//! How many requests one address may make, over all nodes: asked before anything is looked at. (For one user see `extract`.)

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::address::ClientAddress;
use crate::app::App;
use crate::domain::limits::{Limit, LimitKey};
use crate::http::problem::HttpError;
use crate::service::limits::check_limit::check_limit;

pub async fn limit_address(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if let Some(ClientAddress(address)) = request.extensions().get::<ClientAddress>().copied()
        && let Err(refusal) = check_limit(&app, Limit::RequestsPerAddress, LimitKey::address(address)).await
    {
        return HttpError(refusal).into_response();
    }
    next.run(request).await
}
