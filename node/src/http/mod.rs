//! REST: every route on this page, by subject as in `service`. One file per resource; `extract` and `problem` are what they share.

pub mod admin_cluster;
pub mod admin_notifications;
pub mod admin_settings;
pub mod admin_topics;
pub mod admin_users;
pub mod auth;
pub mod broadcasts;
pub mod conversation_json;
pub mod conversations;
pub mod docs;
pub mod events;
pub mod export;
pub mod export_account;
pub mod extract;
pub mod friends;
pub mod groups;
pub mod health;
pub mod history;
pub mod invites;
pub mod message_json;
pub mod messages;
pub mod moderation;
pub mod notifications;
pub mod permitted;
pub mod pins;
pub mod problem;
pub mod relationships;
pub mod search;
pub mod server;
pub mod users;
pub mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::app::App;
use docs::routes::{Routes, delete, get, patch, post, put};
use server::catch_panic::catch_panic;
use server::cors::cors;
use server::count_requests::count_requests;
use server::limit_address::limit_address;
use server::require_json::require_json;

/// All that clients can call.
pub fn client_routes(app: &Arc<App>) -> Router {
    let limit = || from_fn_with_state(Arc::clone(app), limit_address);
    let api = || api().into_router().route_layer(from_fn(require_json)).layer(limit());
    Router::new()
        .nest("/api/v1", api())
        .nest("/api", api())
        .merge(root().into_router())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(app), cors))
        .layer(from_fn(catch_panic))
        .layer(from_fn(count_requests))
        .with_state(Arc::clone(app))
}

/// The paths of the one WebSocket endpoint.
const SOCKET_PATHS: &[&str] = &["/ws", "/ws/chat", "/api/v1/ws/chat", "/api/v1/realtime"];

/// What is under no prefix.
fn root() -> Routes {
    let routes = health::routes().merge(docs::routes());
    SOCKET_PATHS.iter().fold(routes, |routes, path| routes.socket(path, websocket::accept))
}

/// All of it, as the documents have it: under one of the two prefixes.
fn documented_routes() -> Routes {
    Routes::new().nest("/api/v1", api()).merge(root())
}

/// What operators can call: on the internal port.
pub fn internal_routes(app: &Arc<App>) -> Router {
    Router::new()
        .merge(health::routes().into_router())
        .route("/metrics", axum::routing::get(async || crate::metrics::render()))
        .fallback(problem::not_found)
        .with_state(Arc::clone(app))
}

/// The same routes answer under `/api/v1` and `/api`.
fn api() -> Routes {
    Routes::new()
        .merge(accounts())
        .merge(people())
        .merge(conversations())
        .merge(messages())
        .merge(notifications())
        .merge(operations())
        .nest("/admin", admin())
        .nest("/moderation", moderation())
}

/// Registering, logging in and out, the caller's own account.
fn accounts() -> Routes {
    Routes::new()
        .route("/auth/login", post(auth::login))
        .route("/auth/logout", post(auth::logout))
        .route("/auth/refresh", post(auth::refresh))
        .route("/auth/register", post(auth::register))
        .route("/auth/sessions", get(auth::list_sessions))
        .route("/auth/sessions/{id}", delete(auth::end_session))
        .route("/auth/ws-token", post(auth::ws_token))
        .route("/message/ws-token", post(auth::ws_token))
        .route("/users/login", post(auth::login))
        .route("/users/me", get(users::me).patch(users::patch_me).delete(users::delete_me))
        .route("/users/me/export", get(export_account::export))
        .route("/users/me/password", post(users::change_password))
        .route("/users/register", post(auth::register))
}

/// Other users: finding them, what is shown of them, friends, blocks.
fn people() -> Routes {
    Routes::new()
        .route("/friends", get(friends::list))
        .route("/friends/pending", get(friends::pending))
        .route("/friends/request", post(friends::request))
        .route("/friends/{id}", delete(friends::remove))
        .route("/friends/{id}/accept", post(friends::accept))
        .route("/friends/{id}/reject", post(friends::reject))
        .route("/relationships/block", post(relationships::block))
        .route("/relationships/blocked", get(relationships::blocked))
        .route("/relationships/unblock", post(relationships::unblock))
        .route("/users", get(users::search))
        .route("/users/presence", post(users::presence))
        .route("/users/{id}", get(users::one))
}

/// Conversations of both kinds.
fn conversations() -> Routes {
    Routes::new()
        .route("/conversations", get(conversations::list).post(conversations::open))
        .route("/conversations/group", post(groups::create))
        .nest("/conversations/{id}", conversation())
        .route("/groups", get(conversations::list_groups).post(groups::create))
        .route("/groups/join", post(invites::join))
        .nest("/groups/{id}", conversation())
}

/// What both prefixes lead to: a group is a conversation.
fn conversation() -> Routes {
    Routes::new()
        .route("/", get(conversations::one).put(groups::update).delete(groups::dissolve))
        .route("/export", get(export::export))
        .route("/invites", get(invites::list).post(invites::make))
        .route("/invites/{invite_id}", delete(invites::withdraw))
        .route("/leave", post(groups::leave))
        .route("/members", get(groups::members).post(groups::add))
        .route("/members/remove", post(groups::remove))
        .route("/members/{user_id}", delete(groups::remove_one))
        .route("/members/{user_id}/mute", post(groups::mute))
        .route("/members/{user_id}/role", post(groups::role))
        .route("/messages", get(history::of_conversation).post(messages::send_to_conversation))
        .route("/pins", get(pins::list))
        .route("/read", post(conversations::read))
        .route("/settings", patch(conversations::settings))
}

/// Messages by their own id, or by the user they are exchanged with.
fn messages() -> Routes {
    Routes::new()
        .route("/messages/unread-count", get(conversations::unread_count))
        .route("/messages/search", get(search::search))
        .route(
            "/messages/{id}",
            get(history::with_user).post(messages::send_to_user).patch(messages::edit).delete(messages::hide),
        )
        .route("/messages/{id}/forward", post(messages::forward))
        .route("/messages/{id}/pin", put(pins::pin).delete(pins::unpin))
        .route("/messages/{id}/receipts", get(messages::receipts))
        .route("/messages/{id}/reactions/{emoji}", put(messages::add_reaction).delete(messages::remove_reaction))
        .route("/messages/{id}/read", post(conversations::read_message))
        .route("/messages/{id}/recall", post(messages::recall))
}

/// What users are told beside messages, and what they report.
fn notifications() -> Routes {
    Routes::new()
        .route("/broadcasts", get(broadcasts::list).post(broadcasts::send))
        .route("/events", get(events::list).post(events::report))
        .route("/notifications", get(notifications::list))
        .route("/notifications/read-all", post(notifications::read_all))
        .route("/notifications/{id}", delete(notifications::delete))
        .route("/notifications/{id}/delete", post(notifications::delete))
        .route("/notifications/{id}/read", post(notifications::read))
}

/// For administrators: each handler takes an `Admin`.
fn admin() -> Routes {
    Routes::new()
        .route("/audit", get(admin_cluster::audit))
        .route("/dead-letters", get(admin_topics::dead_letters))
        .route("/nodes", get(admin_cluster::nodes))
        .route("/notification-templates", get(admin_notifications::list).post(admin_notifications::create))
        .route(
            "/notification-templates/{id}",
            get(admin_notifications::one).patch(admin_notifications::change).delete(admin_notifications::delete),
        )
        .route("/notifications", post(admin_notifications::send))
        .route("/settings", get(admin_settings::list))
        .route("/settings/reload", post(admin_settings::reload))
        .route("/settings/{key}", post(admin_settings::set))
        .route("/stats", get(admin_cluster::stats))
        .route("/subscriptions", get(admin_topics::list).post(admin_topics::create))
        .route("/subscriptions/{id}", delete(admin_topics::delete))
        .route("/users", get(admin_users::list))
        .route("/users/{id}", get(admin_users::one).patch(admin_users::change))
        .route("/users/{id}/sessions", delete(admin_users::end_sessions))
}

/// For moderators: each handler takes a `Moderator`.
fn moderation() -> Routes {
    Routes::new()
        .route("/users", get(moderation::list))
        .route("/users/{id}", get(moderation::one).patch(moderation::change))
        .route("/users/{id}/sessions", delete(moderation::end_sessions))
}

/// What operators ask; more of it is at the root and on the internal port.
fn operations() -> Routes {
    Routes::new().route("/health", get(health::health))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_routes_overlap() {
        let _ = documented_routes().into_router().nest("/api", api().into_router());
    }
}
