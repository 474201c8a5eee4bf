//! Accounts over real HTTP: registering, logging in and out, tokens, and what every node learns from the feed of changes.

mod feed;
mod logins;
mod profiles;
mod ws_tokens;

use herald_node::service::accounts::authenticate::{Accept, authenticate};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Cluster;
use crate::support::client::{Answer, call};

pub const PASSWORD: &str = "correct horse";

pub async fn post(cluster: &Cluster, node: usize, path: &str, token: Option<&str>, body: Value) -> Answer {
    let url = format!("{}/api/v1{path}", cluster.url(node));
    call(&cluster.http, Method::POST, &url, token, Some(body)).await
}

pub async fn get(cluster: &Cluster, node: usize, path: &str, token: &str) -> Answer {
    let url = format!("{}/api/v1{path}", cluster.url(node));
    call(&cluster.http, Method::GET, &url, Some(token), None).await
}

pub async fn delete(cluster: &Cluster, node: usize, path: &str, token: &str) -> Answer {
    let url = format!("{}/api/v1{path}", cluster.url(node));
    call(&cluster.http, Method::DELETE, &url, Some(token), None).await
}

pub async fn register(cluster: &Cluster, username: &str) -> Value {
    let body = json!({"username": username, "password": PASSWORD, "email": format!("{username}@example.org")});
    post(cluster, 0, "/auth/register", None, body).await.expect(201)
}

pub async fn login(cluster: &Cluster, node: usize, username: &str) -> Value {
    post(cluster, node, "/auth/login", None, json!({"username": username, "password": PASSWORD})).await.expect(200)
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The `sid` of an access token.
pub fn login_of(token: &str) -> Uuid {
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap();
    claims["sid"].as_str().unwrap().parse().unwrap()
}

pub async fn is_refused(cluster: &Cluster, node: usize, token: &str) -> bool {
    get(cluster, node, "/users/me", token).await.status == 401
}

pub async fn ws_token(cluster: &Cluster, node: usize, access: &str) -> String {
    let made = post(cluster, node, "/auth/ws-token", Some(access), Value::Null).await.expect(201);
    assert_eq!(made["expires_in"], 300);
    assert_eq!(text(&made, "ws_url"), cluster.ws_url(node));
    text(&made, "ws_token").to_owned()
}

/// True if this node lets the token in.
pub async fn lets_in(cluster: &Cluster, node: usize, token: &str) -> bool {
    authenticate(cluster.app(node), token, Accept::WsToken).await.is_ok()
}
