//! Administration: settings, users, templates, nodes and the audit log, over several nodes.

use std::time::Duration;

use herald_node::domain::UserId;
use herald_node::domain::search_name::SearchQuery;
use herald_node::storage::directory::admin_accounts;
use herald_node::storage::{Database, Directory};
use herald_node::tasks::Tasks;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{User, call};
use crate::support::own::OwnRedis;
use crate::support::{Cluster, Databases, Setup, eventually_within};

async fn admin_of(cluster: &Cluster) -> User {
    cluster.user_with_roles("admin", &["admin"]).await
}

/// The newest entry of the audit log.
async fn last_audit(admin: &User, cluster: &Cluster) -> Value {
    admin.get(cluster, 0, "/admin/audit?limit=1").await.expect(200)["items"][0].clone()
}

async fn audit_count(cluster: &Cluster) -> i64 {
    cluster.databases.directory().await.query_one("select count(*) from audit", &[]).await.unwrap().get(0)
}

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/admin/settings"),
    ("POST", "/admin/settings/recall_window_s"),
    ("POST", "/admin/settings/reload"),
    ("GET", "/admin/notification-templates"),
    ("POST", "/admin/notification-templates"),
    ("GET", "/admin/notification-templates/{id}"),
    ("PATCH", "/admin/notification-templates/{id}"),
    ("DELETE", "/admin/notification-templates/{id}"),
    ("POST", "/admin/notifications"),
    ("GET", "/admin/users"),
    ("GET", "/admin/users/{id}"),
    ("PATCH", "/admin/users/{id}"),
    ("DELETE", "/admin/users/{id}/sessions"),
    ("GET", "/admin/nodes"),
    ("GET", "/admin/stats"),
    ("GET", "/admin/audit"),
    ("POST", "/broadcasts"),
    ("GET", "/events"),
];

#[tokio::test(flavor = "multi_thread")]
async fn administration_is_for_administrators_only() {
    let cluster = Cluster::start(1).await;
    let user = cluster.user("alice").await;
    let moderator = cluster.user_with_roles("moderator", &["user", "moderator"]).await;
    for (method, path) in ROUTES {
        let method: reqwest::Method = method.parse().unwrap();
        for id in [Uuid::new_v4().to_string(), "nonsense".to_owned()] {
            let url = format!("{}/api/v1{}", cluster.url(0), path.replace("{id}", &id));
            // No token is told before a bad body, and no role too.
            for body in [None, Some(json!({}))] {
                call(&cluster.http, method.clone(), &url, None, body.clone()).await.refused(401, "unauthorized");
                user.call(method.clone(), &url, body.clone()).await.refused(403, "forbidden");
                moderator.call(method.clone(), &url, body).await.refused(403, "forbidden");
            }
        }
    }
    assert_eq!(audit_count(&cluster).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_changed_on_every_node_and_audited() {
    let mut redis = OwnRedis::start().await;
    let mut cluster = Setup::nodes(2).redis(&redis.url()).set("recall_window_s", 7).start().await;
    let admin = admin_of(&cluster).await;
    let list = admin.get(&cluster, 1, "/admin/settings").await.expect(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), herald_node::domain::settings::NAMES.len());
    let setting = |items: &[Value], key: &str| items.iter().find(|item| item["key"] == key).unwrap().clone();
    assert_eq!(
        setting(items, "recall_window_s"),
        json!({"key": "recall_window_s", "value": 7, "default": 120, "min": 0, "max": 31_536_000})
    );
    assert_eq!(
        setting(items, "require_friendship"),
        json!({"key": "require_friendship", "value": false, "default": false, "min": null, "max": null})
    );
    let page = admin.get(&cluster, 0, "/admin/settings?limit=5").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = admin.get(&cluster, 0, &format!("/admin/settings?limit=5&cursor={cursor}")).await.expect(200);
    assert_eq!(next["items"][0], items[5]);

    for (is_redis_there, before, value) in [(true, 7, 60), (false, 60, 61)] {
        if !is_redis_there {
            redis.kill();
        }
        let set = admin.post(&cluster, 0, "/admin/settings/recall_window_s", json!({"value": value})).await.expect(200);
        assert_eq!(
            (&set["key"], &set["value"], &set["default"]),
            (&json!("recall_window_s"), &json!(value), &json!(120))
        );
        assert_eq!(cluster.app(0).settings.load().recall_window_s, value, "here at once");
        let limit = Duration::from_secs(if is_redis_there { 1 } else { 2 });
        eventually_within(limit, "the other node follows", async || {
            cluster.app(1).settings.load().recall_window_s == value
        })
        .await;
        let entry = last_audit(&admin, &cluster).await;
        assert_eq!((&entry["action"], &entry["target"]), (&json!("setting.change"), &json!("recall_window_s")));
        assert_eq!((&entry["before"], &entry["after"]), (&json!(before), &json!(value)));
        assert_eq!((&entry["admin_id"], &entry["address"]), (&json!(admin.id), &json!("127.0.0.1")));
    }
    let count = audit_count(&cluster).await;
    for bad in [json!({"value": "x"}), json!({"value": -1}), json!({"value": true}), json!({"value": 1e9}), json!({})] {
        let refused = admin.post(&cluster, 0, "/admin/settings/recall_window_s", bad).await;
        assert_eq!(refused.body["errors"][0]["field"], "value");
        refused.refused(422, "invalid_request");
    }
    admin
        .post(&cluster, 0, "/admin/settings/require_friendship", json!({"value": 1}))
        .await
        .refused(422, "invalid_request");
    admin.post(&cluster, 0, "/admin/settings/nonsense", json!({"value": 1})).await.refused(404, "not_found");
    assert_eq!(audit_count(&cluster).await, count, "what is refused changes nothing");
    cluster.stop(1).await;
    cluster.start_again(1).await;
    assert_eq!(cluster.app(1).settings.load().recall_window_s, 61, "kept over restarts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_reads_what_is_in_the_table_on_every_node() {
    let cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let directory = cluster.databases.directory().await;
    let sql = "insert into setting (key, value, is_initial) values ('edit_window_s', '33', false)";
    directory.execute(sql, &[]).await.unwrap();
    admin.post(&cluster, 0, "/admin/settings/reload", json!({})).await.expect(204);
    assert_eq!(cluster.app(0).settings.load().edit_window_s, 33);
    eventually_within(Duration::from_secs(1), "the other node follows", async || {
        cluster.app(1).settings.load().edit_window_s == 33
    })
    .await;
    assert_eq!(last_audit(&admin, &cluster).await["action"], "settings.reload");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_disabled_and_let_in_again() {
    let cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let (alice, _) = (cluster.user("alice").await, cluster.user("Бob_%").await);
    let found = async |query: &str| {
        let list = admin.get(&cluster, 1, &format!("/admin/users?query={query}")).await.expect(200);
        let mut names: Vec<String> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(found("").await, ["admin", "alice", "Бob_%"]);
    assert_eq!(found("ALI").await, ["alice"]);
    assert_eq!(found("бOB_%25").await, ["Бob_%"]);
    assert!(found("%25").await.is_empty() && found("бob%25").await.is_empty(), "characters are literal");
    assert!(found("nobody").await.is_empty());
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&cluster, 0, &format!("/admin/users?limit=1&cursor={cursor}")).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|user| user["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen.len(), 3);

    let path = format!("/admin/users/{}", alice.id);
    let mut a = alice.connect(&cluster, 1).await;
    let changed = admin.patch(&cluster, 0, &path, json!({"disabled": true})).await.expect(200);
    assert_eq!((&changed["disabled"], &changed["id"]), (&json!(true), &json!(alice.id)));
    assert_eq!(a.closed().await, 4501);
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "old tokens are refused", async || {
            alice.get(&cluster, node, "/users/me").await.status == 401
        })
        .await;
    }
    let entry = last_audit(&admin, &cluster).await;
    assert_eq!((&entry["action"], &entry["target"]), (&json!("user.change"), &json!(alice.id)));
    assert_eq!(entry["before"], json!({"disabled": false, "roles": []}));
    assert_eq!(entry["after"], json!({"disabled": true, "roles": []}));
    let count = audit_count(&cluster).await;
    admin.patch(&cluster, 0, &path, json!({"disabled": true})).await.expect(200);
    admin.patch(&cluster, 0, &path, json!({})).await.expect(200);
    assert_eq!(audit_count(&cluster).await, count, "nothing has changed");
    admin.patch(&cluster, 0, &path, json!({"disabled": false})).await.expect(200);
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "let in again", async || {
            alice.get(&cluster, node, "/users/me").await.status == 200
        })
        .await;
    }
    assert_eq!(admin.get(&cluster, 0, &path).await.expect(200)["disabled"], false);
    for id in ["nonsense".to_owned(), Uuid::new_v4().to_string()] {
        admin
            .patch(&cluster, 0, &format!("/admin/users/{id}"), json!({"disabled": true}))
            .await
            .refused(404, "not_found");
        admin.get(&cluster, 0, &format!("/admin/users/{id}")).await.refused(404, "not_found");
    }
    for bad in [json!({"disabled": "yes"}), json!({"roles": ["root"]}), json!({"roles": "admin"})] {
        admin.patch(&cluster, 0, &path, bad).await.refused(422, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_count_within_seconds_with_old_tokens_too() {
    let cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let bob = cluster.user("bob").await;
    let path = format!("/admin/users/{}", bob.id);
    bob.get(&cluster, 1, "/admin/stats").await.refused(403, "forbidden");
    let old_token = bob.token();
    let status = async |node: usize, token: &str| {
        let url = format!("{}/api/v1/admin/stats", cluster.url(node));
        call(&cluster.http, reqwest::Method::GET, &url, Some(token), None).await.status
    };
    let roles = json!({"roles": ["admin", "user", "admin"]});
    let changed = admin.patch(&cluster, 0, &path, roles).await.expect(200);
    assert_eq!(changed["roles"], json!(["user", "admin"]));
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "given", async || status(node, &old_token).await == 200).await;
    }
    admin.patch(&cluster, 1, &path, json!({"roles": ["moderator"]})).await.expect(200);
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "taken", async || status(node, &old_token).await == 403).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_sees_no_addresses_and_disables_users_only() {
    let cluster = Cluster::start(2).await;
    let (admin, alice) = (admin_of(&cluster).await, cluster.user("alice").await);
    let moderator = cluster.user_with_roles("mod", &["moderator"]).await;
    let directory = cluster.databases.directory().await;
    let sql = "update account set email = 'secret@example.com', email_key = 'secret@example.com' where id = $1";
    directory.execute(sql, &[&alice.id]).await.unwrap();
    let found = async |user: &User, place: &str, query: &str| {
        let list = user.get(&cluster, 0, &format!("/{place}/users?query={query}")).await.expect(200);
        list["items"].as_array().unwrap().clone()
    };
    assert_eq!(found(&admin, "admin", "secret").await.len(), 1);
    assert!(found(&moderator, "moderation", "secret").await.is_empty(), "an address finds nobody");
    let seen = found(&moderator, "moderation", "ali").await;
    assert_eq!((seen.len(), &seen[0]["id"]), (1, &json!(alice.id)));
    assert!(!seen[0].to_string().contains("example.com"));

    let mut a = alice.connect(&cluster, 1).await;
    let path = format!("/moderation/users/{}", alice.id);
    moderator.delete(&cluster, 0, &format!("{path}/sessions")).await.expect(204);
    assert_eq!(a.closed().await, 4501);
    // Roles are not a moderator's to give, and what else is said is ignored.
    let wanted = json!({"disabled": true, "roles": ["admin"]});
    let changed = moderator.patch(&cluster, 0, &path, wanted).await.expect(200);
    assert_eq!((&changed["disabled"], &changed["roles"]), (&json!(true), &json!([])));
    let entry = last_audit(&admin, &cluster).await;
    assert_eq!((&entry["action"], &entry["admin_id"]), (&json!("user.change"), &json!(moderator.id)));
    let back = moderator.patch(&cluster, 1, &path, json!({"disabled": false})).await.expect(200);
    assert_eq!(back["disabled"], false);
    // Who has become their equal meanwhile is out of their reach.
    directory.execute("update account set roles = '{moderator}' where id = $1", &[&alice.id]).await.unwrap();
    let count = audit_count(&cluster).await;
    moderator.patch(&cluster, 0, &path, json!({"disabled": true})).await.refused(403, "forbidden");
    moderator.delete(&cluster, 0, &format!("{path}/sessions")).await.refused(403, "forbidden");
    assert_eq!(audit_count(&cluster).await, count);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_stays() {
    let cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let own = format!("/admin/users/{}", admin.id);
    for change in [json!({"roles": []}), json!({"roles": ["moderator"]}), json!({"disabled": true})] {
        admin.patch(&cluster, 0, &own, change).await.refused(403, "forbidden");
    }
    // Two administrators take each other's role at once, on two nodes: one stays.
    for _ in 0..20 {
        let directory = cluster.databases.directory().await;
        let name = Uuid::new_v4().to_string();
        let other = cluster.user_with_roles(&name, &["admin"]).await;
        let (own, theirs) = (format!("/admin/users/{}", admin.id), format!("/admin/users/{}", other.id));
        let take = json!({"roles": []});
        tokio::join!(
            admin.patch(&cluster, 0, &theirs, take.clone()),
            other.patch(&cluster, 1, &own, json!({"disabled": true}))
        );
        let sql = "select count(*) from account where 'admin' = any(roles) and disabled_at is null";
        let left: i64 = directory.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(left, 1);
        directory.execute("update account set roles = '{}' where id = $1", &[&other.id]).await.unwrap();
        let sql = "update account set roles = '{admin}', disabled_at = null where id = $1";
        directory.execute(sql, &[&admin.id]).await.unwrap();
        let sql = "insert into change (kind, subject) values ('user_enabled', $1)";
        directory.execute(sql, &[&admin.id.to_string()]).await.unwrap();
        for node in [0, 1] {
            eventually_within(Duration::from_secs(5), "the first administrator is back", async || {
                admin.get(&cluster, node, "/admin/settings").await.status == 200
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_a_user_are_ended() {
    let cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    let mut a = alice.connect(&cluster, 1).await;
    admin.delete(&cluster, 0, &format!("/admin/users/{}/sessions", alice.id)).await.expect(204);
    assert_eq!(a.closed().await, 4501);
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "its tokens are refused", async || {
            alice.get(&cluster, node, "/users/me").await.status == 401
        })
        .await;
    }
    let entry = last_audit(&admin, &cluster).await;
    assert_eq!((&entry["action"], &entry["target"]), (&json!("user.end_sessions"), &json!(alice.id)));
    let unknown = format!("/admin/users/{}/sessions", Uuid::new_v4());
    admin.delete(&cluster, 0, &unknown).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_notify_some_or_all() {
    let cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let (mut a, mut b) = (alice.connect(&cluster, 0).await, bob.connect(&cluster, 1).await);
    let body = json!({"user_ids": [alice.id, alice.id], "type": "card_completed", "title": "t", "content": "c", "data": {"card": 7}});
    let sent = admin.post(&cluster, 1, "/admin/notifications", body).await.expect(201);
    assert_eq!((&sent["receiver_count"], &sent["all"]), (&json!(1), &json!(false)));
    let frame = a.expect("notification").await;
    assert_eq!((&frame["data"]["type"], &frame["data"]["data"]), (&json!("card_completed"), &json!({"card": 7})));
    assert_eq!(last_audit(&admin, &cluster).await["action"], "notification.send");
    let body = json!({"all": true, "type": "custom", "title": "all", "content": "c"});
    admin.post(&cluster, 0, "/admin/notifications", body).await.expect(201);
    for (user, device, count) in [(&alice, &mut a, 2), (&bob, &mut b, 1)] {
        let frame = device.expect("notification").await;
        assert_eq!((&frame["data"]["type"], &frame["data"]["title"]), (&json!("custom"), &json!("all")));
        let list = user.get(&cluster, 1, "/notifications").await.expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), count);
        assert_eq!(list["items"][0]["type"], "custom");
    }
    let with = |change: Value| {
        let mut body = json!({"user_ids": [alice.id], "title": "t", "content": "c"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    let many: Vec<Uuid> = (0..1_001).map(|_| Uuid::new_v4()).collect();
    for bad in [
        json!({"title": "t", "content": "c"}),
        with(json!({"all": true})),
        with(json!({"user_ids": []})),
        with(json!({"user_ids": many})),
        with(json!({"user_ids": ["x"]})),
        with(json!({"type": "other"})),
        with(json!({"title": ""})),
        with(json!({"title": "x".repeat(201)})),
        with(json!({"content": null})),
        with(json!({"data": "x"})),
    ] {
        admin.post(&cluster, 0, "/admin/notifications", bad).await.refused(422, "invalid_request");
    }
    let unknown = with(json!({"user_ids": [alice.id, Uuid::new_v4()]}));
    let refused = admin.post(&cluster, 0, "/admin/notifications", unknown).await;
    assert_eq!(refused.body["errors"][0]["field"], "user_ids");
    refused.refused(404, "not_found");
    assert!(a.has_none("notification", Duration::from_millis(200)).await, "all or none");
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_kept_and_filled_in() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    let body = json!({
        "name": "welcome", "type": "system", "title": "Hi {{name}}", "content": "You are number {{n}}.",
        "languages": {"zh": {"title": "你好 {{name}}", "content": "第 {{n}} 位"}},
    });
    let made = admin.post(&cluster, 0, "/admin/notification-templates", body.clone()).await.expect(201);
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    let taken = admin.post(&cluster, 0, "/admin/notification-templates", body.clone()).await;
    assert_eq!(taken.body["errors"][0]["field"], "name");
    taken.refused(422, "invalid_request");
    let path = format!("/admin/notification-templates/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.get(&cluster, 0, &path).await.expect(200), made);

    let send = async |extra: Value| {
        let mut body =
            json!({"user_ids": [alice.id], "template": "welcome", "variables": {"name": "{{n}} 李", "n": 3}});
        for (key, value) in extra.as_object().unwrap() {
            body[key] = value.clone();
        }
        admin.post(&cluster, 0, "/admin/notifications", body).await
    };
    let sent = send(json!({})).await.expect(201);
    assert_eq!((&sent["title"], &sent["content"]), (&json!("Hi {{n}} 李"), &json!("You are number 3.")));
    assert_eq!(send(json!({"language": "zh-CN"})).await.expect(201)["title"], "你好 {{n}} 李");
    assert_eq!(send(json!({"template": made["id"]})).await.expect(201)["title"], sent["title"]);
    let refused = send(json!({"variables": {"name": "x"}})).await;
    assert_eq!(refused.body["errors"][0]["field"], "variables");
    refused.refused(422, "invalid_request");
    send(json!({"variables": {"name": "x".repeat(200), "n": 1}})).await.refused(422, "invalid_request");
    send(json!({"variables": {"name": null, "n": 1}})).await.refused(422, "invalid_request");
    send(json!({"template": "unknown"})).await.refused(404, "not_found");

    let changed = admin.patch(&cluster, 0, &path, json!({"title": "Bye", "languages": {}})).await.expect(200);
    assert_eq!((&changed["title"], &changed["content"]), (&json!("Bye"), &body["content"]));
    let entry = last_audit(&admin, &cluster).await;
    assert_eq!((&entry["before"]["title"], &entry["after"]["title"]), (&body["title"], &json!("Bye")));
    for bad in [
        json!({"title": ""}),
        json!({"name": "x".repeat(101)}),
        json!({"type": "x"}),
        json!({"languages": {"a b": {"title": "x", "content": "y"}}}),
    ] {
        admin.patch(&cluster, 0, &path, bad).await.refused(422, "invalid_request");
    }
    for number in 0..5 {
        let body = json!({"name": format!("t{number}"), "title": "t", "content": "c"});
        let other = admin.post(&cluster, 0, "/admin/notification-templates", body).await.expect(201);
        assert_eq!((&other["type"], &other["languages"]), (&json!("system"), &json!({})));
    }
    admin.patch(&cluster, 0, &path, json!({"name": "t1"})).await.refused(422, "invalid_request");
    let page = admin.get(&cluster, 0, "/admin/notification-templates?limit=4").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = admin.get(&cluster, 0, &format!("/admin/notification-templates?cursor={cursor}")).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    admin.delete(&cluster, 0, &path).await.expect(204);
    admin.delete(&cluster, 0, &path).await.refused(404, "not_found");
    admin.get(&cluster, 0, &path).await.refused(404, "not_found");
    admin.get(&cluster, 0, "/admin/notification-templates/nonsense").await.refused(404, "not_found");
    assert_eq!(last_audit(&admin, &cluster).await["action"], "notification_template.delete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_to_one_template_also_when_many_want_it_at_once() {
    let cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let make = async |node, name: &str| {
        let body = json!({"name": name, "title": "t", "content": "c"});
        admin.post(&cluster, node, "/admin/notification-templates", body).await
    };
    let mut paths = Vec::new();
    for number in 0..8 {
        let made = make(0, &format!("t{number}")).await.expect(201);
        paths.push(format!("/admin/notification-templates/{}", made["id"].as_str().unwrap()));
    }
    let rename = async |(index, path): (usize, &String)| {
        admin.patch(&cluster, index % 2, path, json!({"name": "wanted"})).await.status
    };
    let renames = futures_util::future::join_all(paths.iter().enumerate().map(rename));
    let (renamed, made) = tokio::join!(renames, make(1, "wanted"));
    let mut all = renamed;
    all.push(if made.status == 201 { 200 } else { made.status });
    all.sort_unstable();
    assert_eq!(all, [200, 422, 422, 422, 422, 422, 422, 422, 422]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_queries_is_refused_as_such() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    for path in ["/admin/users?query=%00", "/admin/audit?action=%00", "/admin/audit?target=a%00", "/events?type=%00"] {
        admin.get(&cluster, 0, path).await.refused(422, "invalid_text");
    }
    // A text with U+0000, a time beyond all times, a list, no base64.
    let cursors =
        ["IlwAIg", "IlwwIg", "IlxcdTAwMDAi", "Ilx1MDAwMCI", "WzkyMjMzNzIwMzY4NTQ3NzU4MDcsIngiXQ", "WzFd", "!"];
    let lists =
        ["/admin/users", "/admin/nodes", "/admin/audit", "/admin/notification-templates", "/events", "/broadcasts"];
    for (cursor, list) in cursors.iter().flat_map(|cursor| lists.iter().map(move |list| (cursor, list))) {
        let answer = admin.get(&cluster, 0, &format!("{list}?cursor={cursor}")).await;
        assert!([200, 400].contains(&answer.status), "{list} {cursor} {}", answer.body);
    }
    admin.get(&cluster, 0, "/admin/nodes?cursor=Ilx1MDAwMCI").await.refused(400, "invalid_cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_paged_and_nothing_changes_it() {
    let cluster = Cluster::start(1).await;
    let admin = admin_of(&cluster).await;
    for value in 1..=5 {
        admin.post(&cluster, 0, "/admin/settings/edit_window_s", json!({"value": value})).await.expect(200);
    }
    admin.post(&cluster, 0, "/broadcasts", json!({"title": "t", "content": "c"})).await.expect(201);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = admin.get(&cluster, 0, &format!("/admin/audit?limit=2&cursor={cursor}")).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6);
    assert_eq!(
        seen[0].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["action", "address", "admin_id", "after", "before", "created_at", "id", "target"]
    );
    assert_eq!(
        (&seen[0]["action"], &seen[1]["before"], &seen[1]["after"]),
        (&json!("broadcast.send"), &json!(4), &json!(5))
    );
    let only = admin.get(&cluster, 0, "/admin/audit?action=broadcast.send").await.expect(200);
    assert_eq!(only["items"], json!([seen[0]]));
    let only =
        admin.get(&cluster, 0, &format!("/admin/audit?admin_id={}&target=edit_window_s", admin.id)).await.expect(200);
    assert_eq!(only["items"].as_array().unwrap().len(), 5);
    admin.get(&cluster, 0, "/admin/audit?admin_id=x").await.refused(422, "invalid_request");
    let directory = cluster.databases.directory().await;
    for sql in ["update audit set action = 'x'", "delete from audit", "truncate audit"] {
        assert!(directory.batch_execute(sql).await.is_err(), "{sql}");
    }
    assert_eq!(audit_count(&cluster).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_figures_are_shown() {
    let mut cluster = Cluster::start(2).await;
    let admin = admin_of(&cluster).await;
    let alice = cluster.user("alice").await;
    let _a = alice.connect(&cluster, 1).await;
    eventually_within(Duration::from_secs(8), "both nodes have reported", async || {
        let nodes = admin.get(&cluster, 0, "/admin/nodes").await.expect(200);
        let items = nodes["items"].as_array().unwrap();
        items.len() == 2 && items[1]["sessions"] == 1 && items.iter().all(|node| node["status"] == "up")
    })
    .await;
    let nodes = admin.get(&cluster, 0, "/admin/nodes").await.expect(200);
    let node = &nodes["items"][1];
    assert_eq!((&node["id"], &node["version"]), (&json!("node-2"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(node["boot_id"], json!(cluster.app(1).router.boot().to_string()));
    assert!(node["lag_ms"].as_i64().unwrap() < 10_000, "{node}");
    let stats = admin.get(&cluster, 1, "/admin/stats").await.expect(200);
    assert_eq!(stats["users"], json!({"total": 2, "disabled": 0, "deleted": 0}));
    assert_eq!((&stats["nodes"], &stats["sessions"]), (&json!(2), &json!(1)));
    assert_eq!(stats["shards"].as_array().unwrap().len(), 2);
    cluster.stop(1).await;
    let nodes = admin.get(&cluster, 0, "/admin/nodes").await.expect(200);
    assert_eq!(nodes["items"].as_array().unwrap().len(), 1, "who has left is not listed");
}

/// The most rows that any step of a plan gave, and its text.
async fn plan_of(client: &tokio_postgres::Client, sql: &str, arguments: &str) -> (i64, String) {
    client.batch_execute("deallocate all").await.unwrap();
    client.batch_execute(&format!("prepare asked as {sql}")).await.unwrap();
    let explain = format!("explain (analyze, costs off, timing off, summary off) execute asked ({arguments})");
    let rows = client.query(&explain, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    let counts = plan.split("actual rows=").skip(1).map(|rest| rest.split(' ').next().unwrap().parse::<i64>().unwrap());
    (counts.max().unwrap(), plan)
}

#[tokio::test(flavor = "multi_thread")]
async fn finding_and_counting_users_reads_no_more_than_it_shows() {
    const USERS: i64 = 30_000;
    let databases = Databases::new(1).await;
    let client = databases.directory().await;
    client
        .batch_execute(&format!(
            "insert into account (id, username, username_key, display_name, email, email_key, disabled_at, deleted_at,
                                  is_indexed)
             select gen_random_uuid(), case when n % 100 <> 0 then 'user-' || n end, 'user-' || n, 'Person ' || n,
                    case when n % 2 = 0 then 'mail-' else 'user-' end || n || '@example.org',
                    case when n % 2 = 0 then 'mail-' else 'user-' end || n || '@example.org', case when n % 2 = 0 then now() end,
                    case when n % 100 = 0 then now() end, true
             from generate_series(1, {USERS}) n;
             insert into search_name (user_id, name, word)
             select id, name, name from account, lateral (values (username_key), (lower(display_name))) w(name)
             where deleted_at is null;
             analyze account; analyze search_name"
        ))
        .await
        .unwrap();
    let statement = |words: &str| {
        let found: Vec<_> = admin_accounts::STATEMENTS.iter().filter(|sql| sql.contains(words)).collect();
        assert_eq!(found.len(), 1, "{words}");
        *found[0]
    };
    for mode in ["force_generic_plan", "force_custom_plan"] {
        client.batch_execute(&format!("set plan_cache_mode = {mode}")).await.unwrap();
        // All of them, hardly any, none; by name, by address.
        for beginning in ["user", "user-2999", "person 7", "mail-", "mail-7@", "u", "nobody has this"] {
            let arguments = format!(
                "'{beginning}', U&'{beginning}\\+10FFFF', '{beginning}', '00000000-0000-0000-0000-000000000000', 51, true"
            );
            let (most, plan) = plan_of(&client, statement("with found as"), &arguments).await;
            assert!(!plan.contains("Seq Scan") && most <= 200, "{mode} {beginning}: {plan}");
        }
        let (most, plan) = plan_of(&client, statement("with exact as"), "10000").await;
        assert!(most <= 10_000, "{mode}: {plan}");
    }
    let tasks = Tasks::default();
    let directory = Directory::new(Database::new("directory", &databases.directory_url, 1, &tasks).unwrap());
    let (total, disabled, deleted) = admin_accounts::count_accounts(&directory).await.unwrap();
    // Above ten thousand what the planner thinks; below it to the last one.
    for (counted, there) in [(total, USERS), (disabled, USERS / 2 - USERS / 100)] {
        assert!((counted - there).abs() < there / 20, "{counted} of {there}");
    }
    assert_eq!(deleted, USERS / 100);
    // Page by page, each once, whatever they were found by.
    let query = SearchQuery::parse("query", "USER-1").unwrap().unwrap();
    let mut seen = Vec::new();
    let mut after: Option<(String, UserId)> = None;
    loop {
        let place = after.as_ref().map(|(key, user)| (key.as_str(), *user));
        let page = admin_accounts::find_accounts(&directory, &query, true, place, 1_000).await.unwrap();
        let is_last = page.len() < 1_000;
        after = page.last().map(|last| (last.key.clone(), last.account.account.id));
        seen.extend(page.into_iter().filter(|found| found.is_first).map(|found| found.account.account.id));
        if is_last {
            break;
        }
    }
    let sql = "select count(*) from account where username_key like 'user-1%'";
    let there: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    let users: std::collections::HashSet<_> = seen.iter().copied().collect();
    assert_eq!((users.len(), seen.len()), (usize::try_from(there).unwrap(), usize::try_from(there).unwrap()));
    tasks.shutdown(Duration::from_secs(2)).await;
}
