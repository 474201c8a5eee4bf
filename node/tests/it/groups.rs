//! Groups: who may do what, who gets what, and lists that follow the shard whatever falls in between.

use std::collections::HashSet;
use std::time::Duration;

use herald_node::domain::command::Joining;
use herald_node::domain::{ConversationId, JoinToken, UserId};
use herald_node::service::groups::sweep_listings::sweep_listings;
use herald_node::storage::directory::listing;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, Device, Setup, User, eventually};

/// A group with these members; its id.
async fn group(cluster: &Cluster, owner: &User, members: &[&User]) -> String {
    let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
    let made = owner.post(cluster, 0, "/groups", json!({"name": "a group", "members": ids})).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

fn text(content: &str) -> Value {
    json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content})
}

async fn member_ids(cluster: &Cluster, reader: &User, group: &str) -> HashSet<Uuid> {
    let page = reader.get(cluster, 0, &format!("/groups/{group}/members?limit=200")).await.expect(200);
    page["items"].as_array().unwrap().iter().map(|item| item["user"]["id"].as_str().unwrap().parse().unwrap()).collect()
}

async fn role_of(cluster: &Cluster, reader: &User, group: &str, user: &User) -> String {
    let page = reader.get(cluster, 0, &format!("/groups/{group}/members?limit=200")).await.expect(200);
    let items = page["items"].as_array().unwrap().clone();
    let own = items.iter().find(|item| item["user"]["id"] == json!(user.id)).expect("a member");
    own["role"].as_str().unwrap().to_owned()
}

/// A user's index rows of a group: token, whether pending, whether left.
async fn rows(cluster: &Cluster, user: &User, group: &str) -> Vec<(Uuid, bool, bool)> {
    let directory = cluster.databases.directory().await;
    let rows = directory
        .query(
            "select join_token, pending_at is not null, left_seq is not null from listing
             where user_id = $1 and conversation_id = $2 order by created_at",
            &[&user.id, &group.parse::<Uuid>().unwrap()],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// The token that stands in the shard, and whether that joining has ended.
async fn standing(cluster: &Cluster, user: &User, group: &str) -> Option<(Uuid, bool)> {
    for index in 0..2 {
        let shard = cluster.databases.shard(index).await;
        let row = shard
            .query_opt(
                "select join_token, left_seq is not null from member where user_id = $1 and conversation_id = $2",
                &[&user.id, &group.parse::<Uuid>().unwrap()],
            )
            .await
            .unwrap();
        if let Some(row) = row {
            return Some((row.get(0), row.get(1)));
        }
    }
    None
}

/// What stands in the shard is in the list, and nothing else is there as present or uncertain.
async fn agrees(cluster: &Cluster, user: &User, group: &str) -> bool {
    let rows = rows(cluster, user, group).await;
    let (token, has_left) = standing(cluster, user, group).await.expect("was a member");
    rows.contains(&(token, false, has_left)) && rows.iter().all(|row| row.0 == token || *row == (row.0, false, true))
}

#[tokio::test]
async fn a_group_is_made_once_for_a_temp_id_and_all_members_hear_of_it() {
    let cluster = Cluster::start(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let mut bob_phone = bob.connect(&cluster, 1).await;
    let mut alice_phone = alice.connect(&cluster, 0).await;
    let body = json!({"name": "Trip", "members": [bob.id, carol.id, bob.id, alice.id], "temp_id": "g1"});
    let made = alice.post(&cluster, 0, "/groups", body.clone()).await.expect(201);
    assert_eq!((&made["kind"], &made["title"], &made["member_count"]), (&json!("group"), &json!("Trip"), &json!(3)));
    assert_eq!((&made["role"], &made["last_seq"], &made["muted"]), (&json!("owner"), &json!(1), &json!(false)));
    for device in [&mut alice_phone, &mut bob_phone] {
        let frame = device.expect("conversation/created").await;
        let data = &frame["data"];
        assert_eq!((&data["conversation_id"], &data["seq"], &data["by"]), (&made["id"], &json!(1), &json!(alice.id)));
        assert_eq!(
            (&data["title"], &data["member_count"], &data["members"][0]),
            (&json!("Trip"), &json!(3), &json!(alice.id))
        );
    }
    let again = alice.post(&cluster, 1, "/groups", body).await.expect(201);
    assert_eq!(again["id"], made["id"]);
    let changed = json!({"name": "Other", "members": [Uuid::new_v4()], "temp_id": "g1"});
    let again = alice.post(&cluster, 1, "/groups", changed).await.expect(201);
    assert_eq!((&again["id"], &again["title"], &again["member_count"]), (&made["id"], &json!("Trip"), &json!(3)));
    let group = made["id"].as_str().unwrap();
    for user in [&alice, &bob, &carol] {
        assert!(agrees(&cluster, user, group).await, "{:?}", rows(&cluster, user, group).await);
        assert_eq!(rows(&cluster, user, group).await.len(), 1);
    }
    assert!(bob_phone.has_none("conversation/created", Duration::from_millis(200)).await);
    // The same temp_id of another user is another group; many at once are one.
    let theirs = bob.post(&cluster, 0, "/groups", json!({"name": "B", "temp_id": "g1"})).await.expect(201);
    assert_ne!(theirs["id"], made["id"]);
    let parallel = (0..8).map(|index| {
        let (carol, cluster) = (&carol, &cluster);
        let body = json!({"name": "P", "members": [alice.id], "temp_id": "par"});
        async move { carol.post(cluster, index % 2, "/groups", body).await.expect(201)["id"].clone() }
    });
    let ids = futures_util::future::join_all(parallel).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let group = ids[0].as_str().unwrap();
    eventually("rows agree", || async {
        agrees(&cluster, &carol, group).await && agrees(&cluster, &alice, group).await
    })
    .await;
    assert_eq!(rows(&cluster, &alice, group).await.len(), 1);
    let alias = alice.post(&cluster, 0, "/conversations/group", json!({"name": "Alias", "member_ids": [bob.id]})).await;
    assert_eq!(alias.expect(201)["member_count"], 2);
}

#[tokio::test]
async fn an_edit_shows_no_content_to_who_came_after_the_message() {
    let cluster = Cluster::start(2).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let group = group(&cluster, &alice, &[&bob]).await;
    let mut writes = alice.connect(&cluster, 0).await;
    let sent = writes.say_in(&group, "before she came").await;
    let (mut old, mut here, mut elsewhere) =
        (bob.connect(&cluster, 1).await, carol.connect(&cluster, 0).await, carol.connect(&cluster, 1).await);
    alice.post(&cluster, 0, &format!("/groups/{group}/members"), json!({"user_ids": [carol.id]})).await.expect(200);
    let edit =
        json!({"type": "chat", "action": "edit", "data": {"message_id": sent["message_id"], "content": "secret"}});
    assert_eq!(writes.ask(edit).await["data"]["content"], "secret");
    assert_eq!(old.expect("chat/message_edited").await["data"]["content"], "secret");
    for device in [&mut here, &mut elsewhere] {
        let frame = device.expect("chat/message_edited").await;
        assert_eq!((&frame["data"]["seq"], frame["data"].get("content")), (&json!(4), None), "{frame}");
    }
    // What she may see she sees edited.
    let sent = writes.say_in(&group, "for all").await;
    let edit =
        json!({"type": "chat", "action": "edit", "data": {"message_id": sent["message_id"], "content": "of all"}});
    writes.ask(edit).await;
    for device in [&mut old, &mut here, &mut elsewhere] {
        assert_eq!(device.expect("chat/message_edited").await["data"]["content"], "of all");
    }
}

/// A node without sessions of a group's members hears nothing of who leaves, and may remember them.
#[tokio::test]
async fn who_was_removed_sees_nobody_type_and_is_not_seen_typing() {
    let cluster = Cluster::start(3).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let group = group(&cluster, &alice, &[&bob, &carol]).await;
    let mut watches = alice.connect(&cluster, 0).await;
    let mut removed = bob.connect(&cluster, 2).await;
    let types = json!({"type": "typing", "data": {"conversation_id": group, "is_typing": true}});
    let mut device = carol.connect(&cluster, 1).await;
    device.send(types.clone()).await;
    assert_eq!(removed.expect("typing").await["data"]["user_id"], json!(carol.id));
    watches.expect("typing").await;
    device.close().await;
    device.closed().await;
    eventually("node 2 has no member's session", || async {
        let routes = cluster.app(0).router.routes(&[carol.id]).await;
        routes.is_ok_and(|routes| routes[0].is_empty())
    })
    .await;
    alice.delete(&cluster, 0, &format!("/groups/{group}/members/{}", bob.id)).await.expect(204);
    removed.expect("conversation/member_removed").await;

    let mut device = carol.connect(&cluster, 1).await;
    device.send(types.clone()).await;
    assert_eq!(watches.expect("typing").await["data"]["user_id"], json!(carol.id));
    assert!(removed.has_none("typing", Duration::from_millis(300)).await);
    removed.close().await;
    let removed = bob.connect(&cluster, 1).await;
    removed.send(types.clone()).await;
    assert!(watches.has_none("typing", Duration::from_millis(300)).await);
    // And in a group that is no more nobody types.
    alice.delete(&cluster, 0, &format!("/groups/{group}")).await.expect(204);
    device.send(types.clone()).await;
    watches.send(types).await;
    assert!(watches.has_none("typing", Duration::from_millis(300)).await);
    assert!(device.has_none("typing", Duration::from_millis(1)).await);
}

#[tokio::test]
async fn whom_one_cannot_invite() {
    let cluster = Cluster::start(1).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let unknown = Uuid::new_v4();
    let answer = alice.post(&cluster, 0, "/groups", json!({"name": "x", "members": [bob.id, unknown]})).await;
    assert_eq!(answer.body["errors"][0]["field"], "members", "{}", answer.body);
    assert!(answer.body["errors"][0]["message"].as_str().unwrap().contains(&unknown.to_string()));
    answer.refused(404, "not_found");
    bob.post(&cluster, 0, "/relationships/block", json!({"user_id": alice.id})).await.expect(204);
    let with_both = json!({"name": "x", "members": [bob.id, carol.id]});
    alice.post(&cluster, 0, "/groups", with_both.clone()).await.refused(403, "blocked");
    bob.post(&cluster, 0, "/groups", json!({"name": "x", "members": [alice.id]})).await.refused(403, "blocking");
    let made = group(&cluster, &alice, &[]).await;
    let both = json!({"user_ids": [carol.id, bob.id]});
    alice.post(&cluster, 0, &format!("/groups/{made}/members"), both).await.refused(403, "blocked");
    assert_eq!(member_ids(&cluster, &alice, &made).await, HashSet::from([alice.id]), "nobody is added");
    let nobody = json!({"user_ids": [Uuid::new_v4()]});
    alice.post(&cluster, 0, &format!("/groups/{made}/members"), nobody).await.refused(404, "not_found");
    assert_eq!(rows(&cluster, &bob, &made).await, []);
}

#[tokio::test]
async fn shapes_of_groups_that_are_refused() {
    let cluster = Setup::nodes(1).set("group_members_max", 3).start().await;
    let alice = cluster.user("alice").await;
    for bad in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "n".repeat(201)}),
        json!({"name": "x", "members": ["bob"]}),
        json!({"name": "x", "members": (0..1_001).map(|_| Uuid::new_v4()).collect::<Vec<_>>()}),
        json!({"name": "x", "max_members": 0}),
        json!({"name": "x", "max_members": 100_001}),
        json!({"name": "x", "temp_id": ""}),
    ] {
        alice.post(&cluster, 0, "/groups", bad).await.refused(422, "invalid_request");
    }
    let mut others = Vec::new();
    for index in 0..4 {
        others.push(cluster.user(&format!("other{index}")).await);
    }
    let ids: Vec<Uuid> = others.iter().map(|other| other.id).collect();
    alice.post(&cluster, 0, "/groups", json!({"name": "x", "members": ids[..3]})).await.refused(409, "group_full");
    let made = alice.post(&cluster, 0, "/groups", json!({"name": "x", "members": ids[..2]})).await.expect(201);
    let path = format!("/groups/{}/members", made["id"].as_str().unwrap());
    alice.post(&cluster, 0, &path, json!({"user_ids": [ids[2]]})).await.refused(409, "group_full");
    assert_eq!(rows(&cluster, &others[2], made["id"].as_str().unwrap()).await, [], "a refused joining leaves no row");
    let larger = json!({"name": "x", "members": ids[..3], "max_members": 4});
    alice.post(&cluster, 0, "/groups", larger).await.expect(201);
    for missing in ["/groups/not-an-id/members".to_owned(), format!("/groups/{}/members", Uuid::new_v4())] {
        alice.get(&cluster, 0, &missing).await.refused(404, "not_found");
    }
}

/// Who may do what to whom, over both prefixes.
#[tokio::test]
async fn the_matrix_of_roles() {
    let cluster = Cluster::start(1).await;
    let mut users = Vec::new();
    for name in ["owner", "admin", "admin2", "member", "member2", "stranger", "new"] {
        users.push(cluster.user(name).await);
    }
    let [owner, admin, admin2, member, member2, stranger, new] = &users[..] else { unreachable!() };
    let made = group(&cluster, owner, &[admin, admin2, member, member2]).await;
    let path = |rest: &str| format!("/groups/{made}{rest}");
    let role = |user: &User| path(&format!("/members/{}/role", user.id));
    for promoted in [admin, admin2] {
        let shown = owner.post(&cluster, 0, &role(promoted), json!({"role": "admin"})).await.expect(200);
        assert_eq!((&shown["role"], &shown["user"]["id"]), (&json!("admin"), &json!(promoted.id)));
    }
    // Strangers know of nothing.
    for (method, rest, body) in [
        (reqwest::Method::GET, "/members".to_owned(), None),
        (reqwest::Method::POST, "/members".to_owned(), Some(json!({"user_ids": [new.id]}))),
        (reqwest::Method::DELETE, format!("/members/{}", member.id), None),
        (reqwest::Method::POST, "/leave".to_owned(), Some(json!({}))),
        (reqwest::Method::POST, "/messages".to_owned(), Some(text("x"))),
        (reqwest::Method::PUT, String::new(), Some(json!({"name": "mine"}))),
        (reqwest::Method::DELETE, String::new(), None),
        (reqwest::Method::POST, format!("/members/{}/role", stranger.id), Some(json!({"role": "admin"}))),
        (reqwest::Method::POST, format!("/members/{}/mute", member.id), Some(json!({"muted_until": null}))),
    ] {
        for prefix in ["groups", "conversations"] {
            let url = format!("{}/api/v1/{prefix}/{made}{rest}", cluster.url(0));
            stranger.call(method.clone(), &url, body.clone()).await.refused(404, "not_found");
        }
    }
    // Members may look and write, and rule nobody.
    assert_eq!(member_ids(&cluster, member, &made).await.len(), 5);
    member.post(&cluster, 0, &path("/messages"), text("hi")).await.expect(201);
    member.post(&cluster, 0, &path("/members"), json!({"user_ids": [new.id]})).await.refused(403, "forbidden");
    member.delete(&cluster, 0, &path(&format!("/members/{}", member2.id))).await.refused(403, "forbidden");
    member.put(&cluster, 0, &path(""), json!({"name": "mine"})).await.refused(403, "forbidden");
    member.delete(&cluster, 0, &path("")).await.refused(403, "forbidden");
    member.post(&cluster, 0, &role(member), json!({"role": "admin"})).await.refused(403, "forbidden");
    let until = json!({"muted_until": "2100-01-01T00:00:00Z"});
    let mute = |user: &User| path(&format!("/members/{}/mute", user.id));
    member.post(&cluster, 0, &mute(member2), until.clone()).await.refused(403, "forbidden");
    // Admins rule members, not each other, not the owner.
    let added = admin.post(&cluster, 0, &path("/members"), json!({"user_ids": [new.id, member.id]})).await.expect(200);
    let added: HashSet<&str> =
        added["items"].as_array().unwrap().iter().map(|item| item["user"]["username"].as_str().unwrap()).collect();
    assert_eq!(added, HashSet::from(["new", "member"]));
    for protected in [owner, admin2] {
        admin.delete(&cluster, 0, &path(&format!("/members/{}", protected.id))).await.refused(403, "forbidden");
        admin.post(&cluster, 0, &mute(protected), until.clone()).await.refused(403, "forbidden");
    }
    admin.post(&cluster, 0, &role(member), json!({"role": "admin"})).await.refused(403, "forbidden");
    admin.delete(&cluster, 0, &path("")).await.refused(403, "forbidden");
    let shown = admin
        .put(&cluster, 0, &path(""), json!({"name": "ours", "announcement": "hear", "avatar_url": null}))
        .await
        .expect(200);
    assert_eq!(
        (&shown["title"], &shown["announcement"], &shown["avatar_url"]),
        (&json!("ours"), &json!("hear"), &json!(null))
    );
    admin.delete(&cluster, 0, &path(&format!("/members/{}", new.id))).await.expect(204);
    new.get(&cluster, 0, &path("/members")).await.refused(404, "not_found");
    let both = json!({"user_ids": [member.id, admin2.id]});
    admin.post(&cluster, 0, &path("/members/remove"), both.clone()).await.refused(403, "forbidden");
    assert_eq!(member_ids(&cluster, owner, &made).await.len(), 5, "one who may not be removed saves all");
    assert!(agrees(&cluster, member, &made).await, "{:?}", rows(&cluster, member, &made).await);
    owner.post(&cluster, 0, &path("/members/remove"), both).await.expect(204);
    assert_eq!(member_ids(&cluster, owner, &made).await, HashSet::from([owner.id, admin.id, member2.id]));
    // The owner hands over before leaving.
    owner.post(&cluster, 0, &path("/leave"), json!({})).await.refused(409, "owner_must_transfer");
    assert!(agrees(&cluster, owner, &made).await, "{:?}", rows(&cluster, owner, &made).await);
    let shown = owner.post(&cluster, 0, &role(admin), json!({"role": "owner"})).await.expect(200);
    assert_eq!(shown["role"], "owner");
    assert_eq!(role_of(&cluster, admin, &made, owner).await, "admin", "the old owner is admin");
    owner.post(&cluster, 0, &path("/leave"), json!({})).await.expect(204);
    owner.get(&cluster, 0, &path("/members")).await.refused(404, "not_found");
    assert!(agrees(&cluster, owner, &made).await, "{:?}", rows(&cluster, owner, &made).await);
}

#[tokio::test]
async fn mutes_of_members_and_groups() {
    let cluster = Cluster::start(1).await;
    let (owner, admin, member) =
        (cluster.user("owner").await, cluster.user("admin").await, cluster.user("member").await);
    let made = group(&cluster, &owner, &[&admin, &member]).await;
    let path = |rest: &str| format!("/groups/{made}{rest}");
    owner.post(&cluster, 0, &path(&format!("/members/{}/role", admin.id)), json!({"role": "admin"})).await.expect(200);
    let mut phone = member.connect(&cluster, 0).await;
    let mute = path(&format!("/members/{}/mute", member.id));
    let until = "2100-01-01T00:00:00.000Z";
    let shown = admin.post(&cluster, 0, &mute, json!({"muted_until": until})).await.expect(200);
    assert_eq!(shown["muted_until"], until);
    let frame = phone.expect("conversation/member_muted").await;
    assert_eq!((&frame["data"]["user_id"], &frame["data"]["muted_until"]), (&json!(member.id), &json!(until)));
    let refused = phone.chat_refused(json!({"group_id": made, "content": "x"})).await;
    assert_eq!(refused["code"], "muted");
    member.post(&cluster, 0, &path("/messages"), text("x")).await.refused(403, "muted");
    let shown = admin.post(&cluster, 0, &mute, json!({"muted_until": null})).await.expect(200);
    assert_eq!(shown["muted_until"], json!(null));
    phone.say_in(&made, "free").await;
    admin.post(&cluster, 0, &mute, json!({})).await.refused(422, "invalid_request");
    admin.post(&cluster, 0, &mute, json!({"muted_until": "soon"})).await.refused(422, "invalid_request");
    // A muted group hears its owner and admins only.
    let shown = owner.put(&cluster, 0, &path(""), json!({"muted": true})).await.expect(200);
    assert_eq!(shown["muted"], true);
    assert_eq!(phone.expect("conversation/updated").await["data"]["muted"], true);
    assert_eq!(phone.chat_refused(json!({"conversation_id": made, "content": "x"})).await["code"], "muted");
    admin.post(&cluster, 0, &path("/messages"), text("x")).await.expect(201);
    owner.post(&cluster, 0, &path("/messages"), text("x")).await.expect(201);
    owner.put(&cluster, 0, &path(""), json!({"muted": false})).await.expect(200);
    phone.say_in(&made, "free again").await;
    owner
        .post(&cluster, 0, &path(&format!("/members/{}/mute", Uuid::new_v4())), json!({"muted_until": null}))
        .await
        .refused(404, "not_found");
}

async fn contents_until(device: &mut Device, last: &str) -> Vec<String> {
    let mut contents = Vec::new();
    loop {
        let content = device.next_message().await["content"].as_str().unwrap().to_owned();
        contents.push(content.clone());
        if content == last {
            return contents;
        }
    }
}

/// Removed: nothing after the answer. Added: everything after the answer. While others write all the time.
#[tokio::test]
async fn a_removed_member_gets_nothing_after_and_an_added_one_all_after() {
    let cluster = Setup::nodes(2).set("max_messages_per_second", 100_000).start().await;
    let (owner, bob, carol) = (cluster.user("owner").await, cluster.user("bob").await, cluster.user("carol").await);
    let made = group(&cluster, &owner, &[&bob]).await;
    let members = format!("/groups/{made}/members");
    let mut writer = owner.connect(&cluster, 0).await;
    let mut bob_phone = bob.connect(&cluster, 1).await;
    let mut carol_phone = carol.connect(&cluster, 1).await;
    for round in 0..5 {
        let during = async {
            for index in 0..20 {
                writer.say_in(&made, &format!("{round}.during{index}")).await;
            }
        };
        let change = async {
            owner.post(&cluster, 1, &members, json!({"user_ids": [carol.id]})).await.expect(200);
            owner.delete(&cluster, 1, &format!("{members}/{}", bob.id)).await.expect(204);
        };
        futures_util::join!(during, change);
        let after = writer.say_in(&made, &format!("{round}.after")).await;
        let got = contents_until(&mut carol_phone, &format!("{round}.after")).await;
        let removed = bob_phone
            .find(Duration::from_secs(10), |frame| {
                frame["action"] == "member_removed" && frame["data"]["user_ids"] == json!([bob.id])
            })
            .await
            .expect("the removal is the last entry");
        let removed_seq = removed["data"]["seq"].as_i64().unwrap();
        assert!(removed_seq < after["seq"].as_i64().unwrap());
        assert!(got.windows(2).all(|pair| pair[0] != pair[1]), "{got:?}");
        assert!(
            bob_phone
                .find(Duration::from_millis(200), |frame| {
                    frame["data"]["conversation_id"] == json!(made) && frame["data"]["seq"].as_i64() > Some(removed_seq)
                })
                .await
                .is_none(),
            "nothing after the removal"
        );
        bob_phone.take_waiting();
        // Back again, and the other out, for the next round.
        owner.post(&cluster, 0, &members, json!({"user_ids": [bob.id]})).await.expect(200);
        owner.delete(&cluster, 0, &format!("{members}/{}", carol.id)).await.expect(204);
        writer.say_in(&made, &format!("{round}.back")).await;
        let got = contents_until(&mut bob_phone, &format!("{round}.back")).await;
        assert_eq!(got, [format!("{round}.back")], "what was written while out is not seen");
        carol_phone.take_waiting();
        assert!(agrees(&cluster, &bob, &made).await && agrees(&cluster, &carol, &made).await);
    }
}

/// Its own send is known to it for ever, by socket and by REST.
#[tokio::test]
async fn a_removed_member_has_its_repeats_answered_and_nothing_else() {
    let cluster = Cluster::start(2).await;
    let (owner, bob) = (cluster.user("owner").await, cluster.user("bob").await);
    let made = group(&cluster, &owner, &[&bob]).await;
    let path = format!("/groups/{made}/messages");
    let body = json!({"temp_id": "mine", "message_type": "text", "content": "x"});
    let first = bob.post(&cluster, 0, &path, body.clone()).await.expect(201);
    owner.delete(&cluster, 0, &format!("/groups/{made}/members/{}", bob.id)).await.expect(204);
    let again = bob.post(&cluster, 1, &path, body).await.expect(200);
    assert_eq!(again, first);
    let mut phone = bob.connect(&cluster, 1).await;
    for target in ["group_id", "conversation_id"] {
        let sent = phone.chat(json!({target: made, "temp_id": "mine", "content": "x"})).await;
        assert_eq!((&sent["message_id"], &sent["created_at"]), (&first["id"], &first["created_at"]));
        let other = phone.chat_refused(json!({target: made, "temp_id": "mine", "content": "y"})).await;
        assert_eq!(other["code"], "temp_id_reused");
        assert_eq!(phone.chat_refused(json!({target: made, "content": "x"})).await["code"], "not_found");
    }
    let id = first["id"].as_str().unwrap();
    bob.post(&cluster, 0, &format!("/messages/{id}/recall"), json!({})).await.refused(404, "not_found");
    bob.patch(&cluster, 0, &format!("/messages/{id}"), json!({"content": "y"})).await.refused(404, "not_found");
    bob.put(&cluster, 0, &format!("/messages/{id}/reactions/x"), json!({})).await.refused(404, "not_found");
    bob.get(&cluster, 0, &format!("/groups/{made}")).await.refused(404, "not_found");
    bob.get(&cluster, 0, &path).await.refused(404, "not_found");
}

/// Leaves, and is added again on another node, while the directory cannot be written: in the end the list has what the shard has.
#[tokio::test]
async fn leaving_and_joining_again_agree_after_a_stall_between_the_databases() {
    let cluster = Cluster::start(2).await;
    let (owner, bob) = (cluster.user("owner").await, cluster.user("bob").await);
    let made = group(&cluster, &owner, &[&bob]).await;
    let members = format!("/groups/{made}/members");
    for round in 0..2 {
        let (first_token, _) = standing(&cluster, &bob, &made).await.unwrap();
        // Stalls the marking of what was left: a lock on that row alone, so that the new row can be written.
        let mut directory = cluster.databases.directory().await;
        let stall = directory.transaction().await.unwrap();
        let lock = "select 1 from listing where user_id = $1 and join_token = $2 for update";
        let leave = async {
            if round == 0 {
                bob.post(&cluster, 0, &format!("/groups/{made}/leave"), json!({})).await.expect(204);
            } else {
                owner.delete(&cluster, 0, &format!("{members}/{}", bob.id)).await.expect(204);
            }
        };
        let join = async {
            eventually("bob is out", || async { standing(&cluster, &bob, &made).await.unwrap().1 }).await;
            stall.execute(lock, &[&bob.id, &first_token]).await.unwrap();
            owner.post(&cluster, 1, &members, json!({"user_ids": [bob.id]})).await.expect(200);
            tokio::time::sleep(Duration::from_millis(300)).await;
            stall.rollback().await.unwrap();
        };
        futures_util::join!(leave, join);
        let (token, has_left) = standing(&cluster, &bob, &made).await.unwrap();
        assert!(token != first_token && !has_left);
        eventually("the list agrees", || async { agrees(&cluster, &bob, &made).await }).await;
        assert!(rows(&cluster, &bob, &made).await.contains(&(first_token, false, true)), "the first joining is marked");
        assert!(member_ids(&cluster, &bob, &made).await.contains(&bob.id));
    }
}

#[tokio::test]
async fn the_only_member_dissolves_by_leaving_and_the_owner_for_all() {
    let cluster = Cluster::start(2).await;
    let (owner, bob) = (cluster.user("owner").await, cluster.user("bob").await);
    let alone = group(&cluster, &owner, &[]).await;
    owner.post(&cluster, 0, &format!("/groups/{alone}/leave"), json!({})).await.expect(204);
    owner.get(&cluster, 0, &format!("/groups/{alone}/members")).await.refused(404, "not_found");
    let made = group(&cluster, &owner, &[&bob]).await;
    let mut phone = bob.connect(&cluster, 1).await;
    bob.delete(&cluster, 0, &format!("/conversations/{made}")).await.refused(403, "forbidden");
    owner.delete(&cluster, 0, &format!("/conversations/{made}")).await.expect(204);
    assert_eq!(phone.expect("conversation/dissolved").await["data"]["seq"], 2);
    for user in [&owner, &bob] {
        user.get(&cluster, 1, &format!("/groups/{made}/members")).await.refused(404, "not_found");
        user.post(&cluster, 1, &format!("/groups/{made}/messages"), text("x")).await.refused(404, "not_found");
        assert!(rows(&cluster, user, &made).await.iter().all(|row| !row.1 && row.2), "marked as left");
    }
    assert_eq!(phone.chat_refused(json!({"group_id": made, "content": "x"})).await["code"], "not_found");
    owner.delete(&cluster, 0, &format!("/groups/{made}")).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_sweep_puts_lists_right_after_a_crash() {
    let cluster = Cluster::start(1).await;
    let (owner, bob, carol, dave) = (
        cluster.user("owner").await,
        cluster.user("bob").await,
        cluster.user("carol").await,
        cluster.user("dave").await,
    );
    let made = group(&cluster, &owner, &[&bob, &carol]).await;
    let id = ConversationId::from_uuid(made.parse().unwrap()).unwrap();
    let directory = cluster.databases.directory().await;
    // bob: committed, never confirmed. carol: removed, never marked. dave: never committed.
    directory
        .execute("update listing set pending_at = now() - interval '1 hour' where user_id = $1", &[&bob.id])
        .await
        .unwrap();
    owner.delete(&cluster, 0, &format!("/groups/{made}/members/{}", carol.id)).await.expect(204);
    directory
        .execute(
            "update listing set pending_at = now() - interval '1 hour', left_seq = null, left_at = null where user_id = $1",
            &[&carol.id],
        )
        .await
        .unwrap();
    let never = Joining { user: UserId(dave.id), token: JoinToken::random() };
    listing::add_pending(&cluster.app(0).directory, id, &[never]).await.unwrap();
    // bob also tried under another token that came second.
    let second = Joining { user: UserId(bob.id), token: JoinToken::random() };
    listing::add_pending(&cluster.app(0).directory, id, &[second]).await.unwrap();

    assert_eq!(sweep_listings(cluster.app(0), Duration::from_mins(10)).await.unwrap(), 2);
    assert!(rows(&cluster, &carol, &made).await.iter().all(|row| !row.1 && row.2));
    assert_eq!(rows(&cluster, &dave, &made).await, [(never.token.0, true, false)], "too young to be judged");
    assert_eq!(sweep_listings(cluster.app(0), Duration::ZERO).await.unwrap(), 2);
    assert_eq!(rows(&cluster, &dave, &made).await, []);
    let (token, _) = standing(&cluster, &bob, &made).await.unwrap();
    assert_eq!(rows(&cluster, &bob, &made).await, [(token, false, false)]);
    directory
        .execute("update listing set left_at = now() - interval '91 days' where user_id = $1", &[&carol.id])
        .await
        .unwrap();
    sweep_listings(cluster.app(0), Duration::ZERO).await.unwrap();
    assert_eq!(rows(&cluster, &carol, &made).await, [], "marked rows stay ninety days");
}

#[tokio::test]
async fn thousands_of_members_in_pages() {
    let cluster = Cluster::start(1).await;
    let owner = cluster.user("owner").await;
    let directory = cluster.databases.directory().await;
    directory
        .execute(
            "insert into account (id, username, username_key, display_name)
             select gen_random_uuid(), 'm' || n, 'm' || n, 'm' || n from generate_series(1, 3000) as n",
            &[],
        )
        .await
        .unwrap();
    let ids: Vec<Uuid> = directory
        .query("select id from account where id <> $1 order by username", &[&owner.id])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let body = json!({"name": "big", "members": ids[..1000], "max_members": 100_000});
    let made = owner.post(&cluster, 0, "/groups", body).await.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    for page in ids[1000..].chunks(1_000) {
        let added =
            owner.post(&cluster, 0, &format!("/groups/{id}/members"), json!({"user_ids": page})).await.expect(200);
        assert_eq!(added["items"].as_array().unwrap().len(), 1_000);
    }
    let (mut found, mut cursor) = (HashSet::new(), String::new());
    loop {
        let page = owner.get(&cluster, 0, &format!("/groups/{id}/members?limit=1000{cursor}")).await.expect(200);
        assert!(page["items"].as_array().unwrap().len() <= 200);
        for item in page["items"].as_array().unwrap() {
            assert!(found.insert(item["user"]["id"].as_str().unwrap().parse::<Uuid>().unwrap()));
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found.len(), 3_001);
    let removed = json!({"user_ids": ids[..1000]});
    owner.post(&cluster, 0, &format!("/groups/{id}/members/remove"), removed).await.expect(204);
    owner.delete(&cluster, 0, &format!("/groups/{id}")).await.expect(204);
    let open: i64 = directory
        .query_one("select count(*) from listing where left_seq is null or pending_at is not null", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(open, 0, "all rows are marked");
}

/// Many come and go at once, on two nodes, while rows of the directory are held up at random: in the end the lists have what the
/// shard has, without any sweep.
#[tokio::test]
async fn lists_agree_with_the_shard_after_comings_and_goings_at_random() {
    let cluster = Setup::nodes(2).configure(|config| config.directory.pool_size = 16).start().await;
    let owner = cluster.user("owner").await;
    let mut users = Vec::new();
    for index in 0..4 {
        users.push(cluster.user(&format!("user{index}")).await);
    }
    let all: Vec<&User> = users.iter().collect();
    let made = group(&cluster, &owner, &all).await;
    let members = format!("/groups/{made}/members");
    let seed = Uuid::new_v4().as_u128();
    println!("seed {seed}");
    for round in 0..8_u128 {
        let directory = cluster.databases.directory().await;
        let stalled = &users[usize::try_from((seed >> round) % 4).unwrap()];
        let stall = async {
            directory.batch_execute("begin").await.unwrap();
            let lock = "select 1 from listing where user_id = $1 for update";
            directory.execute(lock, &[&stalled.id]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            directory.batch_execute("rollback").await.unwrap();
        };
        let acts = (0..12_u128).map(|act| {
            let dice = seed.rotate_left(u32::try_from(round * 13 + act * 7).unwrap());
            let (user, node) = (&users[usize::try_from(dice % 4).unwrap()], usize::try_from((dice >> 3) % 2).unwrap());
            let (cluster, owner, members, made) = (&cluster, &owner, &members, &made);
            async move {
                let answer = match (dice >> 5) % 3 {
                    0 => user.post(cluster, node, &format!("/groups/{made}/leave"), json!({})).await,
                    1 => owner.delete(cluster, node, &format!("{members}/{}", user.id)).await,
                    _ => owner.post(cluster, node, members, json!({"user_ids": [user.id]})).await,
                };
                assert!([200, 204, 404, 503].contains(&answer.status), "{answer:?}");
            }
        });
        futures_util::future::join(stall, futures_util::future::join_all(acts)).await;
    }
    for user in &users {
        eventually("the list agrees", || async { agrees(&cluster, user, &made).await }).await;
    }
}

/// The largest group there can be: its end reaches every list, its last addition is refused as full.
#[tokio::test]
async fn a_group_of_a_hundred_thousand_is_dissolved_for_all() {
    let cluster = Cluster::start(1).await;
    let (owner, bob) = (cluster.user("owner").await, cluster.user("bob").await);
    let made = owner.post(&cluster, 0, "/groups", json!({"name": "huge", "max_members": 100_000})).await.expect(201);
    let made = made["id"].as_str().unwrap().to_owned();
    let id: Uuid = made.parse().unwrap();
    let mut shard = cluster.databases.shard(0).await;
    if shard.query_opt("select 1 from conversation where id = $1", &[&id]).await.unwrap().is_none() {
        shard = cluster.databases.shard(1).await;
    }
    let user = "('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid";
    let rows = "generate_series(1, 99999) as n";
    shard
        .execute(
            &format!(
                "insert into member (conversation_id, user_id, join_token, role, first_seq, first_ordinal, read_seq, read_ordinal,
                                     delivered_seq, joined_at)
                 select $1, {user}, {user}, 0, 1, 0, 0, 0, 0, now() from {rows}"
            ),
            &[&id],
        )
        .await
        .unwrap();
    let counted = "update conversation set member_count = 100000, members_version = members_version + 1 where id = $1";
    shard.execute(counted, &[&id]).await.unwrap();
    let directory = cluster.databases.directory().await;
    directory
        .execute(
            &format!("insert into listing (user_id, conversation_id, join_token, kind) select {user}, $1, {user}, 2 from {rows}"),
            &[&id],
        )
        .await
        .unwrap();
    let full = owner.post(&cluster, 0, &format!("/groups/{made}/members"), json!({"user_ids": [bob.id]})).await;
    full.refused(409, "group_full");
    let begun = std::time::Instant::now();
    owner.delete(&cluster, 0, &format!("/groups/{made}")).await.expect(204);
    println!("dissolved in {:?}", begun.elapsed());
    let open = "select count(*) from listing where left_seq is null or pending_at is not null";
    let open: i64 = directory.query_one(open, &[]).await.unwrap().get(0);
    assert_eq!(open, 0);
    assert!(begun.elapsed() < Duration::from_secs(60));
}
