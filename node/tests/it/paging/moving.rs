//! The list of conversations is ordered by what moves. Those that do not move come once, whatever the others do; one that moves ahead is
//! where a new reading begins, and one that moves behind what was read comes there again.

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::support::{Cluster, User, eventually, lock_waiters};

async fn group(cluster: &Cluster, owner: &User, members: &[Uuid]) -> String {
    let made = owner.post(cluster, 0, "/groups", json!({"name": "G", "members": members})).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// One page of two, and where the next begins.
async fn page(cluster: &Cluster, reader: &User, cursor: &str) -> (Vec<String>, Option<String>) {
    let page = reader.get(cluster, 0, &format!("/conversations?limit=2&cursor={cursor}")).await.expect(200);
    let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
    (page["items"].as_array().unwrap().iter().map(id).collect(), page["next_cursor"].as_str().map(str::to_owned))
}

/// All pages from a cursor on.
async fn rest(cluster: &Cluster, reader: &User, mut next: Option<String>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(cursor) = next {
        let (ids, following) = page(cluster, reader, &cursor).await;
        all.extend(ids);
        next = following;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_that_do_not_move_come_once_while_others_move() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let mut groups = Vec::new();
    for _ in 0..9 {
        groups.push(group(&cluster, &alice, &[]).await);
    }
    let pin = async |group: &str, is_pinned: bool| {
        let path = format!("/conversations/{group}/settings");
        alice.patch(&cluster, 0, &path, json!({"pinned": is_pinned})).await.expect(200);
    };
    let say = async |group: &str| {
        let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": "moves it"});
        alice.post(&cluster, 0, &format!("/conversations/{group}/messages"), body).await.expect(201);
    };
    pin(&groups[0], true).await;
    // The pinned one, and the newest; 7 is next.
    let (mut shown, next) = page(&cluster, &alice, "").await;
    assert_eq!(shown, [groups[0].clone(), groups[8].clone()]);
    say(&groups[8]).await;
    say(&groups[2]).await;
    pin(&groups[4], true).await;
    pin(&groups[0], false).await;
    shown.extend(rest(&cluster, &alice, next).await);
    // What was shown and moved ahead does not come again; what moved behind does; what moved ahead unseen is where one begins again.
    let expected = [0, 8, 7, 6, 5, 3, 1, 0].map(|index: usize| groups[index].clone());
    assert_eq!(shown, expected);
    assert_eq!(page(&cluster, &alice, "").await.0, [groups[4].clone(), groups[2].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_left_while_the_list_is_read_does_not_end_it() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let shard_of = |group: &str| {
        let id = herald_node::domain::ConversationId(group.parse().unwrap());
        cluster.app(0).shards.of(id).unwrap().id.0
    };
    let group_of = async |owner: &User, shard: u16| loop {
        let group = group(&cluster, owner, &[]).await;
        if shard_of(&group) == shard {
            break group;
        }
    };
    for _ in 0..3 {
        group_of(&alice, 1).await;
    }
    let restless = group_of(&bob, 0).await;
    let members = format!("/groups/{restless}/members");
    bob.post(&cluster, 0, &members, json!({"user_ids": [alice.id]})).await.expect(200);
    let mut whole = rest(&cluster, &alice, Some(String::new())).await;
    assert_eq!(whole.remove(0), restless);
    // The order of the one shard is read, that of the other has to wait: meanwhile it is left.
    let (first, lock, watch) =
        (cluster.databases.shard(0).await, cluster.databases.shard(1).await, cluster.databases.shard(1).await);
    lock.batch_execute("begin; lock table personal").await.unwrap();
    let sql = "select clock_timestamp()";
    let locked_at: OffsetDateTime = lock.query_one(sql, &[]).await.unwrap().get(0);
    let is_read = async || {
        let sql = "select count(*) from pg_stat_activity
                   where datname = current_database() and query like '%s.is_pinned%' and state = 'idle' and query_start > $1";
        first.query_one(sql, &[&locked_at]).await.unwrap().get::<_, i64>(0) > 0
    };
    let leaving = async {
        eventually("the list is being read", || async { lock_waiters(&watch).await > 0 && is_read().await }).await;
        bob.delete(&cluster, 0, &format!("{members}/{}", alice.id)).await.expect(204);
        lock.batch_execute("commit").await.unwrap();
    };
    let ((mut shown, next), ()) = tokio::join!(page(&cluster, &alice, ""), leaving);
    shown.retain(|id| *id != restless);
    shown.extend(rest(&cluster, &alice, next).await);
    assert_eq!(shown, whole);
}
