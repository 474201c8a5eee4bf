//! What is recalled is read nowhere: in a thousand rounds, at all places that show what was written, and in the end in every table of
//! every database and under every key of Redis. (What was sent on before, by whom it was told, is a message of his own, and stays. So
//! do, for some time, pages of the databases' files that no query reads.)

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{ROUNDS_EACH, cluster, group, id_of, run_parts, stay, text};
use crate::support::redis_wire::redis;
use crate::support::services::services;
use crate::support::{Cluster, DEADLINE, Device, User, eventually};

/// In every text that is recalled, and in nothing else.
const SECRET: &str = "qzsecretzq";
/// In a text that stays: the look into databases would find a secret as it finds this.
const CONTROL: &str = "qzcontrolzq";

/// Who has written, is mentioned, quotes, comes back, rules.
struct People {
    alice: User,
    bob: User,
    carol: User,
    admin: User,
}

/// Places of REST that show what a user may see: who asks, and where. What is there in two ways is asked for in turn.
fn places<'a>(people: &'a People, team: &str, said: &Value, word: &str, round: usize) -> Vec<(&'a User, String)> {
    let People { alice, bob, carol, admin } = people;
    let (message, before) = (id_of(said), said["seq"].as_i64().unwrap() - 1);
    let ways = [
        [
            (bob, format!("/conversations/{team}/messages?limit=20")),
            (alice, format!("/groups/{team}/messages?after_seq={before}")),
        ],
        [(bob, "/conversations".to_owned()), (alice, "/groups".to_owned())],
        [
            (bob, format!("/messages/search?q={word}")),
            (alice, format!("/messages/search?q={word}&conversation_id={team}")),
        ],
        [
            (bob, format!("/conversations/{team}/export?format=html")),
            (alice, format!("/groups/{team}/export?format=jsonl")),
        ],
        [(bob, "/notifications?limit=200".to_owned()), (alice, "/notifications".to_owned())],
        [(bob, format!("/groups/{team}/pins")), (alice, format!("/messages/{message}/receipts"))],
        [(carol, format!("/conversations/{team}")), (carol, "/messages/unread-count".to_owned())],
    ];
    // An account's export is long, and what administrators see grows with the rounds of all.
    let long = [
        (alice, "/users/me/export"),
        (admin, "/admin/audit?limit=20"),
        (bob, "/users/me/export"),
        (admin, "/admin/stats"),
        (admin, "/admin/users?limit=20"),
        (admin, "/admin/dead-letters"),
        (admin, "/events"),
        (admin, "/broadcasts"),
    ];
    let (user, path) = long[round % long.len()];
    ways.into_iter()
        .map(|[one, other]| if round.is_multiple_of(2) { one } else { other })
        .chain([(user, path.to_owned())])
        .collect()
}

/// Asks again while there are too many exports at once.
async fn read_place(cluster: &Cluster, node: usize, user: &User, path: &str) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = user.get(cluster, node, path).await;
        if !(answer.status == 503 && path.ends_with("export")) || Instant::now() > deadline {
            return answer.expect(200);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recalled_text_is_read_nowhere() {
    let cluster = cluster().await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    // Whatever is told of messages by topic goes to the audit log, over the outbox and Redis.
    let wanted = json!({"consumer": "audit", "pattern": "chat.message.conversation.*"});
    admin.post(&cluster, 0, "/admin/subscriptions", wanted).await.expect(201);
    eventually("all nodes know it", || async { (0..3).all(|node| cluster.app(node).subscriptions.has_any()) }).await;
    run_parts(&cluster, move |cluster, part| recalled_part(cluster, part, admin.clone())).await;
    look_into_databases(&cluster).await;
    look_into_redis(&cluster).await;
}

async fn recalled_part(cluster: Arc<Cluster>, part: usize, admin: User) {
    let cluster = &*cluster;
    let people = People {
        alice: cluster.user(&format!("alice{part}")).await,
        bob: cluster.user(&format!("bob{part}")).await,
        carol: cluster.user(&format!("carol{part}")).await,
        admin,
    };
    let People { alice, bob, carol, .. } = &people;
    let team = group(cluster, alice, &[bob, carol]).await;
    let other = group(cluster, bob, &[carol]).await;
    let path = format!("/conversations/{team}/messages");
    alice.post(cluster, 0, &path, text(CONTROL)).await.expect(201);
    let mut device = bob.connect(cluster, part % 3).await;
    let (_, mut cursor) = device.sync(json!({})).await;
    for round in 0..ROUNDS_EACH {
        let word = format!("{SECRET}{part}x{round}x");
        let node = |turn: usize| (part + round + turn) % 3;
        // With all that a text may have around it: a mention, what clients keep beside it, an edit, a pin, a reaction, quotes.
        let mut body = text(&format!("the {word} first"));
        body["mentions"] = json!([bob.id]);
        body["metadata"] = json!({"note": word});
        let said = alice.post(cluster, node(0), &path, body.clone()).await.expect(201);
        let message = format!("/messages/{}", id_of(&said));
        if round % 2 == 0 {
            let edit = json!({"content": format!("the {word} edited")});
            alice.patch(cluster, node(1), &message, edit).await.expect(200);
        }
        if round % 3 == 0 {
            alice.put(cluster, node(2), &format!("{message}/pin"), json!({})).await.expect(200);
        }
        let mut quote = text("quoting");
        quote["reply_to"] = said["id"].clone();
        bob.post(cluster, node(1), &path, quote).await.expect(201);
        bob.put(cluster, node(2), &format!("{message}/reactions/x"), json!({})).await.expect(200);
        let recalled = alice.post(cluster, node(round), &format!("{message}/recall"), json!({})).await.expect(200);

        // From here on nothing that is begun shows it.
        let mut read = vec![("recall", recalled)];
        for (turn, (user, path)) in places(&people, &team, &said, &word, round).into_iter().enumerate() {
            let shown = read_place(cluster, node(turn), user, &path).await;
            if path.starts_with("/messages/search") {
                assert_eq!(shown["items"], json!([]), "{path}");
                continue;
            }
            read.push(("REST", shown));
        }
        // The same send again is answered by what has become of it.
        read.push(("repeat", alice.post(cluster, node(1), &path, body).await.expect(200)));
        // Nobody can send it on any more, or change it: one of these in turn.
        let forward = json!({"conversation_ids": [other], "temp_id": word});
        let (user, method, path, body) = match round % 3 {
            0 => (bob, Method::POST, format!("{message}/forward"), forward),
            1 => (bob, Method::PUT, format!("{message}/reactions/y"), json!({})),
            _ => (alice, Method::PUT, format!("{message}/pin"), json!({})),
        };
        let refused = user.call(method, &format!("{}/api/v1{path}", cluster.url(node(2))), Some(body)).await;
        read.push(("refusal", refused.body.clone()));
        refused.refused(409, "not_editable");
        // Who is there, who comes back, who comes for the first time on a device.
        stay(&device).await;
        device.take_waiting();
        let (pages, next) = device.sync(json!({"cursor": cursor})).await;
        cursor = next;
        read.push(("sync by cursor", json!(pages)));
        let after = json!({"conversation_id": team, "after_seq": said["seq"].as_i64().unwrap() - 1});
        read.push(("sync by conversation", json!(device.sync(json!({"conversations": [after]})).await.0)));
        if round % 5 == 0 {
            read.push(("first sync", json!(device.sync(json!({})).await.0)));
            let mut fresh = carol.connect(cluster, node(1)).await;
            fresh.find(DEADLINE, |frame| frame["type"] == "sync").await.expect("offline delivery ends");
            read.push(("offline delivery", json!(fresh.take_waiting())));
            fresh.close().await;
            fresh.closed().await;
        }
        for (place, shown) in &read {
            assert!(!shown.to_string().contains(SECRET), "round {round}, {place}: {shown}");
        }
    }
}

/// In which tables a text stands, in any column.
async fn tables_with(client: &Client, word: &str) -> Vec<String> {
    let tables = client
        .query(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
             order by 1",
            &[],
        )
        .await
        .unwrap();
    assert!(tables.len() > 10, "the tables are listed");
    let mut found = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        // Columns of bytes are shown in hexadecimal digits.
        let sql = format!(
            "select count(*) from {table} as t
             where t::text like '%' || $1 || '%' or t::text like '%' || encode(convert_to($1, 'UTF8'), 'hex') || '%'"
        );
        if client.query_one(&sql, &[&word]).await.unwrap().get::<_, i64>(0) > 0 {
            found.push(table);
        }
    }
    found
}

async fn look_into_databases(cluster: &Cluster) {
    let mut controls = 0;
    for index in 0..2 {
        let shard = cluster.databases.shard(index).await;
        assert_eq!(tables_with(&shard, SECRET).await, Vec::<String>::new(), "shard {index}");
        controls += tables_with(&shard, CONTROL).await.len();
    }
    assert!(controls >= 2, "a text that was not recalled is found");
    let directory = cluster.databases.directory().await;
    assert_eq!(tables_with(&directory, SECRET).await, Vec::<String>::new());
    assert!(tables_with(&directory, "alice0").await.contains(&"public.account".to_owned()), "a name is found");
}

/// Redis carries deliveries: what was read is trimmed, so the texts go from there soon after they were delivered. What goes by topic
/// never has them.
async fn look_into_redis(cluster: &Cluster) {
    let keys = async || redis(&services().redis.url(), &["KEYS", &format!("{}*", cluster.key_prefix)]).await;
    assert!(!keys().await.is_empty(), "this cluster's keys are found");
    let mut controls = 0;
    for key in keys().await.iter().filter(|key| key.contains("topic")) {
        let held = value_of(key).await;
        controls += usize::from(held.contains("chat.message.conversation"));
        assert!(!held.contains(SECRET), "{key}");
    }
    assert!(controls > 0, "what goes by topic is found");
    eventually("no key of Redis has a recalled text", || async {
        for key in keys().await {
            if value_of(&key).await.contains(SECRET) {
                return false;
            }
        }
        true
    })
    .await;
}

/// All that is under a key, as text; empty where it has gone meanwhile.
async fn value_of(key: &str) -> String {
    let url = services().redis.url();
    let command: &[&str] = match redis(&url, &["TYPE", key]).await[0].as_str() {
        "string" => &["GET", key],
        "hash" => &["HGETALL", key],
        "list" => &["LRANGE", key, "0", "-1"],
        "set" => &["SMEMBERS", key],
        "zset" => &["ZRANGE", key, "0", "-1"],
        "stream" => &["XRANGE", key, "-", "+"],
        "none" => return String::new(),
        other => panic!("{key} is a {other}"),
    };
    redis(&url, command).await.join(" ")
}
