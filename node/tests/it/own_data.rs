//! All that is kept of a user is given out by the export or goes with the account, or stays for a reason that is written here: the
//! catalogs of the databases say what there is.

use std::collections::BTreeMap;
use std::time::Duration;

use herald_node::service::groups::sweep_listings::sweep_listings;
use herald_node::service::own_data::finish_deletion::sweep_deletions;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::{Cluster, Setup, User};

/// What becomes of a user's id in a column when the account is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletion {
    Gone,
    /// Why.
    Stays(&'static str),
}

/// In which part of the export it is, or why in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Export {
    In(&'static str),
    Not(&'static str),
}

use Deletion::{Gone, Stays};
use Export::{In, Not};

const OTHERS: &str = "another user's row about him";
const PASSING: &str = "gone within seconds, whatever becomes of the user";

/// Every column that names a user.
const DIRECTORY: &[(&str, Export, Deletion)] = &[
    ("audit.admin_id", Not("what was done as an administrator"), Stays("nothing removes a row")),
    ("block.other_id", Not(OTHERS), Stays(OTHERS)),
    ("block.user_id", In("blocks"), Gone),
    ("broadcast.created_by", Not("what was done as an administrator"), Stays("told to everyone")),
    ("broadcast_state.user_id", In("notifications"), Gone),
    ("deletion.user_id", Not("begins with the deletion"), Gone),
    ("event.user_id", Not("reports to administrators"), Stays("until they are old")),
    ("friend.other_id", Not(OTHERS), Stays(OTHERS)),
    ("friend.user_id", In("friends"), Gone),
    ("friend_budget.user_id", Not("a counter of the last hour"), Gone),
    ("friend_request.other_id", Not(OTHERS), Stays(OTHERS)),
    ("friend_request.user_id", In("friend_requests"), Gone),
    ("listing.peer_id", Not(OTHERS), Stays(OTHERS)),
    ("listing.user_id", In("conversations"), Gone),
    ("login.user_id", In("logins"), Gone),
    ("notification.user_id", In("notifications"), Gone),
    ("notification_position.user_id", In("notifications"), Gone),
    ("pair_pending.asker_id", Not(PASSING), Stays(PASSING)),
    ("pair_pending.high_user", Not(PASSING), Stays(PASSING)),
    ("pair_pending.low_user", Not(PASSING), Stays(PASSING)),
    ("search_name.user_id", Not("made of the profile"), Gone),
    ("subscription.created_by", Not("what was done as an administrator"), Stays("works for all of them")),
];

const SHARD: &[(&str, Export, Deletion)] = &[
    ("conversation.high_user", In("conversations"), Stays("the other one keeps the conversation")),
    ("conversation.low_user", In("conversations"), Stays("the other one keeps the conversation")),
    ("conversation.owner_id", In("conversations"), Stays("of a group that was dissolved with him")),
    ("entry.sender_id", In("messages"), Stays("others keep what was written to them")),
    ("hidden.user_id", In("hidden"), Gone),
    ("invite.created_by", Not("belongs to the group"), Stays("belongs to the group")),
    ("member.user_id", In("conversations"), Stays("what the others are shown of the group goes by it")),
    ("mention.user_id", Not("in what others wrote"), Stays("in what others wrote")),
    ("personal.user_id", In("conversations"), Gone),
    ("pin.pinned_by", Not("belongs to the conversation"), Stays("belongs to the conversation")),
    ("reaction.user_id", In("reactions"), Stays("others keep what was said to them")),
    ("read_mark.user_id", In("reads"), Gone),
];

/// Columns that name users, as the catalog has them.
async fn user_columns(client: &Client) -> Vec<String> {
    let rows = client
        .query(
            "select c.relname || '.' || a.attname
             from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0
               and not a.attisdropped and a.atttypid in ('uuid'::regtype, 'uuid[]'::regtype)
               and a.attname ~ '(^|_)(user|other|peer|owner|sender|admin|asker|by|member)(s|_ids?)?$'
             order by 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Rows of each column that name this user.
async fn rows_of(
    clients: &[Client],
    columns: &[(&'static str, Export, Deletion)],
    user: Uuid,
) -> BTreeMap<&'static str, i64> {
    let mut found = BTreeMap::new();
    for (name, ..) in columns {
        let (table, column) = name.split_once('.').unwrap();
        for client in clients {
            let sql = format!("select count(*) from {table} where {column} = $1");
            *found.entry(*name).or_default() += client.query_one(&sql, &[&user]).await.unwrap().get::<_, i64>(0);
        }
    }
    found
}

async fn post(cluster: &Cluster, user: &User, path: &str, body: Value) -> Value {
    let answer = user.post(cluster, 0, path, body).await;
    assert!((200..300).contains(&answer.status), "{path}: {}", answer.body);
    answer.body
}

/// Alice does everything that leaves a trace of her.
async fn leave_traces(cluster: &Cluster, alice: &User, admin: &User) {
    let (bob, carol, dave) = (cluster.user("bob").await, cluster.user("carol").await, cluster.user("dave").await);
    for other in [&bob, &carol] {
        post(cluster, alice, "/friends/request", json!({"user_id": other.id})).await;
    }
    post(cluster, &bob, &format!("/friends/{}/accept", alice.id), json!({})).await;
    post(cluster, alice, "/relationships/block", json!({"user_id": dave.id})).await;
    post(cluster, &cluster.user("erin").await, "/relationships/block", json!({"user_id": alice.id})).await;
    let text = |content: &str| json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content});
    let said = post(cluster, &bob, &format!("/messages/{}", alice.id), text("hi")).await;
    let chat = said["conversation_id"].as_str().unwrap();
    let group = post(cluster, alice, "/groups", json!({"name": "a group", "members": [bob.id]})).await;
    // What she owns alone ends with her, and keeps her name.
    post(cluster, alice, "/groups", json!({"name": "alone"})).await;
    let group = group["id"].as_str().unwrap();
    let mut mention = text("hi alice");
    mention["mentions"] = json!([alice.id]);
    post(cluster, &bob, &format!("/groups/{group}/messages"), mention).await;
    post(cluster, alice, &format!("/groups/{group}/messages"), text("hi all")).await;
    post(cluster, alice, &format!("/groups/{group}/invites"), json!({})).await;
    let message = format!("/messages/{}", said["id"].as_str().unwrap());
    post(cluster, alice, &format!("{message}/read"), json!({})).await;
    alice.put(cluster, 0, &format!("{message}/reactions/x"), json!({})).await.expect(200);
    alice.put(cluster, 0, &format!("{message}/pin"), json!({})).await.expect(200);
    alice.delete(cluster, 0, &message).await.expect(204);
    // Left so long ago that it is listed no more.
    let left = post(cluster, &bob, "/groups", json!({"name": "left", "members": [alice.id]})).await;
    let left = left["id"].as_str().unwrap();
    for conversation in [chat, group, left] {
        let path = format!("/conversations/{conversation}/settings");
        alice.patch(cluster, 0, &path, json!({"pinned": true})).await.expect(200);
    }
    post(cluster, alice, &format!("/groups/{left}/read"), json!({})).await;
    post(cluster, alice, &format!("/groups/{left}/leave"), json!({})).await;
    let directory = cluster.databases.directory().await;
    let was_listed = "update listing set left_at = now() - interval '91 days' where left_at is not null";
    assert_eq!(directory.execute(was_listed, &[]).await.unwrap(), 1);
    sweep_listings(cluster.app(0), Duration::ZERO).await.unwrap();
    let broadcast = post(cluster, admin, "/broadcasts", json!({"title": "hear", "content": "ye"})).await;
    let path = format!("/notifications/{}/read", broadcast["id"].as_str().unwrap());
    post(cluster, alice, &path, json!({})).await;
    post(
        cluster,
        admin,
        "/admin/notifications",
        json!({"user_ids": [alice.id], "type": "custom", "title": "a", "content": "b"}),
    )
    .await;
    post(cluster, alice, "/notifications/read-all", json!({})).await;
    post(cluster, alice, "/events", json!({"type": "card", "level": "info", "payload": {}})).await;
    // Whoever is searched for is in the index of names.
    bob.get(cluster, 0, "/users?query=alice").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_kept_of_a_user_is_given_out_or_goes_or_stays_for_a_reason() {
    let cluster = Setup::nodes(1).set("enable_first_message_limit", false).start().await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let alice = cluster.user("alice").await;
    leave_traces(&cluster, &alice, &admin).await;
    let directory = [cluster.databases.directory().await];
    let shards = [cluster.databases.shard(0).await, cluster.databases.shard(1).await];
    let parts = [(directory.as_slice(), DIRECTORY), (shards.as_slice(), SHARD)];
    let export = alice.get(&cluster, 0, "/users/me/export").await.expect(200);
    for (clients, columns) in parts {
        let named: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
        assert_eq!(user_columns(&clients[0]).await, named, "each column is in the list of its database");
        let rows = rows_of(clients, columns, alice.id).await;
        for (name, export_part, deletion) in columns {
            let is_there = rows[name] > 0;
            // Else nothing would be seen to go.
            assert!(is_there || *deletion != Gone || *name == "deletion.user_id", "{name} has nothing of her");
            if let In(part) = export_part {
                assert!(is_there || *name == "conversation.low_user" || *name == "conversation.high_user", "{name}");
                assert!(!export[part].as_array().unwrap().is_empty(), "{name} is exported in {part}");
            }
        }
    }
    assert!(export["conversations"].as_array().unwrap().iter().any(|one| one["pinned"] == true));
    assert_eq!(export["hidden"].as_array().unwrap().len(), 1);
    assert_eq!(export["reactions"][0]["emoji"], "x");

    alice.delete(&cluster, 0, "/users/me").await.expect(204);
    // Looked at once more when nothing begun before can be under way: as after that time.
    directory[0].batch_execute("update deletion set begun_at = now() - interval '1 hour'").await.unwrap();
    assert_eq!(sweep_deletions(cluster.app(0), Duration::ZERO).await.unwrap(), 1);
    for (clients, columns) in parts {
        for (name, rows) in rows_of(clients, columns, alice.id).await {
            let deletion = columns.iter().find(|column| column.0 == name).unwrap().2;
            assert!(deletion != Gone || rows == 0, "{name} has {rows} of her still");
        }
    }
    let found: i64 = directory[0].query_one("select count(*) from deletion", &[]).await.unwrap().get(0);
    assert_eq!(found, 0);
}
