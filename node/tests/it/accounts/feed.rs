//! What every node learns from the feed of changes.

use std::time::{Duration, Instant};

use herald_node::domain::audit::Author;
use herald_node::domain::{LoginId, UserId};
use herald_node::service::accounts::authenticate::{Accept, authenticate};
use herald_node::service::feed::load_settings::set_setting;
use herald_node::storage::directory::accounts::{set_disabled, set_roles};
use herald_node::storage::{migrate, provision};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::{PASSWORD, delete, get, is_refused, login, login_of, post, register, text};
use crate::support::client::call;
use crate::support::own::{OwnPostgres, OwnRedis};
use crate::support::{Cluster, Device, Setup, eventually, eventually_within};

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_is_out_everywhere_and_may_come_back() {
    let cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let (id, access) = (text(&alice["user"], "id").parse::<UserId>().unwrap(), text(&alice, "access_token"));
    assert!(set_disabled(&cluster.app(0).directory, id, true).await.unwrap());
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "refused", async || is_refused(&cluster, node, access).await).await;
    }
    post(&cluster, 0, "/auth/login", None, json!({"username": "alice", "password": PASSWORD}))
        .await
        .refused(401, "invalid_credentials");
    post(&cluster, 0, "/auth/refresh", None, json!({"refresh_token": alice["refresh_token"]}))
        .await
        .refused(401, "invalid_refresh_token");

    assert!(set_disabled(&cluster.app(1).directory, id, false).await.unwrap());
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "let in", async || !is_refused(&cluster, node, access).await).await;
    }
    assert!(!set_disabled(&cluster.app(1).directory, UserId::random(), true).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_knows_who_is_out_and_whose_login_has_ended() {
    let mut cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let bob = register(&cluster, "bob").await;
    let bob_id = text(&bob["user"], "id").parse().unwrap();
    cluster.stop(1).await;
    post(&cluster, 0, "/auth/logout", None, json!({"refresh_token": alice["refresh_token"]})).await.expect(204);
    set_disabled(&cluster.app(0).directory, bob_id, true).await.unwrap();
    // Disabled for so long that the feed says nothing of it.
    cluster.databases.directory().await.execute("delete from change where kind = 'user_disabled'", &[]).await.unwrap();
    cluster.start_again(1).await;
    assert!(is_refused(&cluster, 1, text(&alice, "access_token")).await);
    assert!(is_refused(&cluster, 1, text(&bob, "access_token")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_committed_late_is_not_passed_over() {
    let cluster = Cluster::start(1).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let login = login_of(access).to_string();
    let mut slow = cluster.databases.directory().await;
    let transaction = slow.transaction().await.unwrap();
    transaction.execute("insert into change (kind, subject) values ('login_ended', $1)", &[&login]).await.unwrap();
    // More transactions than a cursor reaches back, each seen by the follower at once or together.
    let quick = cluster.databases.directory().await;
    for _ in 0..1_500 {
        quick
            .execute("insert into change (kind, subject) values ('login_ended', $1)", &[&Uuid::new_v4().to_string()])
            .await
            .unwrap();
    }
    let last = LoginId::random();
    quick.execute("insert into change (kind, subject) values ('login_ended', $1)", &[&last.to_string()]).await.unwrap();
    eventually("the later ones are known", async || cluster.app(0).standing.is_login_ended(last)).await;
    assert!(!is_refused(&cluster, 0, access).await);
    transaction.commit().await.unwrap();
    eventually_within(Duration::from_secs(5), "the late one too", async || is_refused(&cluster, 0, access).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_roles_are_gone_from_old_tokens_too() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let token = admin.token();
    let is_admin = async |node| authenticate(cluster.app(node), &token, Accept::Access).await.unwrap().is_admin();
    assert!(is_admin(1).await);
    assert!(set_roles(&cluster.app(0).directory, UserId(admin.id), &[]).await.unwrap());
    eventually_within(Duration::from_secs(5), "no admin any more", async || !is_admin(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_followed_also_without_redis() {
    let mut redis = OwnRedis::start().await;
    let mut cluster = Setup::nodes(2).redis(&redis.url()).set("recall_window_s", 7).start().await;
    let recall_window_s = |cluster: &Cluster, node| cluster.app(node).settings.load().recall_window_s;
    assert_eq!(recall_window_s(&cluster, 1), 7);
    let author = Author { id: UserId::random(), address: "127.0.0.1".to_owned() };
    for (is_redis_there, value) in [(true, 60), (false, 61)] {
        if !is_redis_there {
            redis.kill();
        }
        set_setting(cluster.app(0), &author, "recall_window_s", &json!(value)).await.unwrap();
        assert_eq!(recall_window_s(&cluster, 0), value);
        let limit = Duration::from_secs(if is_redis_there { 1 } else { 2 });
        eventually_within(limit, "the other node follows", async || recall_window_s(&cluster, 1) == value).await;
    }
    assert!(set_setting(cluster.app(0), &author, "nonsense", &json!(1)).await.is_err());
    assert!(set_setting(cluster.app(0), &author, "max_messages_per_second", &json!(0)).await.is_err());
    assert!(set_setting(cluster.app(0), &author, "require_friendship", &json!("yes")).await.is_err());
    cluster.stop(1).await;
    cluster.start_again(1).await;
    assert_eq!(recall_window_s(&cluster, 1), 61, "what was set wins over the configuration, also after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_directory_connected_users_stay_and_the_rest_is_said_to_be_unavailable() {
    let mut server = OwnPostgres::start().await;
    provision::create_database(&server.options.url("postgres"), "directory").await.unwrap();
    let url = server.options.url("directory");
    migrate::migrate_directory(&url).await.unwrap();
    let mut cluster = Setup::nodes(2).directory_url(&url).start().await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let mut device = Device::connect(&cluster.ws_url(0), Some(access)).await.authenticated().await;
    cluster.stop(1).await;
    server.kill();

    let begun = Instant::now();
    let answer = get(&cluster, 0, "/users/me", access).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(answer.body["retryable"], true);
    answer.refused(503, "unavailable");
    post(&cluster, 0, "/auth/login", None, json!({"username": "alice", "password": PASSWORD}))
        .await
        .refused(503, "unavailable");
    let health =
        async |path: &str| call(&cluster.http, Method::GET, &format!("{}{path}", cluster.url(0)), None, None).await;
    eventually("health says which", async || {
        let health = health("/health").await;
        health.status == 503 && health.body["dependencies"]["directory"]["status"] == "down"
    })
    .await;
    assert_eq!(health("/readyz").await.status, 200);
    device.send(json!({"type": "ping"})).await;
    device.expect("pong").await;

    // A node that starts now knows nobody whose login has ended: it lets nobody in until it does.
    cluster.start_again(1).await;
    get(&cluster, 1, "/users/me", access).await.refused(503, "unavailable");
    server.start_again().await;
    for node in [0, 1] {
        eventually("the directory is back", async || get(&cluster, node, "/users/me", access).await.status == 200)
            .await;
    }
    login(&cluster, 1, "alice").await;
}
