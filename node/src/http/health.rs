//! `/health`, `/livez`, `/readyz`: for people and probes, on the client's port and the internal one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

use super::docs::describe::{Shows, Text};
use super::docs::routes::{Routes, get};
use super::extract::Json;
use crate::app::App;
use crate::service::operations::check_health::check_health;

pub fn routes() -> Routes {
    Routes::new().route("/health", get(health)).route("/livez", get(livez)).route("/readyz", get(readyz))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub struct HealthBody {
    status: &'static str,
    node_id: String,
    /// By name.
    dependencies: BTreeMap<String, DependencyBody>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DependencyHealth")]
struct DependencyBody {
    status: &'static str,
}

/// Each dependency by name; 503 if one is down.
pub async fn health(State(app): State<Arc<App>>) -> Shows<HealthBody, 200, 503> {
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
    (status(health.is_all_up()), Json(body)).into_response().into()
}

/// The process answers.
async fn livez() -> &'static str {
    "ok"
}

/// 503 while draining, or when nothing at all could be served.
async fn readyz(State(app): State<Arc<App>>) -> Shows<Text, 200, 503> {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response().into();
    }
    let is_ready = check_health(&app).await.can_serve();
    (status(is_ready), if is_ready { "ok" } else { "no database answers" }).into_response().into()
}

fn status(is_good: bool) -> StatusCode {
    if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
