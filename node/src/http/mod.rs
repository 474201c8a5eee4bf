//! REST: every route on this page, by subject as in `service`. One file per resource; `extract` and `problem` are what they share.

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
pub mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post, put};

use crate::app::App;
use server::catch_panic::catch_panic;
use server::cors::cors;
use server::count_requests::count_requests;

/// All that clients can call.
pub fn client_routes(app: &Arc<App>) -> Router {
    Router::new()
        .nest("/api/v1", api())
        .nest("/api", api())
        .merge(health::routes())
        .route("/ws", get(websocket::accept))
        .route("/ws/chat", get(websocket::accept))
        .route("/api/v1/ws/chat", get(websocket::accept))
        .route("/api/v1/realtime", get(websocket::accept))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(app), cors))
        .layer(from_fn(catch_panic))
        .layer(from_fn(count_requests))
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
    Router::new().merge(accounts()).merge(people()).merge(conversations()).merge(messages()).merge(operations())
}

/// Registering, logging in and out, the caller's own account.
fn accounts() -> Router<Arc<App>> {
    Router::new()
        .route("/auth/login", post(auth::login))
        .route("/auth/logout", post(auth::logout))
        .route("/auth/refresh", post(auth::refresh))
        .route("/auth/register", post(auth::register))
        .route("/auth/sessions", get(auth::list_sessions))
        .route("/auth/sessions/{id}", delete(auth::end_session))
        .route("/auth/ws-token", post(auth::ws_token))
        .route("/message/ws-token", post(auth::ws_token))
        .route("/users/login", post(auth::login))
        .route("/users/me", get(users::me).patch(users::patch_me))
        .route("/users/me/password", post(users::change_password))
        .route("/users/register", post(auth::register))
}

/// Other users: what is shown of them, blocks.
fn people() -> Router<Arc<App>> {
    Router::new()
        .route("/relationships/block", post(relationships::block))
        .route("/relationships/blocked", get(relationships::blocked))
        .route("/relationships/unblock", post(relationships::unblock))
        .route("/users/{id}", get(users::one))
}

/// Conversations of both kinds.
fn conversations() -> Router<Arc<App>> {
    Router::new()
        .route("/conversations", get(conversations::list).post(conversations::open))
        .route("/conversations/group", post(groups::create))
        .nest("/conversations/{id}", conversation())
        .route("/groups", get(conversations::list_groups).post(groups::create))
        .nest("/groups/{id}", conversation())
}

/// What both prefixes lead to: a group is a conversation.
fn conversation() -> Router<Arc<App>> {
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

/// Messages by their own id, or by the user they are exchanged with.
fn messages() -> Router<Arc<App>> {
    Router::new()
        .route("/messages/unread-count", get(conversations::unread_count))
        .route("/messages/{id}", get(history::with_user).post(messages::send_to_user).patch(messages::edit))
        .route("/messages/{id}/reactions/{emoji}", put(messages::add_reaction).delete(messages::remove_reaction))
        .route("/messages/{id}/read", post(conversations::read_message))
        .route("/messages/{id}/recall", post(messages::recall))
}

/// What operators ask; more of it is at the root and on the internal port.
fn operations() -> Router<Arc<App>> {
    Router::new().route("/health", get(health::health))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routes_overlap() {
        let _ = Router::<Arc<App>>::new().nest("/api/v1", api()).nest("/api", api()).merge(health::routes());
    }
}
