//! One connected client: who is let in, what the socket bears, and how it ends.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use uuid::Uuid;

use super::support::DEADLINE;
use super::support::client::{Device, call, now_s, sign};
use super::support::cluster::{Cluster, Setup};

#[tokio::test]
async fn a_token_in_the_first_frame_or_the_header_lets_in_and_none_does_not() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let by_header = alice.connect(&cluster, 0).await;
    assert_eq!(by_header.session["user_id"], json!(alice.id));
    assert_eq!(by_header.session["username"], json!("alice"));
    assert_eq!((&by_header.session["node_id"], &by_header.session["heartbeat_s"]), (&json!("node-1"), &json!(30)));
    assert!(by_header.session["expires_at"].as_str().unwrap().ends_with('Z'));

    let mut by_frame = Device::connect(&cluster.ws_url(0), None).await;
    let answer = by_frame.ask(json!({"type": "auth", "token": alice.token()})).await;
    assert_eq!((&answer["type"], &answer["status"]), (&json!("auth"), &json!("success")));
    by_frame.expect("sync/complete").await;

    for (token, frame) in [
        (Some("nonsense".to_owned()), None),
        (Some(expired(&alice)), None),
        (None, Some(json!({"type": "auth", "token": "nonsense"}))),
        (None, Some(json!({"type": "auth", "token": expired(&alice)}))),
        (None, Some(json!({"type": "ping"}))),
    ] {
        let mut device = Device::connect(&cluster.ws_url(0), token.as_deref()).await;
        if let Some(frame) = frame {
            device.send(frame).await;
        }
        assert_eq!(device.closed().await, 1008);
    }
    // An access token in the URL would end up in logs: only a ws_token is taken there.
    let mut in_url = Device::connect(&format!("{}?token={}", cluster.ws_url(0), alice.token()), None).await;
    assert_eq!(in_url.closed().await, 1008);
}

fn expired(user: &super::support::client::User) -> String {
    let mut claims = user.claims();
    claims["exp"] = json!(now_s() - 1);
    sign(&claims)
}

#[tokio::test]
async fn messages_are_answered_and_reach_the_other_side() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut from = alice.connect(&cluster, 0).await;
    let mut to = bob.connect(&cluster, 1).await;
    let sent = from.say(bob.id, "hi").await;
    let got = to.next_message().await;
    assert_eq!((&got["content"], &got["message_id"], &got["seq"]), (&json!("hi"), &sent["message_id"], &json!(1)));
}
