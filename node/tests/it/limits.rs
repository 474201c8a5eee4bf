//! Limits that hold over all nodes together: off unless somebody sets them, exact with Redis, a share without it.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::client::{Answer, call};
use crate::support::own::OwnRedis;
use crate::support::{Cluster, Device, Setup, User, eventually};

async fn me(cluster: &Cluster, node: usize, user: &User) -> Answer {
    user.get(cluster, node, "/users/me").await
}

/// How many of these were let through; the others say when to come again.
fn let_through(answers: &[Answer], good: u16) -> usize {
    for answer in answers.iter().filter(|answer| answer.status != good) {
        assert_eq!((answer.status, &answer.body["code"]), (429, &json!("rate_limited")), "{}", answer.body);
        assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    }
    answers.iter().filter(|answer| answer.status == good).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_user_are_counted_over_all_nodes_and_others_do_not_notice() {
    let cluster = Setup::nodes(3).set("requests_per_second_per_user", 5).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let begun = std::time::Instant::now();
    let answers = join_all((0..40).map(|index| me(&cluster, index % 3, &alice))).await;
    let most = 5 + 5 * usize::try_from(begun.elapsed().as_secs() + 1).unwrap();
    let passed = let_through(&answers, 200);
    assert!((5..=most).contains(&passed), "{passed} of at most {most}");
    me(&cluster, 0, &bob).await.expect(200);
    // And a second later there is room again.
    eventually("room again", || async { me(&cluster, 1, &alice).await.status == 200 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_registrations_and_sockets_of_one_address_are_counted_with_and_without_a_token() {
    let cluster = Setup::nodes(2).set("registrations_per_hour_per_address", 2).start().await;
    let register = async |index: usize| {
        let url = format!("{}/api/v1/auth/register", cluster.url(index % 2));
        let body = json!({"username": format!("user{index}"), "password": "long enough"});
        call(&cluster.http, Method::POST, &url, None, Some(body)).await
    };
    register(0).await.expect(201);
    register(1).await.expect(201);
    let refused = register(2).await;
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1_000..=1_800).contains(&wait), "{wait}");
    refused.refused(429, "rate_limited");

    let cluster = Setup::nodes(2).set("requests_per_second_per_address", 4).start().await;
    let unknown = (0..20).map(|index| {
        let url = format!("{}/api/v1/users/{}", cluster.url(index % 2), Uuid::new_v4());
        let http = cluster.http.clone();
        async move { call(&http, Method::GET, &url, None, None).await }
    });
    let answers = join_all(unknown).await;
    let passed = let_through(&answers, 401);
    assert!((4..=16).contains(&passed), "{passed}");
    // Operators' questions are never refused.
    let url = format!("{}/health", cluster.url(0));
    for _ in 0..10 {
        call(&cluster.http, Method::GET, &url, None, None).await.expect(200);
    }

    let cluster = Setup::nodes(2).set("connects_per_minute_per_address", 2).start().await;
    let alice = cluster.user("alice").await;
    let _one = alice.connect(&cluster, 0).await;
    let _two = alice.connect(&cluster, 1).await;
    let refused = tokio_tungstenite::connect_async(cluster.ws_url(0)).await.unwrap_err();
    assert!(refused.to_string().contains("429"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_into_one_group_are_counted_repeats_are_answered_and_strangers_do_not_count() {
    let cluster =
        Setup::nodes(2).set("messages_per_second_per_group", 3).set("max_messages_per_second", 1_000).start().await;
    let (alice, bob, eve) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("eve").await);
    let made = alice.post(&cluster, 0, "/groups", json!({"name": "g", "members": [bob.id]})).await.expect(201);
    let path = format!("/groups/{}/messages", made["id"].as_str().unwrap());
    let send = |user: User, node: usize, temp_id: String| {
        let (cluster, path) = (&cluster, &path);
        async move {
            let body = json!({"temp_id": temp_id, "message_type": "text", "content": "x"});
            user.post(cluster, node, path, body).await
        }
    };
    for _ in 0..10 {
        send(eve.clone(), 0, Uuid::new_v4().to_string()).await.refused(404, "not_found");
    }
    let first = send(alice.clone(), 0, "first".to_owned()).await.expect(201);
    let many = (0..30).map(|index| {
        let user = if index % 2 == 0 { alice.clone() } else { bob.clone() };
        send(user, index % 2, format!("m{index}"))
    });
    let answers = join_all(many).await;
    let passed = let_through(&answers, 201);
    assert!((2..=12).contains(&passed), "{passed}");
    // A repeat is answered although there is no room.
    let again = send(alice.clone(), 1, "first".to_owned()).await.expect(200);
    assert_eq!(again["message_id"], first["message_id"]);
    // Another conversation has room of its own.
    let other = bob.post(&cluster, 0, "/groups", json!({"name": "h"})).await.expect(201);
    let body = json!({"temp_id": "x", "message_type": "text", "content": "x"});
    bob.post(&cluster, 0, &format!("/groups/{}/messages", other["id"].as_str().unwrap()), body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn joinings_by_a_link_are_counted_from_the_start() {
    let cluster = Setup::nodes(2).set("group_joins_per_minute_per_user", 3).start().await;
    let alice = cluster.user("alice").await;
    let answers = join_all((0..9).map(|index| alice.post(&cluster, index % 2, "/groups/join", json!({"token": "x"}))));
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 404).count(), 3);
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_away_each_node_goes_by_its_share() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(3).redis(&redis.url()).set("group_joins_per_minute_per_user", 9).start().await;
    let alice = cluster.user("alice").await;
    eventually("the nodes know each other", || async {
        (0..3).all(|node| cluster.app(node).router.last_known_boots().len() == 2)
    })
    .await;
    redis.kill();
    eventually("redis is missed", || async { (0..3).all(|node| !cluster.app(node).router.is_up()) }).await;
    let answers =
        join_all((0..30).map(|index| alice.post(&cluster, index % 3, "/groups/join", json!({"token": "x"})))).await;
    assert_eq!(let_through(&answers, 404), 9);
    let bob = cluster.user("bob").await;
    let mut device: Device = bob.connect(&cluster, 0).await;
    assert!(device.has_none("error", Duration::from_millis(50)).await);
}
