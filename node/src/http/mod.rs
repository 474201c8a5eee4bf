//! REST: every route on this page. One file per resource; `extract` and `problem` are what they share.

pub mod auth;
pub mod conversation_json;
pub mod conversations;
pub mod extract;
pub mod groups;
pub mod health;
pub mod history;
pub mod message_json;
pub mod messages;
pub mod problem;
pub mod relationships;
pub mod server;
pub mod users;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use futures_util::FutureExt as _;

use crate::app::App;
use crate::domain::Refusal;
use crate::session;
use problem::HttpError;
use server::cors;

/// All that clients can call.
pub fn client_routes(app: &Arc<App>) -> Router {
    Router::new()
        .nest("/api/v1", api())
        .nest("/api", api())
        .merge(health::routes())
        .route("/ws", get(session::accept))
        .route("/ws/chat", get(session::accept))
        .route("/api/v1/ws/chat", get(session::accept))
        .route("/api/v1/realtime", get(session::accept))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(app), cors::cors))
        .layer(from_fn(catch_panic))
        .layer(from_fn(count))
        .with_state(Arc::clone(app))
}

/// What operators can call: on the internal port.
pub fn internal_routes(app: &Arc<App>) -> Router {
    Router::new()
        .merge(health::routes())
        .route("/metrics", get(async || crate::metrics::render()))
        .fallback(problem::not_found)
        .with_state(Arc::clone(app))
}

/// The same routes answer under `/api/v1` and `/api`.
fn api() -> Router<Arc<App>> {
    Router::new()
        .route("/auth/login", post(auth::login))
        .route("/auth/logout", post(auth::logout))
        .route("/auth/refresh", post(auth::refresh))
        .route("/auth/register", post(auth::register))
        .route("/auth/sessions", get(auth::list_sessions))
        .route("/auth/sessions/{id}", delete(auth::end_session))
        .route("/auth/ws-token", post(auth::ws_token))
        .route("/conversations", get(conversations::list).post(conversations::open))
        .route("/conversations/group", post(groups::create))
        .nest("/conversations/{id}", group())
        .route("/groups", get(conversations::list_groups).post(groups::create))
        .nest("/groups/{id}", group())
        .route("/health", get(health::health))
        .route("/message/ws-token", post(auth::ws_token))
        .route("/messages/unread-count", get(conversations::unread_count))
        .route("/messages/{id}", get(history::with_user).post(messages::send_to_user).patch(messages::edit))
        .route("/messages/{id}/reactions/{emoji}", put(messages::add_reaction).delete(messages::remove_reaction))
        .route("/messages/{id}/read", post(conversations::read_message))
        .route("/messages/{id}/recall", post(messages::recall))
        .route("/relationships/block", post(relationships::block))
        .route("/relationships/blocked", get(relationships::blocked))
        .route("/relationships/unblock", post(relationships::unblock))
        .route("/users/login", post(auth::login))
        .route("/users/me", get(users::me).patch(users::patch_me))
        .route("/users/me/password", post(users::change_password))
        .route("/users/register", post(auth::register))
        .route("/users/{id}", get(users::one))
}

/// What both prefixes lead to: a group is a conversation.
fn group() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(conversations::one).put(groups::update).delete(groups::dissolve))
        .route("/leave", post(groups::leave))
        .route("/members", get(groups::members).post(groups::add))
        .route("/members/remove", post(groups::remove))
        .route("/members/{user_id}", delete(groups::remove_one))
        .route("/members/{user_id}/mute", post(groups::mute))
        .route("/members/{user_id}/role", post(groups::role))
        .route("/messages", get(history::of_conversation).post(messages::send_to_conversation))
        .route("/read", post(conversations::read))
        .route("/settings", patch(conversations::settings))
}

/// A panic ends its request, not the connection.
async fn catch_panic(request: Request, next: Next) -> Response {
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        tracing::error!("a request panicked");
        HttpError(Refusal::Internal).into_response()
    })
}

/// Requests and their times, by route and status.
async fn count(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("herald_http_requests_total", "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!("herald_http_request_seconds", "route" => route).record(begun.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routes_overlap() {
        let _ = Router::<Arc<App>>::new().nest("/api/v1", api()).nest("/api", api()).merge(health::routes());
    }
}
