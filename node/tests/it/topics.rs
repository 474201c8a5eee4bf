//! Events by topic: nothing is written for what nobody wants, what somebody wants comes at least once, through Redis's death too, and
//! what cannot be done is put aside.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::own::OwnRedis;
use crate::support::{Cluster, Setup, User, eventually, eventually_within};

async fn subscribe(cluster: &Cluster, admin: &User, body: Value) -> Value {
    let made = admin.post(cluster, 0, "/admin/subscriptions", body).await.expect(201);
    // On every node, as settings are.
    eventually("all nodes know it", || async { (0..2).all(|node| cluster.app(node).subscriptions.has_any()) }).await;
    made
}

/// Rows of all outboxes, published or not.
async fn outbox_rows(cluster: &Cluster) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for client in
        [cluster.databases.directory().await, cluster.databases.shard(0).await, cluster.databases.shard(1).await]
    {
        let rows = client.query("select topic, payload from outbox order by created_at", &[]).await.unwrap();
        all.extend(rows.iter().map(|row| {
            let payload: String = row.get(1);
            (row.get(0), serde_json::from_str(&payload).unwrap())
        }));
    }
    all
}

async fn report(cluster: &Cluster, user: &User, kind: &str, level: &str) {
    let body = json!({"type": kind, "level": level, "payload": {"room": 7}});
    user.post(cluster, 1, "/events", body).await.expect(201);
}

/// Titles of an administrator's notifications, newest first.
async fn titles(cluster: &Cluster, admin: &User) -> Vec<String> {
    let page = admin.get(cluster, 0, "/notifications").await.expect(200);
    page["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_subscribe_pays_nothing_and_who_does_is_told_by_rule() {
    let cluster = Setup::nodes(2).set("enable_first_message_limit", false).start().await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    phone.say(bob.id, "before").await;
    report(&cluster, &alice, "card", "critical").await;
    assert_eq!(outbox_rows(&cluster).await, [], "nobody listens");

    let made =
        subscribe(&cluster, &admin, json!({"consumer": "alert", "pattern": "system.event", "level": "error"})).await;
    let mut admin_phone = admin.connect(&cluster, 1).await;
    phone.say(bob.id, "still nobody's business").await;
    report(&cluster, &alice, "card", "warning").await;
    report(&cluster, &alice, "card", "error").await;
    let frame = admin_phone.expect("notification").await;
    assert_eq!((&frame["data"]["type"], &frame["data"]["title"]), (&json!("system"), &json!("system.event: error")));
    assert!(frame["data"]["content"].as_str().unwrap().contains("\"room\":7"));
    assert_eq!(titles(&cluster, &admin).await, ["system.event: error"], "once, and nothing from before");
    let topics: Vec<String> = outbox_rows(&cluster).await.into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["system.event", "system.event"], "no row for a message that nobody subscribes to");

    let path = format!("/admin/subscriptions/{}", made["id"].as_str().unwrap());
    admin.delete(&cluster, 0, &path).await.expect(204);
    admin.delete(&cluster, 0, &path).await.refused(404, "not_found");
    eventually("forgotten", || async { (0..2).all(|node| !cluster.app(node).subscriptions.has_any()) }).await;
    report(&cluster, &alice, "card", "critical").await;
    assert_eq!(outbox_rows(&cluster).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_conversation_are_kept_in_the_audit_log_without_their_text() {
    let cluster = Setup::nodes(2).set("enable_first_message_limit", false).start().await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let first = phone.say(bob.id, "before").await;
    let conversation = first["conversation_id"].as_str().unwrap().to_owned();
    let pattern = format!("chat.message.conversation.{conversation}");
    subscribe(&cluster, &admin, json!({"consumer": "audit", "pattern": pattern})).await;
    let sent = phone.say(bob.id, "a secret").await;
    let made = alice.post(&cluster, 1, "/groups", json!({"name": "another", "members": [bob.id]})).await.expect(201);
    phone.say_in(made["id"].as_str().unwrap(), "elsewhere").await;
    let kept = async || {
        let page = admin.get(&cluster, 1, "/admin/audit?limit=200").await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        items.into_iter().filter(|item| item["action"] == "event").collect::<Vec<_>>()
    };
    eventually("it is kept", || async { !kept().await.is_empty() }).await;
    let kept = kept().await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((&kept[0]["target"], &kept[0]["admin_id"]), (&json!(pattern), &json!(admin.id)));
    assert_eq!(
        (&kept[0]["after"]["message_id"], &kept[0]["after"]["sender_id"]),
        (&sent["message_id"], &json!(alice.id))
    );
    assert!(!kept[0].to_string().contains("a secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_forgets_is_published_again_and_done_once() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(2).redis(&redis.url()).start().await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let alice = cluster.user("alice").await;
    subscribe(&cluster, &admin, json!({"consumer": "alert", "pattern": "system.#"})).await;
    report(&cluster, &alice, "one", "error").await;
    eventually("told", || async { titles(&cluster, &admin).await.len() == 1 }).await;
    redis.kill();
    report(&cluster, &alice, "two", "error").await;
    redis.start_again().await;
    report(&cluster, &alice, "three", "error").await;
    eventually_within(Duration::from_secs(30), "all are told", async || titles(&cluster, &admin).await.len() >= 3)
        .await;
    eventually("all outboxes are empty", || async {
        let client = cluster.databases.directory().await;
        let waiting: i64 =
            client.query_one("select count(*) from outbox where published_at is null", &[]).await.unwrap().get(0);
        waiting == 0
    })
    .await;
    // The first was published a second time, and known.
    eventually("the stream is read", || async { (0..2).all(|node| cluster.app(node).router.is_up()) }).await;
    assert_eq!(titles(&cluster, &admin).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_put_aside_and_does_not_hold_up_the_rest() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let alice = cluster.user("alice").await;
    subscribe(&cluster, &admin, json!({"consumer": "alert", "pattern": "system.#"})).await;
    let router = &cluster.app(0).router;
    router.append_topics("own", 1_000, &[("system.event".to_owned(), "no envelope".to_owned())]).await.unwrap();
    report(&cluster, &alice, "after", "error").await;
    eventually("the next is done", || async { titles(&cluster, &admin).await.len() == 1 }).await;
    eventually_within(Duration::from_secs(40), "it is a dead letter", async || {
        let page = admin.get(&cluster, 1, "/admin/dead-letters").await.expect(200);
        page["items"].as_array().unwrap().iter().any(|item| item["event"] == "no envelope")
    })
    .await;
}

/// Events as they stand in the own stream.
fn events(count: usize) -> Vec<(String, String)> {
    let event =
        |number| json!({"id": Uuid::new_v4(), "created_at": "2099-01-01T00:00:00Z", "data": {"number": number}});
    (0..count).map(|number| ("system.event".to_owned(), event(number).to_string())).collect()
}

async fn audited(cluster: &Cluster) -> i64 {
    let sql = "select count(*) from audit where action = 'event'";
    cluster.databases.directory().await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_not_heard_of_a_subscription_yet_loses_nothing_for_it() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    subscribe(&cluster, &admin, json!({"consumer": "audit", "pattern": "user.status.online.x"})).await;
    eventually("both know it", || async {
        (0..2).all(|node| cluster.app(node).subscriptions.is_wished("user.status.online.x"))
    })
    .await;
    subscribe(&cluster, &admin, json!({"consumer": "audit", "pattern": "system.event"})).await;
    for round in 0..10 {
        // As a node that is behind: it consumes for the old one, and has not heard of the new one.
        let known =
            herald_node::storage::directory::topics::read_subscriptions(&cluster.app(1).directory).await.unwrap();
        cluster.app(1).subscriptions.replace(known[..1].to_vec());
        cluster.app(0).router.append_topics("own", 1_000, &events(5)).await.unwrap();
        eventually("they are done", || async { audited(&cluster).await >= 5 * (round + 1) }).await;
    }
    assert_eq!(audited(&cluster).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_had_begun_another_does_and_all_is_done_once() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    // Before anybody consumes: the first are given to a consumer who never says anything again.
    let router = &cluster.app(0).router;
    let some = events(1_000);
    router.append_topics("own", 10_000, &some).await.unwrap();
    assert_eq!(router.read_topics("own", "audit", 300).await.unwrap().len(), 300);
    subscribe(&cluster, &admin, json!({"consumer": "audit", "pattern": "system.#"})).await;
    // Some came twice from their outbox.
    router.append_topics("own", 10_000, &some[..100]).await.unwrap();
    eventually("all are done", || async {
        let state = cluster.app(1).router.measure_topics("own").await.unwrap();
        let group = state.groups.iter().find(|group| group.name == "audit").unwrap();
        group.waiting() == 0
    })
    .await;
    assert_eq!(audited(&cluster).await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_done_again_is_in_no_list_twice() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    subscribe(&cluster, &admin, json!({"consumer": "alert", "pattern": "system.#"})).await;
    let one = events(1);
    let router = &cluster.app(0).router;
    router.append_topics("own", 1_000, &one).await.unwrap();
    eventually("told", || async { titles(&cluster, &admin).await.len() == 1 }).await;
    // As by a node that told the administrators and died before it had said so.
    let directory = cluster.databases.directory().await;
    eventually("it has said so", || async { directory.execute("delete from topic_handled", &[]).await.unwrap() == 1 })
        .await;
    router.append_topics("own", 1_000, &one).await.unwrap();
    eventually("it is done again", || async {
        directory.query_one("select count(*) from topic_handled", &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    assert_eq!(titles(&cluster, &admin).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_subscribe_and_a_pattern_is_a_pattern() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let alice = cluster.user("alice").await;
    let good = json!({"consumer": "alert", "pattern": "system.#"});
    alice.post(&cluster, 0, "/admin/subscriptions", good.clone()).await.refused(403, "forbidden");
    alice.get(&cluster, 0, "/admin/dead-letters").await.refused(403, "forbidden");
    let url = format!("{}/api/v1/admin/subscriptions", cluster.url(0));
    crate::support::client::call(&cluster.http, Method::GET, &url, None, None).await.refused(401, "unauthorized");
    for (field, body) in [
        ("consumer", json!({"consumer": "other", "pattern": "system.#"})),
        ("pattern", json!({"consumer": "alert", "pattern": "system..x"})),
        ("pattern", json!({"consumer": "alert", "pattern": "%"})),
        ("level", json!({"consumer": "alert", "pattern": "#", "level": "loud"})),
    ] {
        let answer = admin.post(&cluster, 0, "/admin/subscriptions", body).await;
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
        answer.refused(422, "invalid_request");
    }
    admin.post(&cluster, 0, "/admin/subscriptions", good).await.expect(201);
    let page = admin.get(&cluster, 1, "/admin/subscriptions").await.expect(200);
    assert_eq!((&page["items"][0]["pattern"], &page["items"][0]["created_by"]), (&json!("system.#"), &json!(admin.id)));
    let unknown = format!("/admin/subscriptions/{}", Uuid::new_v4());
    admin.delete(&cluster, 0, &unknown).await.refused(404, "not_found");
}
