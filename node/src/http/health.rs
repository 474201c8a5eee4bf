//! `/health`, `/livez`, `/readyz`: for people and probes, on the client's port and the internal one.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::collections::BTreeMap;

use super::extract::Json;
use crate::app::App;
use crate::service::operations::check_health::check_health;

pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/health", get(health)).route("/livez", get(livez)).route("/readyz", get(readyz))
}

#[derive(Serialize)]
struct HealthBody {
    status: &'static str,
    node_id: String,
    dependencies: BTreeMap<String, DependencyBody>,
}

#[derive(Serialize)]
struct DependencyBody {
    status: &'static str,
}

/// Each dependency by name; 503 if one is down.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let health = check_health(&app).await;
    let word = |is_up| if is_up { "up" } else { "down" };
    let body = HealthBody {
        status: if health.is_all_up() { "ok" } else { "degraded" },
        node_id: app.router.node_id().to_string(),
        dependencies: health
            .dependencies()
            .map(|(name, is_up)| (name.to_owned(), DependencyBody { status: word(is_up) }))
            .collect(),
    };
    (status(health.is_all_up()), Json(body)).into_response()
}

/// The process answers.
async fn livez() -> &'static str {
    "ok"
}

/// 503 while draining, or when nothing at all could be served.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response();
    }
    let is_ready = check_health(&app).await.can_serve();
    (status(is_ready), if is_ready { "ok" } else { "no database answers" }).into_response()
}

fn status(is_good: bool) -> StatusCode {
    if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
