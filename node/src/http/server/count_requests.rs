//! Requests and their times, by route and status.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, histogram};

pub async fn count_requests(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    counter!("herald_http_requests_total", "route" => route.clone(), "status" => status).increment(1);
    histogram!("herald_http_request_seconds", "route" => route).record(begun.elapsed().as_secs_f64());
    response
}
