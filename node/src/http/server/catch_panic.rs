//! A panic ends its request, not the connection.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::domain::Refusal;
use crate::http::problem::HttpError;

pub async fn catch_panic(request: Request, next: Next) -> Response {
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        tracing::error!("a request panicked");
        HttpError(Refusal::Internal).into_response()
    })
}
