//! Events for programs outside, by configuration: each has a stream of its own that it reads in groups, at least once, and that stays
//! within its bounds.

use std::collections::BTreeSet;
use std::time::Duration;

use herald_node::service::events::tidy_outboxes::tidy_outboxes;
use herald_node::storage::{migrate, provision};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::own::{OwnPostgres, OwnRedis};
use crate::support::redis_wire::redis;
use crate::support::{Cluster, DEADLINE, Setup, eventually_within};

/// With a subscription `billing` on all nodes.
fn setup(topics: &'static [&'static str], entries_max: u32, bytes_max: u64) -> Setup {
    Setup::nodes(2).set("enable_first_message_limit", false).configure(move |config| {
        let subscription = config.events.subscriptions.entry("billing".to_owned()).or_default();
        subscription.topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        subscription.entries_max = entries_max;
        subscription.bytes_max = bytes_max;
    })
}

async fn soon(what: &str, condition: impl AsyncFnMut() -> bool) {
    eventually_within(DEADLINE, what, condition).await;
}

async fn ask(cluster: &Cluster, command: &[&str]) -> Vec<String> {
    redis(&cluster.config(0).redis.urls[0], command).await
}

fn stream(cluster: &Cluster) -> String {
    format!("{}topics:billing", cluster.key_prefix)
}

/// A program outside: reads with a group, which it makes where it is missing, as the README says. Topics and events.
async fn read(cluster: &Cluster, group: &str) -> Vec<(String, Value)> {
    let stream = stream(cluster);
    if ask(cluster, &["EXISTS", &stream]).await == ["0"] {
        return Vec::new();
    }
    let groups = ask(cluster, &["XINFO", "GROUPS", &stream]).await;
    if !groups.iter().any(|word| word == group) {
        ask(cluster, &["XGROUP", "CREATE", &stream, group, "0"]).await;
    }
    let words =
        ask(cluster, &["XREADGROUP", "GROUP", group, "consumer", "COUNT", "10000", "STREAMS", &stream, ">"]).await;
    entries(words.get(1..).unwrap_or_default())
}

/// Each is a place and four words: `topic`, the topic, `event`, the event.
fn entries(words: &[String]) -> Vec<(String, Value)> {
    let entries = words.chunks_exact(5);
    assert!(entries.remainder().is_empty(), "{words:?}");
    entries
        .map(|words| {
            assert_eq!((words[1].as_str(), words[3].as_str()), ("topic", "event"));
            (words[2].clone(), serde_json::from_str(&words[4]).unwrap())
        })
        .collect()
}

async fn outbox_topics(cluster: &Cluster) -> Vec<String> {
    let mut all = Vec::new();
    for client in
        [cluster.databases.directory().await, cluster.databases.shard(0).await, cluster.databases.shard(1).await]
    {
        let rows = client.query("select topic from outbox order by created_at", &[]).await.unwrap();
        all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_outside_reads_what_the_configuration_names_and_nobody_pays_for_the_rest() {
    let cluster = setup(&["chat.message.conversation.*", "user.status.#"], 1_000, 1 << 20).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut phone = alice.connect(&cluster, 0).await;
    let sent = phone.say(bob.id, "a secret").await;
    alice.post(&cluster, 1, "/events", json!({"type": "card", "level": "error"})).await.expect(201);
    alice.post(&cluster, 1, "/groups", json!({"name": "team", "members": [bob.id]})).await.expect(201);
    let mut seen = Vec::new();
    soon("the message and the presence are read", async || {
        seen.extend(read(&cluster, "invoices").await);
        ["chat.", "user."].iter().all(|first| seen.iter().any(|(topic, _)| topic.starts_with(first)))
    })
    .await;
    let message = seen.iter().find(|(topic, _)| topic.starts_with("chat.")).unwrap();
    assert_eq!(message.0, format!("chat.message.conversation.{}", sent["conversation_id"].as_str().unwrap()));
    assert_eq!(message.1["data"]["message_id"], sent["message_id"]);
    assert_eq!((&message.1["data"]["sender_id"], &message.1["created_at"]), (&json!(alice.id), &sent["created_at"]));
    assert!(message.1["id"].as_str().is_some_and(|id| Uuid::parse_str(id).is_ok()));
    assert!(!message.1.to_string().contains("a secret"));
    let online = json!({"user_id": alice.id, "status": "online"});
    assert!(
        seen.iter()
            .any(|(topic, event)| *topic == format!("user.status.online.{}", alice.id) && event["data"] == online)
    );
    // Another group has all of it too, and what nobody subscribes to is written nowhere.
    assert_eq!(read(&cluster, "another").await.len(), seen.len());
    assert_eq!(outbox_topics(&cluster).await, [message.0.as_str()]);
    let own = format!("{}topics:own", cluster.key_prefix);
    assert_eq!(ask(&cluster, &["EXISTS", &own]).await, ["0"], "no administrator wishes to know");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_conversation_are_told_without_its_words() {
    let cluster = setup(&["system.notification.conversation.*"], 1_000, 1 << 20).start().await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let made = alice.post(&cluster, 0, "/groups", json!({"name": "hush", "members": [bob.id]})).await.expect(201);
    let group = made["id"].as_str().unwrap().to_owned();
    let path = |rest: &str| format!("/groups/{group}{rest}");
    alice.put(&cluster, 1, &path(""), json!({"name": "hush 2", "announcement": "hush 3"})).await.expect(200);
    alice.post(&cluster, 0, &path("/members"), json!({"user_ids": [carol.id]})).await.expect(200);
    let member = |user: Uuid, rest: &str| path(&format!("/members/{user}{rest}"));
    alice.post(&cluster, 1, &member(bob.id, "/role"), json!({"role": "admin"})).await.expect(200);
    let until = "2099-01-01T00:00:00.000Z";
    alice.post(&cluster, 1, &member(carol.id, "/mute"), json!({"muted_until": until})).await.expect(200);
    let mut phone = bob.connect(&cluster, 0).await;
    phone.say_in(&group, "hush 4").await;
    bob.post(&cluster, 0, &path("/leave"), json!({})).await;
    alice.delete(&cluster, 0, &member(carol.id, "")).await.expect(204);
    alice.delete(&cluster, 0, &path("")).await.expect(204);
    let mut seen = Vec::new();
    soon("all are read", async || {
        seen.extend(read(&cluster, "group").await);
        seen.len() >= 8
    })
    .await;
    let topic = format!("system.notification.conversation.{group}");
    assert!(seen.iter().all(|(of, event)| *of == topic && event["data"]["conversation_id"] == *group));
    let data: Vec<&Value> = seen.iter().map(|(_, event)| &event["data"]).collect();
    let actions: Vec<&str> = data.iter().map(|data| data["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "created",
            "updated",
            "member_added",
            "role_changed",
            "member_muted",
            "member_left",
            "member_removed",
            "dissolved"
        ]
    );
    assert_eq!(data.iter().map(|data| data["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 7, 8, 9]);
    assert_eq!(
        (&data[0]["kind"], &data[0]["member_count"], &data[0]["by"]),
        (&json!("group"), &json!(2), &json!(alice.id))
    );
    assert_eq!(data[1]["fields"], json!(["title", "announcement"]));
    assert_eq!(data[2]["user_ids"], json!([carol.id]));
    assert_eq!((&data[3]["user_id"], &data[3]["role"]), (&json!(bob.id), &json!("admin")));
    assert_eq!((&data[4]["user_id"], &data[4]["muted_until"]), (&json!(carol.id), &json!(until)));
    assert_eq!((&data[5]["user_ids"], &data[5]["by"]), (&json!([bob.id]), &json!(bob.id)));
    assert!(!format!("{seen:?}").contains("hush"), "{seen:?}");
}

/// Writes events into the directory's outbox, as what happens does.
async fn fill(cluster: &Cluster, count: i32, bytes: i32) {
    let sql = "insert into outbox (id, topic, payload, created_at)
               select gen_random_uuid(), 'system.event', json_build_object('number', n, 'text', repeat('x', $2::int4))::text,
                      clock_timestamp() + n * interval '1 microsecond' from generate_series(1, $1::int4) n";
    cluster.databases.directory().await.execute(sql, &[&count, &bytes]).await.unwrap();
}

async fn waiting(cluster: &Cluster) -> i64 {
    let client = cluster.databases.directory().await;
    client.query_one("select count(*) from outbox where published_at is null", &[]).await.unwrap().get(0)
}

async fn metrics(cluster: &Cluster) -> String {
    reqwest::get(format!("{}/metrics", cluster.internal_url(0))).await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_stays_within_its_entries_and_bytes_and_shows_how_far_its_readers_are() {
    let cluster = setup(&["system.#"], 1_000, 100 << 10).start().await;
    fill(&cluster, 1, 1).await;
    soon("it is read", async || !read(&cluster, "slow").await.is_empty()).await;
    fill(&cluster, 3_000, 10).await;
    soon("all are published", async || waiting(&cluster).await == 0).await;
    let length = async || ask(&cluster, &["XLEN", &stream(&cluster)]).await[0].parse::<u64>().unwrap();
    assert!((900..1_300).contains(&length().await), "{}", length().await);
    fill(&cluster, 1_000, 1_000).await;
    let bytes = async || ask(&cluster, &["MEMORY", "USAGE", &stream(&cluster)]).await[0].parse::<u64>().unwrap();
    soon("it is cut to its bytes", async || waiting(&cluster).await == 0 && bytes().await < 150 << 10).await;
    assert!(length().await > 10, "and no more than that: {}", length().await);
    let labels = "{stream=\"billing\",group=\"slow\"}";
    soon("the lag is shown", async || {
        let text = metrics(&cluster).await;
        let of = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name}{labels}")))?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        of("herald_topics_group_pending") == Some(1.0)
            && of("herald_topics_group_unread").is_some_and(|unread| unread > 10.0)
    })
    .await;
    for name in [
        "herald_topics_stream_entries{",
        "herald_topics_stream_bytes{",
        "herald_topics_waiting{",
        "herald_topics_waiting_seconds{",
    ] {
        assert!(metrics(&cluster).await.contains(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_forgets_is_in_the_stream_again_in_its_order() {
    let mut own = OwnRedis::start().await;
    let cluster = setup(&["system.#"], 10_000, 10 << 20).redis(&own.url()).start().await;
    fill(&cluster, 1_200, 1).await;
    let mut before = Vec::new();
    soon("all are read", async || {
        before.extend(read(&cluster, "group").await);
        before.len() >= 1_200
    })
    .await;
    let numbers = |seen: &[(String, Value)]| -> Vec<i64> {
        seen.iter().map(|(_, event)| event["data"]["number"].as_i64().unwrap()).collect()
    };
    assert_eq!(numbers(&before), (1..=1_200).collect::<Vec<_>>(), "in order, and once while nothing goes wrong");
    own.kill();
    fill(&cluster, 10, 1).await;
    own.start_again().await;
    let mut after = Vec::new();
    eventually_within(Duration::from_secs(30), "all are there again", async || {
        after.extend(read(&cluster, "group").await);
        after.len() >= 1_210
    })
    .await;
    let mut ids: BTreeSet<String> = before.iter().map(|(_, event)| event["id"].to_string()).collect();
    after.retain(|(_, event)| ids.remove(&event["id"].to_string()));
    assert_eq!(numbers(&after), (1..=1_200).collect::<Vec<_>>(), "in order, and known by their ids");
    assert_eq!(waiting(&cluster).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_is_bounded_while_redis_is_away_and_says_what_it_dropped() {
    let mut own = OwnRedis::start().await;
    let cluster = setup(&["system.#"], 1_000, 1 << 20)
        .redis(&own.url())
        .configure(|config| config.events.outbox_rows_max = 100)
        .start()
        .await;
    fill(&cluster, 50, 1).await;
    soon("they are published", async || waiting(&cluster).await == 0).await;
    own.kill();
    soon("it is away", async || !cluster.app(0).router.is_up() && !cluster.app(1).router.is_up()).await;
    fill(&cluster, 120, 1).await;
    tidy_outboxes(cluster.app(0)).await.unwrap();
    let client = cluster.databases.directory().await;
    let rows = client.query("select payload from outbox order by created_at", &[]).await.unwrap();
    let number = |index: usize| serde_json::from_str::<Value>(rows[index].get(0)).unwrap()["number"].as_i64().unwrap();
    assert_eq!((rows.len(), number(0), number(99)), (100, 21, 120), "those that were published first, then the oldest");
    assert!(metrics(&cluster).await.contains("herald_topics_dropped_total{database=\"directory\"} 20"));
    tidy_outboxes(cluster.app(0)).await.unwrap();
    assert_eq!(waiting(&cluster).await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_holds_up_no_events_of_others_and_makes_none_come_again() {
    let mut server = OwnPostgres::start().await;
    provision::create_database(&server.options.url("postgres"), "shard").await.unwrap();
    let url = server.options.url("shard");
    let range = Cluster::start(1).await.config(0).shards[0].slot_range().unwrap();
    migrate::migrate_shard("shard", &url, range).await.unwrap();
    // The first of two: what comes after it in the round is what would wait.
    let cluster = setup(&["#"], 10_000, 10 << 20).shard_urls(&[url]).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    fill(&cluster, 10, 1).await;
    let mut seen = Vec::new();
    soon("they are read", async || {
        seen.extend(read(&cluster, "group").await);
        seen.len() >= 10
    })
    .await;
    server.kill();
    // Redis forgets as well: all is to be published once more, but once.
    ask(&cluster, &["DEL", &stream(&cluster)]).await;
    ask(&cluster, &["DEL", &format!("{}lock:{{relay_topics}}", cluster.key_prefix)]).await;
    let groups =
        async |name: &str| alice.post(&cluster, 0, "/groups", json!({"name": name, "members": [bob.id]})).await;
    soon("one shard still makes groups", async || groups("a").await.status == 201).await;
    let mut again = Vec::new();
    soon("its notice is read", async || {
        again.extend(read(&cluster, "group").await);
        again.iter().any(|(topic, _)| topic.starts_with("system.notification"))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    again.extend(read(&cluster, "group").await);
    let events = again.iter().filter(|(topic, _)| topic == "system.event").count();
    assert_eq!(events, 10, "once more, not in every round");
}
