//! Links into groups: who may make and withdraw them, whom they let in, and that the last use is had once.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::{join as join_both, join_all};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::Answer;
use crate::support::{Cluster, Setup, User, eventually, lock_waiters};

async fn group(cluster: &Cluster, owner: &User, members: &[&User]) -> String {
    let ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
    let made = owner.post(cluster, 0, "/groups", json!({"name": "a group", "members": ids})).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

async fn make(cluster: &Cluster, user: &User, group: &str, body: Value) -> Answer {
    user.post(cluster, 0, &format!("/groups/{group}/invites"), body).await
}

async fn link(cluster: &Cluster, user: &User, group: &str, body: Value) -> (String, String) {
    let made = make(cluster, user, group, body).await.expect(201);
    (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
}

async fn join(cluster: &Cluster, node: usize, user: &User, token: &str) -> Answer {
    user.post(cluster, node, "/groups/join", json!({"token": token})).await
}

async fn uses(cluster: &Cluster, owner: &User, group: &str, id: &str) -> i64 {
    let page = owner.get(cluster, 0, &format!("/groups/{group}/invites")).await.expect(200);
    let items = page["items"].as_array().unwrap().clone();
    items.iter().find(|item| item["id"] == id).unwrap()["uses"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lets_a_stranger_in_and_everyone_sees_it() {
    let cluster = Setup::nodes(2)
        .configure(|config| config.invite_url = "https://chat.example/join#{token}".to_owned())
        .start()
        .await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let group = group(&cluster, &alice, &[&bob]).await;
    let made = make(&cluster, &alice, &group, json!({"max_uses": 3, "expires_in_s": 3600})).await.expect(201);
    let token = made["token"].as_str().unwrap();
    assert_eq!(made["url"], format!("https://chat.example/join#{token}"));
    assert_eq!((&made["uses"], &made["max_uses"], &made["created_by"]), (&json!(0), &json!(3), &json!(alice.id)));
    assert!(made["expires_at"].as_str().unwrap() > made["created_at"].as_str().unwrap());

    let mut bob_phone = bob.connect(&cluster, 1).await;
    let mut carol_phone = carol.connect(&cluster, 0).await;
    let joined = join(&cluster, 1, &carol, token).await.expect(200);
    assert_eq!((&joined["id"], &joined["role"]), (&json!(group), &json!("member")));
    assert_eq!(
        (&joined["member_count"], &joined["first_seq"], &joined["unread_count"]),
        (&json!(3), &json!(2), &json!(0))
    );
    // What was before plus what came is what is now, for the old member and for the new one.
    for device in [&mut bob_phone, &mut carol_phone] {
        let frame = device.expect("conversation/member_added").await;
        let data = &frame["data"];
        assert_eq!((&data["conversation_id"], &data["seq"]), (&json!(group), &json!(2)));
        assert_eq!((&data["by"], &data["user_ids"]), (&json!(carol.id), &json!([carol.id])));
    }
    carol_phone.say_in(&group, "hello").await;
    assert_eq!(bob_phone.next_message().await["content"], "hello");

    // A lost answer is asked for again; that uses nothing up.
    assert_eq!(join(&cluster, 0, &carol, token).await.expect(200)["id"], json!(group));
    let id = made["id"].as_str().unwrap();
    assert_eq!(uses(&cluster, &alice, &group, id).await, 1);

    // Former members come back, and see what is said from then on.
    carol.post(&cluster, 0, &format!("/groups/{group}/leave"), json!({})).await.expect(204);
    bob_phone.say_in(&group, "without carol").await;
    let again = join(&cluster, 1, &carol, token).await.expect(200);
    assert_eq!((&again["first_seq"], &again["last_seq"]), (&json!(6), &json!(6)));
    let page = carol.get(&cluster, 0, &format!("/groups/{group}/messages")).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 0, "{page}");
    assert_eq!(uses(&cluster, &alice, &group, id).await, 2);
    // Also who was put out, as long as the link stands.
    alice.delete(&cluster, 0, &format!("/groups/{group}/members/{}", carol.id)).await.expect(204);
    join(&cluster, 0, &carol, token).await.expect(200);
    alice.delete(&cluster, 0, &format!("/groups/{group}/members/{}", carol.id)).await.expect(204);
    join(&cluster, 0, &carol, token).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_owner_and_admins_make_see_and_withdraw_links() {
    let cluster = Cluster::start(1).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let group = group(&cluster, &alice, &[&bob]).await;
    let path = format!("/groups/{group}/invites");
    let (id, token) = link(&cluster, &alice, &group, json!({})).await;
    for (user, status, code) in [(&bob, 403, "forbidden"), (&carol, 404, "not_found")] {
        make(&cluster, user, &group, json!({})).await.refused(status, code);
        user.get(&cluster, 0, &path).await.refused(status, code);
        user.delete(&cluster, 0, &format!("{path}/{id}")).await.refused(status, code);
    }
    let role = format!("/groups/{group}/members/{}/role", bob.id);
    alice.post(&cluster, 0, &role, json!({"role": "admin"})).await.expect(200);
    let (second, _) = link(&cluster, &bob, &group, json!({"expires_at": "2099-01-01T00:00:00Z"})).await;
    let seen = bob.get(&cluster, 0, &format!("/conversations/{group}/invites?limit=1")).await.expect(200);
    assert_eq!((&seen["items"][0]["id"], seen["items"].as_array().unwrap().len()), (&json!(second), 1));
    let next = seen["next_cursor"].as_str().unwrap();
    let rest = bob.get(&cluster, 0, &format!("{path}?limit=1&cursor={next}")).await.expect(200);
    assert_eq!((&rest["items"][0]["id"], &rest["next_cursor"]), (&json!(id), &Value::Null));
    assert_eq!(rest["items"][0]["token"], json!(token));
    assert!(rest["items"][0].get("url").is_none());

    bob.delete(&cluster, 0, &format!("{path}/{id}")).await.expect(204);
    bob.delete(&cluster, 0, &format!("{path}/{id}")).await.refused(404, "not_found");
    bob.delete(&cluster, 0, &format!("{path}/nonsense")).await.refused(404, "not_found");
    join(&cluster, 0, &carol, &token).await.refused(404, "not_found");
    for (field, body) in [
        ("max_uses", json!({"max_uses": 0})),
        ("max_uses", json!({"max_uses": 100_001})),
        ("max_uses", json!({"max_uses": "3"})),
        ("expires_in_s", json!({"expires_in_s": 0})),
        ("expires_in_s", json!({"expires_in_s": 1_000_000_000})),
        ("expires_at", json!({"expires_at": "2020-01-01T00:00:00Z"})),
        ("expires_at", json!({"expires_at": "soon"})),
        ("expires_in_s", json!({"expires_in_s": 5, "expires_at": "2099-01-01T00:00:00Z"})),
    ] {
        let answer = make(&cluster, &alice, &group, body).await;
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
        answer.refused(422, "invalid_request");
    }
    // A link of a dissolved group leads nowhere.
    let (_, token) = link(&cluster, &alice, &group, json!({})).await;
    alice.delete(&cluster, 0, &format!("/groups/{group}")).await.expect(204);
    join(&cluster, 0, &carol, &token).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_link_does_not_let_in() {
    let cluster = Cluster::start(1).await;
    let (alice, bob, carol) = (cluster.user("alice").await, cluster.user("bob").await, cluster.user("carol").await);
    let small = alice.post(&cluster, 0, "/groups", json!({"name": "small", "max_members": 2})).await.expect(201);
    let small = small["id"].as_str().unwrap();
    let (id, token) = link(&cluster, &alice, small, json!({})).await;
    for bad in ["", "x", &token[1..], &format!("{}AAAA", &token[..32])] {
        join(&cluster, 0, &bob, bad).await.refused(404, "not_found");
    }
    let answer = bob.post(&cluster, 0, "/groups/join", json!({})).await;
    answer.refused(422, "invalid_request");
    alice.post(&cluster, 0, "/relationships/block", json!({"user_id": bob.id})).await.expect(204);
    join(&cluster, 0, &bob, &token).await.refused(403, "blocked");
    carol.post(&cluster, 0, "/relationships/block", json!({"user_id": alice.id})).await.expect(204);
    join(&cluster, 0, &carol, &token).await.refused(403, "blocking");
    alice.post(&cluster, 0, "/relationships/unblock", json!({"user_id": bob.id})).await.expect(204);
    carol.post(&cluster, 0, "/relationships/unblock", json!({"user_id": alice.id})).await.expect(204);
    join(&cluster, 0, &bob, &token).await.expect(200);
    join(&cluster, 0, &carol, &token).await.refused(409, "group_full");
    assert_eq!(uses(&cluster, &alice, small, &id).await, 1, "who found no room has used nothing up");

    let other = group(&cluster, &alice, &[]).await;
    let (_, short) = link(&cluster, &alice, &other, json!({"expires_in_s": 3_600})).await;
    for index in 0..2 {
        cluster
            .databases
            .shard(index)
            .await
            .execute("update invite set expires_at = clock_timestamp()", &[])
            .await
            .unwrap();
    }
    join(&cluster, 0, &carol, &short).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_is_had_once_by_many_who_want_it_on_three_nodes() {
    let cluster = Cluster::start(3).await;
    let alice = cluster.user("alice").await;
    let group = group(&cluster, &alice, &[]).await;
    let (id, token) = link(&cluster, &alice, &group, json!({"max_uses": 7})).await;
    let mut users = Vec::new();
    for index in 0..24 {
        users.push(cluster.user(&format!("u{index}")).await);
    }
    // Each twice, on two nodes at once: a user comes in once and uses the link once.
    let tries = users.iter().enumerate().flat_map(|(index, user)| [(index % 3, user), ((index + 1) % 3, user)]);
    let answers = join_all(tries.map(|(node, user)| {
        let (cluster, token) = (&cluster, &token);
        async move { (user.id, join(cluster, node, user, token).await.status) }
    }))
    .await;
    assert!(answers.iter().all(|(_, status)| [200, 404].contains(status)), "{answers:?}");
    let inside: HashSet<Uuid> = answers.iter().filter(|(_, status)| *status == 200).map(|(user, _)| *user).collect();
    assert_eq!(inside.len(), 7, "{answers:?}");
    assert_eq!(uses(&cluster, &alice, &group, &id).await, 7);
    let page = alice.get(&cluster, 1, &format!("/groups/{group}/members?limit=200")).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 8);
    let view = alice.get(&cluster, 2, &format!("/groups/{group}")).await.expect(200);
    assert_eq!((&view["member_count"], &view["last_seq"]), (&json!(8), &json!(8)));
    // Nothing is left of those who did not get in.
    let outside = users.iter().filter(|user| !inside.contains(&user.id));
    for user in outside {
        assert_eq!(user.get(&cluster, 0, "/groups").await.expect(200)["items"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_that_a_link_is_withdrawn_sees_nobody_come_in_by_it() {
    let cluster = Cluster::start(3).await;
    let alice = cluster.user("alice").await;
    let group = group(&cluster, &alice, &[]).await;
    let mut users = Vec::new();
    for index in 0..30 {
        users.push(cluster.user(&format!("u{index}")).await);
    }
    for round in users.chunks(3) {
        let (id, token) = link(&cluster, &alice, &group, json!({})).await;
        let joining = join_all(round.iter().enumerate().map(|(node, user)| join(&cluster, node, user, &token)));
        let withdrawing = async {
            let path = format!("/groups/{group}/invites/{id}");
            alice.delete(&cluster, 1, &path).await.expect(204);
            let view = alice.get(&cluster, 0, &format!("/groups/{group}")).await.expect(200);
            view["member_count"].as_i64().unwrap()
        };
        let (answers, count) = tokio::join!(joining, withdrawing);
        assert!(answers.iter().all(|answer| [200, 404].contains(&answer.status)));
        let view = alice.get(&cluster, 2, &format!("/groups/{group}")).await.expect(200);
        assert_eq!(view["member_count"].as_i64().unwrap(), count, "somebody came in after it was withdrawn");
    }
}

/// The table of links is held up while a link is made and its maker demoted: either the link is there when the demotion is answered, or
/// it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_demoted_makes_no_link_after_the_answer_and_withdraws_none() {
    let cluster = Cluster::start(2).await;
    let (owner, admin) = (cluster.user("owner").await, cluster.user("admin").await);
    let team = group(&cluster, &owner, &[&admin]).await;
    let role = format!("/groups/{team}/members/{}/role", admin.id);
    let listed = async || {
        let page = owner.get(&cluster, 1, &format!("/groups/{team}/invites")).await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| item["id"].clone()).collect::<Vec<_>>()
    };
    for makes in [true, false] {
        owner.post(&cluster, 0, &role, json!({"role": "admin"})).await.expect(200);
        let (old, _) = link(&cluster, &owner, &team, json!({})).await;
        let mut stalls = Vec::new();
        for index in 0..2 {
            let shard = cluster.databases.shard(index).await;
            shard.batch_execute("begin; lock table invite in share row exclusive mode").await.unwrap();
            stalls.push(shard);
        }
        let act = async {
            let path = format!("/groups/{team}/invites");
            if makes {
                admin.post(&cluster, 1, &path, json!({})).await
            } else {
                admin.delete(&cluster, 1, &format!("{path}/{old}")).await
            }
        };
        let demote = async {
            let (first, second) = (cluster.databases.shard(0).await, cluster.databases.shard(1).await);
            eventually("it waits for the table", || async {
                lock_waiters(&first).await + lock_waiters(&second).await > 0
            })
            .await;
            let release = async {
                tokio::time::sleep(Duration::from_millis(400)).await;
                for stall in &stalls {
                    stall.batch_execute("rollback").await.unwrap();
                }
            };
            let demote = async {
                owner.post(&cluster, 0, &role, json!({"role": "member"})).await.expect(200);
                listed().await
            };
            join_both(release, demote).await.1
        };
        let (done, at_the_answer) = join_both(act, demote).await;
        assert!([201, 204, 403].contains(&done.status), "{}", done.body);
        assert_eq!(listed().await, at_the_answer, "nothing changes after the answer");
    }
}
