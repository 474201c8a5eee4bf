//! Users: found by name, their presence, deleted accounts, all of one's data.

use std::collections::BTreeSet;
use std::time::Duration;

use herald_node::domain::UserId;
use herald_node::service::own_data::finish_deletion::sweep_deletions;
use herald_node::storage::directory::deletions::bury_account;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::call;
use crate::support::{Cluster, Setup, User, eventually};

/// A user with a display name of its own.
async fn named(cluster: &Cluster, username: &str, display_name: &str) -> User {
    let user = cluster.user(username).await;
    user.patch(cluster, 0, "/users/me", json!({"display_name": display_name})).await.expect(200);
    user
}

async fn find(cluster: &Cluster, by: &User, query: &str) -> Vec<String> {
    let url = reqwest::Url::parse_with_params("http://x/users", [("query", query)]).unwrap();
    let path = format!("/users?{}", url.query().unwrap());
    names(&by.get(cluster, 0, &path).await.expect(200))
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|item| item["username"].as_str().unwrap().to_owned()).collect()
}

async fn make_friends(cluster: &Cluster, one: &User, other: &User) {
    one.post(cluster, 0, "/friends/request", json!({"user_id": other.id})).await.expect(201);
    other.post(cluster, 0, &format!("/friends/{}/accept", one.id), json!({})).await.expect(200);
}

async fn make_group(cluster: &Cluster, owner: &User, members: &[&User]) -> String {
    let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
    let group = owner.post(cluster, 0, "/groups", json!({"name": "group", "members": ids})).await.expect(201);
    group["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_a_name_then_by_likeness() {
    let cluster = Cluster::start(1).await;
    let me = named(&cluster, "seeker", "nobody").await;
    named(&cluster, "jonathan", "Jonathan Strange").await;
    named(&cluster, "jonas_k", "K. Jonas").await;
    named(&cluster, "norrell", "Gilbert JONES-Norrell").await;
    named(&cluster, "lixiaolong", "李小龙").await;
    named(&cluster, "mariya", "Мария Иванова").await;
    assert_eq!(find(&cluster, &me, "jon").await, ["jonas_k", "jonathan", "norrell"], "in the order of the names");
    assert_eq!(find(&cluster, &me, "STRANGE").await, ["jonathan"]);
    assert_eq!(find(&cluster, &me, "jones-no").await[0], "norrell");
    assert_eq!(find(&cluster, &me, "  gilbert   jones ").await, ["norrell"]);
    assert_eq!(find(&cluster, &me, "мария").await, ["mariya"]);
    assert_eq!(find(&cluster, &me, "ИВА").await, ["mariya"]);
    for part in ["李", "小龙", "龙", "李小龙"] {
        assert_eq!(find(&cluster, &me, part).await, ["lixiaolong"], "{part}");
    }
    assert_eq!(find(&cluster, &me, "jonathon").await.first().map(String::as_str), Some("jonathan"));
    assert_eq!(find(&cluster, &me, "norell").await, ["norrell"]);
    assert_eq!(find(&cluster, &me, "мариия").await, ["mariya"]);
    assert!(find(&cluster, &me, "zzzzzz").await.is_empty());
    for literal in ["%", "_", "\\", "j%", "*", "'"] {
        assert!(find(&cluster, &me, literal).await.is_empty(), "{literal}");
    }
    assert!(find(&cluster, &me, "").await.is_empty());
    me.get(&cluster, 0, "/users").await.refused(422, "invalid_request");
    me.get(&cluster, 0, "/users?query=a%00b").await.refused(422, "invalid_text");
    me.get(&cluster, 0, &format!("/users?query={}", "x".repeat(101))).await.refused(422, "invalid_request");
    me.get(&cluster, 0, "/users?query=a&cursor=xx").await.refused(400, "invalid_cursor");
}

#[tokio::test]
async fn who_is_not_to_be_found_is_not_found() {
    let cluster = Cluster::start(2).await;
    let me = cluster.user("seeker").await;
    let (blocker, blocked, gone) = (
        named(&cluster, "anna1", "Anna").await,
        named(&cluster, "anna2", "Anna").await,
        named(&cluster, "anna3", "Anna").await,
    );
    let disabled = named(&cluster, "anna4", "Anna").await;
    assert_eq!(find(&cluster, &me, "anna").await.len(), 4);
    blocker.post(&cluster, 1, "/relationships/block", json!({"user_id": me.id})).await.expect(204);
    me.post(&cluster, 1, "/relationships/block", json!({"user_id": blocked.id})).await.expect(204);
    gone.delete(&cluster, 1, "/users/me").await.expect(204);
    herald_node::storage::directory::accounts::set_disabled(&cluster.app(0).directory, UserId(disabled.id), true)
        .await
        .unwrap();
    assert_eq!(find(&cluster, &me, "anna").await, ["anna2"]);
    assert_eq!(find(&cluster, &me, "annna").await, ["anna2"]);
    // A new name counts at once, the old one no more.
    blocked.patch(&cluster, 1, "/users/me", json!({"display_name": "Berta"})).await.expect(200);
    assert_eq!(find(&cluster, &me, "bert").await, ["anna2"]);
    let after = find(&cluster, &blocked, "anna").await;
    assert_eq!(after.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(["anna1", "anna2"]));
}

#[tokio::test]
async fn all_who_are_found_are_on_the_pages_once() {
    let cluster = Cluster::start(1).await;
    let me = cluster.user("seeker").await;
    let mut expected = BTreeSet::new();
    for index in 0..7 {
        // Each by several of its names.
        named(&cluster, &format!("karla{index}"), &format!("Karla Karlson {index}")).await;
        expected.insert(format!("karla{index}"));
    }
    for index in 0..6 {
        named(&cluster, &format!("charla{index}"), &format!("Charla {index}")).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = me.get(&cluster, 0, &format!("/users?query=karla&limit=3{cursor}")).await.expect(200);
        assert!(page["items"].as_array().unwrap().len() <= 3);
        found.extend(names(&page));
        if found.len() == 3 {
            // Before the place and after it: neither moves what comes next.
            named(&cluster, "karla", "Karla").await;
            named(&cluster, "karlb", "Zed").await;
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let once: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(once.len(), found.len(), "each once: {found:?}");
    assert_eq!(found[..7].iter().cloned().collect::<BTreeSet<_>>(), expected, "what begins with it comes first");
    assert!(found[7..].iter().any(|name| name.starts_with("charla")), "then what is like it: {found:?}");
}

#[tokio::test]
async fn all_who_share_a_name_are_found_by_what_is_like_it() {
    const NAMESAKES: usize = 230;
    let cluster = Cluster::start(1).await;
    let me = cluster.user("seeker").await;
    // Those who are not to be found stand in front of each name; some have two names that are alike.
    let make = "insert into account (id, username, username_key, display_name, disabled_at)
                select overlay(gen_random_uuid()::text placing (case when n > $1 then '0' else 'f' end) from 1)::uuid,
                       'user-' || n, 'user-' || n, case n % 3 when 0 then 'Wilhelmina' when 1 then 'Wilhelmine' else 'Wilhelmine Wilhelmina' end,
                       case when n > $1 then now() end
                from generate_series(1, $1 + 250) n";
    cluster.databases.directory().await.execute(make, &[&i32::try_from(NAMESAKES).unwrap()]).await.unwrap();
    for limit in [30, 200] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = me.get(&cluster, 0, &format!("/users?query=wilhelmima&limit={limit}{cursor}")).await.expect(200);
            found.extend(names(&page));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (NAMESAKES, NAMESAKES), "{limit}");
    }
}

#[tokio::test]
async fn a_word_is_kept_for_as_long_as_somebody_is_called_so() {
    let cluster = Cluster::start(1).await;
    let me = cluster.user("seeker").await;
    let (one, other) = (named(&cluster, "first", "Ludwiga").await, named(&cluster, "second", "Ludwiga").await);
    assert_eq!(find(&cluster, &me, "ludviga").await.len(), 2);
    one.patch(&cluster, 0, "/users/me", json!({"display_name": "Berta"})).await.expect(200);
    assert_eq!(find(&cluster, &me, "ludviga").await, ["second"]);
    other.delete(&cluster, 0, "/users/me").await.expect(204);
    assert!(find(&cluster, &me, "ludviga").await.is_empty());
    let words = "select count(*) from search_word where word = any('{ludwiga,second}')";
    let kept: i64 = cluster.databases.directory().await.query_one(words, &[]).await.unwrap().get(0);
    assert_eq!(kept, 0, "no trace of who is gone");
}

#[tokio::test]
async fn presence_of_friends_and_of_those_one_shares_a_conversation_with() {
    let cluster = Cluster::start(2).await;
    let me = cluster.user("me").await;
    let mut others = Vec::new();
    for name in ["friend", "writer", "member", "opened", "stranger", "blocker"] {
        others.push(cluster.user(name).await);
    }
    let [friend, writer, member, opened, stranger, blocker] = others.as_slice() else { unreachable!() };
    make_friends(&cluster, &me, friend).await;
    make_friends(&cluster, &me, blocker).await;
    let mut my_phone = me.connect(&cluster, 0).await;
    my_phone.say(writer.id, "hi").await;
    let group = make_group(&cluster, &me, &[member, blocker]).await;
    me.post(&cluster, 0, "/conversations", json!({"user_id": opened.id})).await.expect(200);
    blocker.post(&cluster, 0, "/relationships/block", json!({"user_id": me.id})).await.expect(204);
    let mut devices = Vec::new();
    for other in &others {
        devices.push(other.connect(&cluster, 1).await);
    }
    devices[0].send(json!({"type": "status", "data": {"status": "busy"}})).await;
    let ids: Vec<Uuid> = others.iter().map(|other| other.id).chain([me.id, Uuid::new_v4()]).collect();
    let look = async || me.post(&cluster, 0, "/users/presence", json!({"user_ids": ids})).await.expect(200);
    eventually("the friend is busy", || async { look().await["presence"][friend.id.to_string()]["status"] == "busy" })
        .await;
    let presence = look().await;
    let status = |user: &User| presence["presence"][user.id.to_string()]["status"].as_str().unwrap().to_owned();
    assert_eq!(presence["presence"].as_object().unwrap().len(), 8);
    assert_eq!([status(writer), status(member), status(&me)], ["online", "online", "online"]);
    assert_eq!([status(opened), status(stranger), status(blocker)], ["offline", "offline", "offline"]);
    assert_eq!(presence["presence"][ids[7].to_string()], json!({"status": "offline", "last_seen_at": null}));

    // Who has left the group looks offline again.
    member.post(&cluster, 1, &format!("/groups/{group}/leave"), json!({})).await.expect(204);
    let presence = me.post(&cluster, 0, "/users/presence", json!({"user_ids": [member.id]})).await.expect(200);
    assert_eq!(presence["presence"][member.id.to_string()]["status"], "offline");

    let many: Vec<Uuid> = (0..201).map(|_| Uuid::new_v4()).collect();
    me.post(&cluster, 0, "/users/presence", json!({"user_ids": many})).await.refused(422, "invalid_request");
    me.post(&cluster, 0, "/users/presence", json!({"user_ids": ["x"]})).await.refused(422, "invalid_request");
    me.post(&cluster, 0, "/users/presence", json!({"user_ids": []})).await.expect(200);
}

#[tokio::test]
async fn a_deleted_account_is_gone_at_once_and_its_name_stays_taken() {
    let cluster = Cluster::start(2).await;
    let register = json!({"username": "Ghost", "password": "long enough", "email": "ghost@example.org"});
    let url = |node: usize, path: &str| format!("{}/api/v1{path}", cluster.url(node));
    let post = reqwest::Method::POST;
    let made =
        call(&cluster.http, post.clone(), &url(0, "/auth/register"), None, Some(register.clone())).await.expect(201);
    let (token, refresh) = (made["access_token"].as_str().unwrap(), &made["refresh_token"]);
    let id: Uuid = made["user"]["id"].as_str().unwrap().parse().unwrap();
    let friend = cluster.user("friend").await;
    let asked = json!({"user_id": id});
    friend.post(&cluster, 0, "/friends/request", asked).await.expect(201);
    let accept = url(0, &format!("/friends/{}/accept", friend.id));
    call(&cluster.http, post.clone(), &accept, Some(token), Some(json!({}))).await.expect(200);
    let connect =
        async |node| crate::support::Device::connect(&cluster.ws_url(node), Some(token)).await.authenticated().await;
    let (mut here, mut there) = (connect(0).await, connect(1).await);

    call(&cluster.http, reqwest::Method::DELETE, &url(0, "/users/me"), Some(token), None).await.expect(204);
    assert_eq!((here.closed().await, there.closed().await), (4501, 4501));
    for node in 0..2 {
        call(&cluster.http, reqwest::Method::GET, &url(node, "/users/me"), Some(token), None)
            .await
            .refused(401, "unauthorized");
        let again = json!({"refresh_token": refresh});
        call(&cluster.http, post.clone(), &url(node, "/auth/refresh"), None, Some(again))
            .await
            .refused(401, "invalid_refresh_token");
        let login = json!({"username": "ghost", "password": "long enough"});
        call(&cluster.http, post.clone(), &url(node, "/auth/login"), None, Some(login))
            .await
            .refused(401, "invalid_credentials");
    }
    let taken = json!({"username": "ghost", "password": "long enough"});
    call(&cluster.http, post.clone(), &url(1, "/auth/register"), None, Some(taken))
        .await
        .refused(409, "username_taken");
    let profile = friend.get(&cluster, 1, &format!("/users/{id}")).await.expect(200);
    assert_eq!((&profile["id"], &profile["username"]), (&json!(id), &Value::Null));
    assert_eq!((&profile["avatar_url"], &profile["status_text"]), (&Value::Null, &Value::Null));
    assert_eq!(friend.get(&cluster, 1, "/friends").await.expect(200)["items"], json!([]));
    let mut phone = friend.connect(&cluster, 1).await;
    assert_eq!(phone.chat_refused(json!({"receiver_id": id, "content": "there?"})).await["code"], "not_found");
    // The address is free again: only the name stays.
    let reborn = json!({"username": "ghost2", "password": "long enough", "email": "ghost@example.org"});
    call(&cluster.http, post, &url(0, "/auth/register"), None, Some(reborn)).await.expect(201);
}

#[tokio::test]
async fn a_deleted_owner_hands_its_groups_over() {
    let cluster = Cluster::start(2).await;
    let (owner, admin, member) =
        (cluster.user("owner").await, cluster.user("admin").await, cluster.user("member").await);
    let with_admin = make_group(&cluster, &owner, &[&member, &admin]).await;
    let role = format!("/groups/{with_admin}/members/{}/role", admin.id);
    owner.post(&cluster, 0, &role, json!({"role": "admin"})).await.expect(200);
    let without = make_group(&cluster, &owner, &[&member]).await;
    let alone = make_group(&cluster, &owner, &[]).await;
    let mut phone = member.connect(&cluster, 1).await;

    owner.delete(&cluster, 0, "/users/me").await.expect(204);
    for (group, heir) in [(&with_admin, &admin), (&without, &member)] {
        // What was told is what the lists say then.
        let changed = phone
            .find(crate::support::DEADLINE, |frame| {
                frame["action"] == "role_changed"
                    && frame["data"]["conversation_id"] == json!(group)
                    && frame["data"]["role"] == "owner"
            })
            .await
            .unwrap();
        assert_eq!(changed["data"]["user_id"], json!(heir.id));
        let left = phone
            .find(crate::support::DEADLINE, |frame| {
                frame["action"] == "member_left" && frame["data"]["conversation_id"] == json!(group)
            })
            .await
            .unwrap();
        assert_eq!(left["data"]["user_ids"], json!([owner.id]));
        let members = member.get(&cluster, 1, &format!("/groups/{group}/members")).await.expect(200);
        let owners: Vec<&Value> =
            members["items"].as_array().unwrap().iter().filter(|item| item["role"] == "owner").collect();
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0]["user"]["id"], json!(heir.id));
        assert!(!members.to_string().contains(&owner.id.to_string()));
    }
    let directory = cluster.databases.directory().await;
    let rows = "select count(*) from listing where user_id = $1";
    let left: i64 = directory.query_one(rows, &[&owner.id]).await.unwrap().get(0);
    assert_eq!(left, 0);
    let mut dissolved = 0;
    for index in 0..2 {
        let shard = cluster.databases.shard(index).await;
        let id: Uuid = alone.parse().unwrap();
        let row = shard.query_opt("select is_dissolved from conversation where id = $1", &[&id]).await.unwrap();
        dissolved += i32::from(row.is_some_and(|row| row.get(0)));
    }
    assert_eq!(dissolved, 1);
}

#[tokio::test]
async fn a_sweep_finishes_a_deletion_that_a_dead_node_began() {
    let cluster = Cluster::start(1).await;
    let (owner, member) = (cluster.user("owner").await, cluster.user("member").await);
    let group = make_group(&cluster, &owner, &[&member]).await;
    make_friends(&cluster, &owner, &member).await;
    let app = cluster.app(0);
    bury_account(&app.directory, UserId(owner.id)).await.unwrap().unwrap();
    assert_eq!(bury_account(&app.directory, UserId(owner.id)).await.unwrap(), None);
    eventually("the feed tells", || async { app.standing.is_out(UserId(owner.id)) }).await;
    assert_eq!(sweep_deletions(app, Duration::from_hours(1)).await.unwrap(), 0, "too young");
    assert_eq!(sweep_deletions(app, Duration::ZERO).await.unwrap(), 1);
    let members = member.get(&cluster, 0, &format!("/groups/{group}/members")).await.expect(200);
    assert_eq!(members["items"].as_array().unwrap().len(), 1);
    assert_eq!(members["items"][0]["role"], "owner");
    assert_eq!(member.get(&cluster, 0, "/friends").await.expect(200)["items"], json!([]));
    let directory = cluster.databases.directory().await;
    let left: i64 = directory.query_one("select count(*) from deletion", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn an_export_has_all_of_ones_data_and_nobody_elses() {
    let cluster = Setup::nodes(1).set("max_messages_per_second", 1_000).start().await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    make_friends(&cluster, &alice, &bob).await;
    carol.post(&cluster, 0, "/friends/request", json!({"user_id": alice.id, "message": "me too"})).await.expect(201);
    let enemy = cluster.user("enemy").await;
    alice.post(&cluster, 0, "/relationships/block", json!({"user_id": enemy.id})).await.expect(204);
    let mut phone = alice.connect(&cluster, 0).await;
    let mut bob_phone = bob.connect(&cluster, 0).await;
    for index in 0..120 {
        phone.say(bob.id, &format!("mine {index} {}", "x".repeat(500))).await;
    }
    bob_phone.say(alice.id, "not yours").await;
    let group = make_group(&cluster, &bob, &[&alice]).await;
    phone.say_in(&group, "in the group").await;
    alice.post(&cluster, 0, &format!("/groups/{group}/leave"), json!({})).await.expect(204);

    let answer = alice.get(&cluster, 0, "/users/me/export").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(answer.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let export = answer.expect(200);
    assert_eq!((&export["profile"]["id"], &export["profile"]["username"]), (&json!(alice.id), &json!("alice")));
    let length = |section: &str| export[section].as_array().unwrap().len();
    assert_eq!([length("logins"), length("friends"), length("friend_requests"), length("blocks")], [1, 1, 1, 1]);
    assert_eq!(export["friend_requests"][0]["message"], "me too");
    assert_eq!(export["blocks"][0]["user"]["id"], json!(enemy.id));
    assert_eq!(length("notifications"), 2, "accepted, and asked");
    assert_eq!(length("conversations"), 1, "the group was left");
    assert_eq!(length("messages"), 121);
    assert!(export["messages"].as_array().unwrap().iter().all(|message| message["sender_id"] == json!(alice.id)));
    assert!(export.to_string().contains("in the group"));

    // Of one who has nothing yet every part is there, empty.
    let empty = enemy.get(&cluster, 0, "/users/me/export").await.expect(200);
    for section in ["friends", "friend_requests", "blocks", "notifications", "conversations", "messages"] {
        assert_eq!(empty[section], json!([]), "{section}");
    }
}

#[tokio::test]
async fn a_profile_is_shown_to_whoever_asks() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (named(&cluster, "alice", "Alice A.").await, cluster.user("bob").await);
    let profile = bob.get(&cluster, 0, &format!("/users/{}", alice.id)).await.expect(200);
    let fields: BTreeSet<&str> = profile.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["id", "username", "display_name", "avatar_url", "status_text", "created_at"];
    assert_eq!(fields, BTreeSet::from(expected));
    bob.get(&cluster, 0, "/users/x").await.refused(404, "not_found");
    bob.get(&cluster, 0, &format!("/users/{}", Uuid::new_v4())).await.refused(404, "not_found");
    bob.patch(&cluster, 0, "/users/me", json!({"read_receipts": false})).await.expect(200);
    assert_eq!(bob.get(&cluster, 0, "/users/me").await.expect(200)["read_receipts"], false);
}
