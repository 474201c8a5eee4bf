//! A body is JSON, also where the call would not look at it: what is not `application/json` is refused (contract 5). Routes that take
//! files are to stand beside this layer, not below it.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;

use crate::domain::Refusal;
use crate::http::extract::is_json;
use crate::http::problem::HttpError;

/// The first bytes of a body whose length is not told must have come within this time.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn require_json(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() || is_json(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    if !comes_empty(body).await {
        return HttpError(Refusal::UnsupportedType).into_response();
    }
    next.run(Request::from_parts(parts, Body::empty())).await
}

/// Whether nothing comes, where the head does not say how much.
async fn comes_empty(body: Body) -> bool {
    let mut pieces = body.into_data_stream();
    let first = async {
        while let Some(piece) = pieces.next().await {
            if piece.is_ok_and(|piece| piece.is_empty()) {
                continue;
            }
            return false;
        }
        true
    };
    tokio::time::timeout(FIRST_BYTES_TIMEOUT, first).await.unwrap_or(false)
}
