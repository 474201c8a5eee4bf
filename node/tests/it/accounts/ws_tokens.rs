//! Tokens for one WebSocket, and the sockets that logins open.

use std::time::{Duration, Instant};

use herald_node::service::accounts::authenticate::{Accept, authenticate};
use herald_node::storage::directory::accounts::set_disabled;
use serde_json::{Value, json};

use super::{is_refused, lets_in, login, post, register, text, ws_token};
use crate::support::own::OwnRedis;
use crate::support::{Cluster, Device, Setup, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_ws_token_is_good_once_on_any_node() {
    let cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let token = ws_token(&cluster, 0, access).await;
    assert!(is_refused(&cluster, 0, &token).await, "it is no access token");
    assert!(!lets_in(&cluster, 0, access).await, "an access token is no ws_token");
    let caller = authenticate(cluster.app(1), &token, Accept::Either).await.unwrap();
    let own = authenticate(cluster.app(1), access, Accept::Access).await.unwrap();
    assert_eq!((caller.user, caller.login, caller.expires_at), (own.user, own.login, own.expires_at));
    for node in [0, 1] {
        assert!(!lets_in(&cluster, node, &token).await);
    }
    let made = post(&cluster, 1, "/message/ws-token", Some(access), Value::Null).await.expect(201);
    let token = text(&made, "ws_token");
    let tries = (0..20).map(|index| lets_in(&cluster, index % 2, token));
    let let_in = futures_util::future::join_all(tries).await.into_iter().filter(|is_in| *is_in).count();
    assert_eq!(let_in, 1);
    let late = ws_token(&cluster, 0, access).await;
    cluster.app(0).clock.advance(Duration::from_secs(301));
    assert!(!lets_in(&cluster, 0, &late).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ws_token_is_good_once_while_redis_goes_and_comes() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(2).redis(&redis.url()).start().await;
    eventually("Redis is up", async || cluster.app(0).router.is_up() && cluster.app(1).router.is_up()).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");

    let used_before = ws_token(&cluster, 0, access).await;
    assert!(lets_in(&cluster, 0, &used_before).await);
    let directory = cluster.databases.directory().await;
    eventually("its use is written down", async || {
        directory.query_one("select count(*) from used_token", &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;

    redis.kill();
    eventually("both know", async || !cluster.app(0).router.is_up() && !cluster.app(1).router.is_up()).await;
    assert!(!lets_in(&cluster, 1, &used_before).await, "used while Redis was there");
    let used_without = ws_token(&cluster, 0, access).await;
    assert!(lets_in(&cluster, 1, &used_without).await, "new sockets are taken without Redis");
    for node in [0, 1] {
        assert!(!lets_in(&cluster, node, &used_without).await);
    }
    let unused = ws_token(&cluster, 0, access).await;

    redis.start_again().await;
    eventually("both know", async || cluster.app(0).router.is_up() && cluster.app(1).router.is_up()).await;
    for node in [0, 1] {
        assert!(!lets_in(&cluster, node, &used_without).await);
        assert!(!lets_in(&cluster, node, &unused).await, "Redis cannot know whether it was used");
    }
    let fresh = ws_token(&cluster, 0, access).await;
    assert!(lets_in(&cluster, 1, &fresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_takes_only_a_ws_token_and_that_once() {
    let cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let token = ws_token(&cluster, 0, access).await;
    let url = |node, token: &str| format!("{}?token={token}", cluster.ws_url(node));
    let device = Device::connect(&url(1, &token), None).await.authenticated().await;
    assert_eq!(device.session["username"], "alice");
    for node in [0, 1] {
        assert_eq!(Device::connect(&url(node, &token), None).await.closed().await, 1008);
    }
    assert_eq!(
        Device::connect(&url(0, access), None).await.closed().await,
        1008,
        "an access token does not belong into a URL"
    );
    let token = ws_token(&cluster, 0, access).await;
    Device::connect(&cluster.ws_url(1), Some(&token)).await.authenticated().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_an_ended_login_are_closed_on_every_node_also_without_redis() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(2).redis(&redis.url()).start().await;
    register(&cluster, "alice").await;
    let staying = login(&cluster, 0, "alice").await;
    let mut stays =
        Device::connect(&cluster.ws_url(1), Some(text(&staying, "access_token"))).await.authenticated().await;
    for is_redis_there in [true, false] {
        let tokens = login(&cluster, 0, "alice").await;
        let access = text(&tokens, "access_token");
        let mut device = Device::connect(&cluster.ws_url(1), Some(access)).await.authenticated().await;
        if !is_redis_there {
            redis.kill();
        }
        let begun = Instant::now();
        post(&cluster, 0, "/auth/logout", None, json!({"refresh_token": tokens["refresh_token"]})).await.expect(204);
        assert_eq!(device.closed().await, 4501);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let mut late = Device::connect(&cluster.ws_url(1), Some(access)).await;
        assert_eq!(late.closed().await, 1008, "its token is good for nothing");
    }
    stays.send(json!({"type": "ping"})).await;
    stays.expect("pong").await;
    let alice = text(&staying["user"], "id").parse().unwrap();
    set_disabled(&cluster.app(0).directory, alice, true).await.unwrap();
    assert_eq!(stays.closed().await, 4501);
}
