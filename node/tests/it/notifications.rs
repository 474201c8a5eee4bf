//! Notifications, broadcasts and events over REST and live, over several nodes.

use std::time::Duration;

use herald_node::domain::UserId;
use herald_node::service::notifications::notify::{NewNotification, NotificationKind, notify};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::User;
use crate::support::own::OwnRedis;
use crate::support::{Cluster, Setup, eventually_within};

fn new(title: &str) -> NewNotification {
    let data = json!({"n": 1, "text": "李"});
    NewNotification { kind: NotificationKind::Friend, title: title.to_owned(), content: "c".to_owned(), data }
}

/// All pages of a list, `limit` a page.
async fn pages(user: &User, cluster: &Cluster, path: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    let separator = if path.contains('?') { '&' } else { '?' };
    loop {
        let path = format!("{path}{separator}limit={limit}&cursor={cursor}");
        let page = user.get(cluster, 0, &path).await.expect(200);
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return items,
        }
    }
}

fn titles(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["title"].as_str().unwrap()).collect()
}

async fn admin_of(cluster: &Cluster) -> User {
    cluster.user_with_roles("admin", &["admin"]).await
}

async fn broadcast(admin: &User, cluster: &Cluster, title: &str) -> Value {
    admin.post(cluster, 0, "/broadcasts", json!({"title": title, "content": "to all"})).await.expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_is_kept_and_shown_on_all_devices_of_all_nodes() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut devices = [alice.connect(&cluster, 0).await, alice.connect(&cluster, 1).await];
    let mut other = bob.connect(&cluster, 1).await;
    notify(cluster.app(0), &[UserId(alice.id)], new("hello")).await.unwrap();
    let kept = alice.get(&cluster, 1, "/notifications").await.expect(200);
    let item = &kept["items"][0];
    assert_eq!(
        item.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["content", "created_at", "data", "id", "read", "title", "type"]
    );
    assert_eq!((&item["type"], &item["title"], &item["read"]), (&json!("friend"), &json!("hello"), &json!(false)));
    assert_eq!(item["data"], json!({"n": 1, "text": "李"}));
    for device in &mut devices {
        let frame = device.expect("notification").await;
        // State before and the frame make the state after.
        let mut shown = frame["data"].clone();
        shown["id"] = shown["notification_id"].take();
        shown["read"] = json!(false);
        shown.as_object_mut().unwrap().remove("notification_id");
        assert_eq!(&shown, item);
    }
    assert!(other.has_none("notification", Duration::from_millis(300)).await);
    assert_eq!(bob.get(&cluster, 0, "/notifications").await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_read_and_deleted_by_their_own_user_only() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    for title in ["one", "two", "three"] {
        notify(cluster.app(0), &[UserId(alice.id), UserId(bob.id)], new(title)).await.unwrap();
    }
    let list = pages(&alice, &cluster, "/notifications", 2).await;
    assert_eq!(titles(&list), ["three", "two", "one"]);
    let path = |index: usize| format!("/notifications/{}", list[index]["id"].as_str().unwrap());
    let read = alice.post(&cluster, 0, &format!("{}/read", path(1)), json!({})).await.expect(200);
    assert_eq!((&read["id"], &read["read"]), (&list[1]["id"], &json!(true)));
    // Again, and without a body.
    let url = format!("{}/api/v1{}/read", cluster.url(0), path(1));
    assert_eq!(alice.call(reqwest::Method::POST, &url, None).await.expect(200), read);
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications?unread_only=true", 1).await), ["three", "one"]);
    assert_eq!(pages(&bob, &cluster, "/notifications?unread_only=true", 200).await.len(), 3, "another's are another's");

    alice.delete(&cluster, 0, &path(0)).await.expect(204);
    alice.delete(&cluster, 0, &path(0)).await.refused(404, "not_found");
    alice.post(&cluster, 0, &format!("{}/delete", path(1)), json!({})).await.expect(204);
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications?unread_only=false", 200).await), ["one"]);
    alice.post(&cluster, 0, "/notifications/read-all", json!({})).await.expect(204);
    assert!(pages(&alice, &cluster, "/notifications?unread_only=true", 200).await.is_empty());
    assert_eq!(pages(&alice, &cluster, "/notifications", 200).await[0]["read"], json!(true));
    assert_eq!(pages(&bob, &cluster, "/notifications?unread_only=1", 200).await.len(), 3);

    for id in ["nonsense".to_owned(), Uuid::new_v4().to_string()] {
        alice.post(&cluster, 0, &format!("/notifications/{id}/read"), json!({})).await.refused(404, "not_found");
        alice.delete(&cluster, 0, &format!("/notifications/{id}")).await.refused(404, "not_found");
    }
    alice.get(&cluster, 0, "/notifications?unread_only=maybe").await.refused(422, "invalid_request");
    for cursor in ["nonsense", "WzkyMjMzNzIwMzY4NTQ3NzU4MDcsIjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCJd"] {
        alice.get(&cluster, 0, &format!("/notifications?cursor={cursor}")).await.refused(400, "invalid_cursor");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reaches_everyone_now_or_later_and_nobody_who_comes_after_it() {
    let cluster = Cluster::start(3).await;
    let admin = admin_of(&cluster).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut devices = Vec::new();
    for node in 0..3 {
        devices.push(alice.connect(&cluster, node).await);
    }
    let sent = broadcast(&admin, &cluster, "first").await;
    assert_eq!((&sent["type"], &sent["content"]), (&json!("system"), &json!("to all")));
    for device in &mut devices {
        let frame = device.expect("notification").await;
        assert_eq!(frame["data"]["notification_id"], sent["id"]);
        assert_eq!((&frame["data"]["title"], &frame["data"]["type"]), (&json!("first"), &json!("system")));
        assert_eq!((&frame["data"]["created_at"], &frame["data"]["data"]), (&sent["created_at"], &json!({})));
    }
    for device in &mut devices {
        assert!(device.has_none("notification", Duration::from_millis(200)).await, "once");
    }
    let carol = cluster.user("carol").await;
    broadcast(&admin, &cluster, "second").await;
    for (user, seen) in [(&alice, &["second", "first"][..]), (&bob, &["second", "first"]), (&carol, &["second"])] {
        let list = pages(user, &cluster, "/notifications", 1).await;
        assert_eq!(titles(&list), seen);
        assert!(list.iter().all(|item| item["read"] == false));
        assert_eq!(titles(&pages(user, &cluster, "/broadcasts", 1).await), seen);
    }
    carol
        .post(&cluster, 0, &format!("/notifications/{}/read", sent["id"].as_str().unwrap()), json!({}))
        .await
        .refused(404, "not_found");
    let later = cluster.user_with_roles("later", &["admin"]).await;
    assert_eq!(titles(&pages(&later, &cluster, "/broadcasts", 50).await), ["second", "first"]);
    let directory = cluster.databases.directory().await;
    let rows: i64 = directory.query_one("select count(*) from notification", &[]).await.unwrap().get(0);
    assert_eq!(rows, 0, "no row for any user");
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_are_read_and_deleted_by_each_for_oneself() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut ids = Vec::new();
    for number in 0..6 {
        if number % 2 == 0 {
            ids.push(broadcast(&admin, &cluster, &format!("{number}")).await["id"].as_str().unwrap().to_owned());
        } else {
            notify(cluster.app(0), &[UserId(alice.id)], new(&number.to_string())).await.unwrap();
        }
    }
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications", 2).await), ["5", "4", "3", "2", "1", "0"]);
    let read = alice.post(&cluster, 0, &format!("/notifications/{}/read", ids[1]), json!({})).await.expect(200);
    assert_eq!((&read["title"], &read["read"]), (&json!("2"), &json!(true)));
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications?unread_only=true", 2).await), ["5", "4", "3", "1", "0"]);
    alice.delete(&cluster, 0, &format!("/notifications/{}", ids[0])).await.expect(204);
    alice.delete(&cluster, 0, &format!("/notifications/{}", ids[0])).await.refused(404, "not_found");
    alice.post(&cluster, 0, &format!("/notifications/{}/read", ids[0]), json!({})).await.refused(404, "not_found");
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications", 3).await), ["5", "4", "3", "2", "1"]);
    alice.post(&cluster, 0, "/notifications/read-all", json!({})).await.expect(204);
    assert!(pages(&alice, &cluster, "/notifications?unread_only=true", 50).await.is_empty());
    assert_eq!(titles(&pages(&bob, &cluster, "/notifications?unread_only=true", 50).await), ["4", "2", "0"]);
    broadcast(&admin, &cluster, "new").await;
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications?unread_only=true", 50).await), ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_where_they_are_while_more_comes() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    for number in 0..10 {
        notify(cluster.app(0), &[UserId(alice.id)], new(&number.to_string())).await.unwrap();
    }
    let first = alice.get(&cluster, 0, "/notifications?limit=4").await.expect(200);
    broadcast(&admin, &cluster, "new").await;
    notify(cluster.app(0), &[UserId(alice.id)], new("newer")).await.unwrap();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = alice.get(&cluster, 0, &format!("/notifications?cursor={cursor}")).await.expect(200);
    let all = [first["items"].as_array().unwrap().clone(), rest["items"].as_array().unwrap().clone()].concat();
    assert_eq!(titles(&all), ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]);
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_at_once_on_all_nodes_reach_everyone_once_and_in_one_order_also_without_redis() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(3).redis(&redis.url()).start().await;
    let admin = admin_of(&cluster).await;
    let mut devices = Vec::new();
    for node in 0..3 {
        let user = cluster.user(&format!("user-{node}")).await;
        devices.push(user.connect(&cluster, node).await);
    }
    for is_redis_there in [true, false] {
        if !is_redis_there {
            redis.kill();
        }
        let sends = (0..30).map(|number| {
            let (admin, cluster) = (&admin, &cluster);
            async move {
                let body = json!({"title": number.to_string(), "content": "x"});
                admin.post(cluster, number % 3, "/broadcasts", body).await.expect(201)["id"].clone()
            }
        });
        let mut ids = futures_util::future::join_all(sends).await;
        let mut orders = Vec::new();
        for device in &mut devices {
            let mut order = Vec::new();
            for _ in 0..30 {
                order.push(device.expect("notification").await["data"]["notification_id"].clone());
            }
            orders.push(order);
        }
        assert!(orders.iter().all(|order| *order == orders[0]), "with Redis: {is_redis_there}");
        orders[0].sort_by_key(ToString::to_string);
        ids.sort_by_key(ToString::to_string);
        assert_eq!(orders[0], ids);
        for device in &mut devices {
            assert!(device.has_none("notification", Duration::from_millis(200)).await, "once");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_reported_by_anyone_and_read_by_administrators() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    let report = async |kind: &str, level: &str| {
        let body = json!({"type": kind, "level": level, "payload": {"n": 1}});
        alice.post(&cluster, 0, "/events", body).await.expect(201)
    };
    let first = report("app.start", "info").await;
    assert_eq!((&first["user_id"], &first["payload"]), (&json!(alice.id), &json!({"n": 1})));
    report("app.crash", "critical").await;
    report("app.start", "debug").await;
    let found = async |query: &str| {
        let items = pages(&admin, &cluster, &format!("/events{query}"), 1).await;
        items.iter().map(|event| format!("{} {}", event["type"], event["level"])).collect::<Vec<_>>()
    };
    let (start, crash, debug) = (r#""app.start" "info""#, r#""app.crash" "critical""#, r#""app.start" "debug""#);
    assert_eq!(found("").await, [debug, crash, start]);
    assert_eq!(found("?type=app.start").await, [debug, start]);
    assert_eq!(found("?type=app.start&level=info").await, [start]);
    assert_eq!(found("?level=critical").await, [crash]);
    assert_eq!(found("?since=2026-01-01T00:00:00Z&type=").await.len(), 3);
    assert!(found("?since=9000-01-01T00:00:00Z").await.is_empty());
    for bad in ["since=yesterday", "level=fatal", "limit=0", "since=2026-01-01"] {
        admin.get(&cluster, 0, &format!("/events?{bad}")).await.refused(422, "invalid_request");
    }
    for bad in [
        json!({"level": "info"}),
        json!({"type": "x"}),
        json!({"type": "", "level": "info"}),
        json!({"type": "x", "level": "fatal"}),
        json!({"type": "x".repeat(101), "level": "info"}),
        json!({"type": "x", "level": "info", "payload": {"x": "y".repeat(20_000)}}),
        json!({"type": 5, "level": "info"}),
    ] {
        alice.post(&cluster, 0, "/events", bad).await.refused(422, "invalid_request");
    }
    alice.get(&cluster, 0, "/events").await.refused(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reports_too_much_waits() {
    let cluster = Setup::nodes(1).set("max_messages_per_second", 2).start().await;
    let alice = cluster.user("alice").await;
    let mut refused = None;
    for _ in 0..10 {
        let answer = alice.post(&cluster, 0, "/events", json!({"type": "x", "level": "info"})).await;
        if answer.status != 201 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("some are refused");
    assert!(refused.headers.contains_key("retry-after"));
    refused.refused(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_unicode_comes_back_in_notifications() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    let mut a = alice.connect(&cluster, 0).await;
    let edges = "\u{1}\u{7f}\u{d7ff}\u{e000}\u{ffff}\u{10ffff}\"\\/\r\n\t\u{2028}\u{202e}e\u{301}👩‍👩‍👧‍👦 % _ ' $1";
    let body = json!({"title": edges, "content": edges, "data": {edges: edges}});
    let sent = admin.post(&cluster, 0, "/broadcasts", body).await.expect(201);
    let listed = &pages(&alice, &cluster, "/notifications", 50).await[0];
    let frame = a.expect("notification").await;
    for shown in [&sent, listed, &frame["data"]] {
        assert_eq!((&shown["title"], &shown["content"]), (&json!(edges), &json!(edges)));
        assert_eq!(shown["data"], json!({edges: edges}));
    }
    for bad in [
        json!({"title": "", "content": "x"}),
        json!({"title": "x".repeat(201), "content": "x"}),
        json!({"title": "x", "content": "x".repeat(10_001)}),
        json!({"title": "x"}),
        json!({"title": "x", "content": "x", "data": [1]}),
    ] {
        admin.post(&cluster, 0, "/broadcasts", bad).await.refused(422, "invalid_request");
    }
    let url = format!("{}/api/v1/broadcasts", cluster.url(0));
    let response = cluster.http.post(url).bearer_auth(admin.token()).header("content-type", "application/json");
    let response = response.body(r#"{"title":"a\u0000","content":"x"}"#).send().await.unwrap();
    assert_eq!(response.status(), 422);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "invalid_text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_does_not_tell_again_what_is_in_the_list() {
    let mut cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    cluster.stop(1).await;
    broadcast(&admin, &cluster, "while away").await;
    cluster.start_again(1).await;
    let mut a = alice.connect(&cluster, 1).await;
    broadcast(&admin, &cluster, "after").await;
    assert_eq!(a.expect("notification").await["data"]["title"], "after");
    assert!(a.has_none("notification", Duration::from_millis(200)).await);
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications", 50).await), ["after", "while away"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_between_a_broadcast_and_its_telling_is_shown_what_its_list_has() {
    let cluster = Cluster::start(2).await;
    let alice = cluster.user("alice").await;
    let mut before = alice.connect(&cluster, 1).await;
    // As the nodes find it that have not heard of it yet.
    let directory = cluster.databases.directory().await;
    let sql = "insert into broadcast (number, id, kind, title, content, data, created_by, created_at)
               values (1, gen_random_uuid(), 'system', 'early', 'c', '{}', gen_random_uuid(), clock_timestamp())";
    directory.batch_execute(sql).await.unwrap();
    let carol = cluster.user("carol").await;
    let mut new = carol.connect(&cluster, 1).await;
    let mut after = alice.connect(&cluster, 1).await;
    directory.batch_execute("insert into change (kind, subject) values ('broadcast', '1')").await.unwrap();
    for device in [&mut before, &mut after] {
        assert_eq!(device.expect("notification").await["data"]["title"], "early");
    }
    assert!(new.has_none("notification", Duration::from_millis(200)).await);
    assert!(pages(&carol, &cluster, "/notifications", 50).await.is_empty());
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}

/// `cargo test -p herald-node --test it figures_of_lists -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures, not a test: a million users and notifications are made first"]
async fn figures_of_lists_and_of_finding_users() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    let directory = cluster.databases.directory().await;
    let fill = [
        "insert into account (id, username, username_key, display_name)
         select gen_random_uuid(), 'user-' || n, 'user-' || n, 'Person ' || n from generate_series(1, 1000000) n",
        "insert into search_name (user_id, name, word) select a.id, w.name, w.name from account a,
         lateral (values (a.username_key), ('person ' || split_part(a.username, '-', 2)), (split_part(a.username, '-', 2)))
         w(name) where a.username like 'user-%' on conflict do nothing",
        "update account set email = username || '@example.org', email_key = username_key || '@example.org', is_indexed = true
         where username like 'user-%'",
        "update account set disabled_at = now() where username like 'user-%77'",
        "insert into notification (user_id, id, kind, title, content, data, created_at)
         select u.id, gen_random_uuid(), 'friend', 't', 'c', '{}', clock_timestamp() - n * interval '1 minute'
         from (select id from account limit 10000) u, generate_series(1, 100) n",
        "insert into broadcast (number, id, kind, title, content, data, created_by, created_at)
         select n, gen_random_uuid(), 'system', 't', 'c', '{}', gen_random_uuid(), clock_timestamp() - (1000 - n) * interval '1 hour'
         from generate_series(1, 1000) n",
        "analyze",
    ];
    for sql in fill {
        directory.batch_execute(sql).await.unwrap();
    }
    let sql = "insert into notification (user_id, id, kind, title, content, data, created_at)
               select $1, gen_random_uuid(), 'friend', 't', 'c', '{}', clock_timestamp() - n * interval '1 minute'
               from generate_series(1, 50000) n";
    directory.execute(sql, &[&alice.id]).await.unwrap();
    let measure = async |what: &str, user: &User, path: &str| {
        let mut times = Vec::new();
        for _ in 0..200 {
            let begun = std::time::Instant::now();
            user.get(&cluster, 0, path).await.expect(200);
            times.push(begun.elapsed());
        }
        println!("{what}: {}", percentiles(times));
    };
    measure("first page of 50,000 and 1,000 broadcasts", &alice, "/notifications").await;
    measure("unread only", &alice, "/notifications?unread_only=true").await;
    let mut page = alice.get(&cluster, 0, "/notifications?limit=200").await.expect(200);
    for _ in 0..50 {
        let cursor = page["next_cursor"].as_str().unwrap();
        page = alice.get(&cluster, 0, &format!("/notifications?limit=200&cursor={cursor}")).await.expect(200);
    }
    let deep = format!("/notifications?cursor={}", page["next_cursor"].as_str().unwrap());
    measure("the page after 10,200", &alice, &deep).await;
    let begun = std::time::Instant::now();
    alice.post(&cluster, 0, "/notifications/read-all", json!({})).await.expect(204);
    println!("read-all of 50,000: {:?}", begun.elapsed());
    measure("unread only, all read", &alice, "/notifications?unread_only=true").await;
    for query in ["", "u", "user-99999", "person 7", "7", "user-77777@", "nobody has this"] {
        let mut times = Vec::new();
        for _ in 0..50 {
            let begun = std::time::Instant::now();
            let answer = admin.get(&cluster, 0, &format!("/admin/users?query={query}")).await;
            times.push(begun.elapsed());
            answer.expect(200);
        }
        println!("finding {query:?} among 1,000,000 users: {}", percentiles(times));
    }
    measure("stats", &admin, "/admin/stats").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_on_another_node_while_redis_is_away_is_shown_it_all_the_same() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(2).redis(&redis.url()).start().await;
    let admin = admin_of(&cluster).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut here = alice.connect(&cluster, 0).await;
    let mut there = alice.connect(&cluster, 1).await;
    redis.kill();
    let away = async || !cluster.app(0).router.is_up() && !cluster.app(1).router.is_up();
    eventually_within(Duration::from_secs(15), "both nodes see it", away).await;
    bob.post(&cluster, 0, "/friends/request", json!({"user_id": alice.id})).await.expect(201);
    let body = json!({"user_ids": [alice.id], "title": "by an admin", "content": "x"});
    admin.post(&cluster, 0, "/admin/notifications", body).await.expect(201);
    let wanted = ["Friend request", "by an admin"];
    for title in wanted {
        assert_eq!(here.expect("notification").await["data"]["title"], title, "at once on the same node");
    }
    assert_eq!(titles(&pages(&alice, &cluster, "/notifications", 50).await), ["by an admin", "Friend request"]);
    for title in wanted {
        assert_eq!(there.expect("notification").await["data"]["title"], title, "a second later on another");
    }
    for device in [&mut here, &mut there] {
        assert!(device.has_none("notification", Duration::from_millis(1_500)).await, "once");
    }
}
