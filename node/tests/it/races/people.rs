//! Of two users: block against send, accept against reject.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    ROUNDS_EACH, Race, Sent, Tally, cluster, direct, entries_until, history, node_in_turn, other_node, run_parts, say,
    say_in_turn, seq_of, stay,
};
use crate::friends::standing_in;
use crate::support::{Cluster, Device, User};

/// A send is either before the block, and both have it, or after it: then nobody does. Nothing begun after the answer is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn block_against_send() {
    let cluster = cluster().await;
    let tallies = run_parts(&cluster, block_part).await;
    Tally::check(&tallies, "sent before the block, after it");
}

async fn block_part(cluster: Arc<Cluster>, part: usize) -> Tally {
    let cluster = &cluster;
    let (alice, bob) = (cluster.user(&format!("alice{part}")).await, cluster.user(&format!("bob{part}")).await);
    let chat = direct(cluster, &alice, &bob).await;
    let bobs_node = (part + 1) % 3;
    let (mut alices, mut bobs) = (alice.connect(cluster, part % 3).await, bob.connect(cluster, bobs_node).await);
    let (mut race, mut tally, mut accepted) = (Race::new(part), Tally::default(), Vec::new());
    for round in 0..ROUNDS_EACH {
        let sender_node = node_in_turn(bobs_node, part, round);
        let blocker_node = other_node(sender_node, round);
        let content = format!("{round}.race");
        let send = say_in_turn(cluster, (round, sender_node), &bob, &mut bobs, &chat, &content);
        let block = async {
            let body = json!({"user_id": bob.id});
            alice.post(cluster, blocker_node, "/relationships/block", body).await.expect(204);
            // Begun after the answer, wherever.
            say(cluster, sender_node, &bob, &chat, "late").await
        };
        let (sent, late) = race.run(send, block).await;
        assert_eq!(late, Sent::Refused("blocked".to_owned()), "round {round}");
        assert!(sent.is_accepted() || sent == Sent::Refused("blocked".to_owned()), "round {round}: {sent:?}");
        tally.count(sent.is_accepted());
        if round % 5 == 0 {
            let own = say(cluster, blocker_node, &alice, &chat, "mine").await;
            assert_eq!(own, Sent::Refused("blocking".to_owned()));
        }
        alice.post(cluster, sender_node, "/relationships/unblock", json!({"user_id": bob.id})).await.expect(204);
        let end = format!("{round}.end");
        let ended = say(cluster, blocker_node, &bob, &chat, &end).await;

        let mut wanted = Vec::new();
        if let Sent::Accepted(seq) = sent {
            wanted.push((seq, json!(content)));
        }
        wanted.push((ended.seq(), json!(end)));
        let got = entries_until(&mut alices, &chat, &end).await;
        let got: Vec<(i64, Value)> =
            got.iter().map(|entry| (seq_of(entry), entry["data"]["content"].clone())).collect();
        assert_eq!(got, wanted, "round {round}");
        accepted.extend(wanted);
        stay(&bobs).await;
        bobs.take_waiting();
    }
    // The log has what was accepted, without gaps, for both and on every node.
    accepted.reverse();
    for (node, user) in [(0, &alice), (1, &bob), (2, &alice)] {
        let shown = history(cluster, node, user, &chat).await;
        let shown: Vec<(i64, Value)> =
            shown.iter().map(|item| (item["seq"].as_i64().unwrap(), item["content"].clone())).collect();
        assert_eq!(shown, accepted);
    }
    assert!(accepted.iter().map(|(seq, _)| *seq).rev().eq(1..=i64::try_from(accepted.len()).unwrap()));
    tally
}

/// One of them holds: the other finds nothing to answer. Both lists, the pair's row and what the asker is told agree.
#[tokio::test(flavor = "multi_thread")]
async fn accept_against_reject() {
    let cluster = cluster().await;
    let tallies = run_parts(&cluster, accept_part).await;
    Tally::check(&tallies, "accepted, rejected");
}

async fn accept_part(cluster: Arc<Cluster>, part: usize) -> Tally {
    let cluster = &cluster;
    let (alice, bob) = (cluster.user(&format!("alice{part}")).await, cluster.user(&format!("bob{part}")).await);
    let mut alices = alice.connect(cluster, part % 3).await;
    let directory = cluster.databases.directory().await;
    let shards = [cluster.databases.shard(0).await, cluster.databases.shard(1).await];
    let (mut race, mut tally) = (Race::new(part), Tally::default());
    for round in 0..ROUNDS_EACH {
        let node = (part + round) % 3;
        alice.post(cluster, node, "/friends/request", json!({"user_id": bob.id})).await.expect(201);
        let answer = async |node: usize, verb: &str| {
            bob.post(cluster, node, &format!("/friends/{}/{verb}", alice.id), json!({})).await
        };
        let (accepted, rejected) = race.run(answer(node, "accept"), answer(other_node(node, round), "reject")).await;
        let statuses = (accepted.status, rejected.status);
        assert!(statuses == (200, 404) || statuses == (404, 204), "round {round}: {statuses:?}");
        let are_friends = statuses.0 == 200;
        tally.count(are_friends);
        assert_eq!(standing_in(&directory, &shards, &alice, &bob).await, (are_friends, None, false));
        // What each is shown, in turn.
        let (user, other) = if round % 2 == 0 { (&alice, &bob) } else { (&bob, &alice) };
        let friends = user.get(cluster, other_node(node, round + 2), "/friends").await.expect(200);
        let friends: Vec<Value> =
            friends["items"].as_array().unwrap().iter().map(|item| item["user"]["id"].clone()).collect();
        assert_eq!(friends, if are_friends { vec![json!(other.id)] } else { Vec::new() }, "round {round}");
        let pending = user.get(cluster, node, "/friends/pending").await.expect(200);
        assert_eq!(pending["items"], json!([]), "round {round}");
        assert_eq!(told(&mut alices).await, if are_friends { "accepted" } else { "rejected" }, "round {round}");
        if are_friends {
            alice.delete(cluster, node, &format!("/friends/{}", bob.id)).await.expect(204);
        }
    }
    // Once each: what came live is all that is kept.
    assert_eq!(events(cluster, &alice).await.len(), ROUNDS_EACH);
    tally
}

/// What the asker is told, live.
async fn told(device: &mut Device) -> String {
    stay(device).await;
    let frame = device.expect("notification").await;
    frame["data"]["data"]["event"].as_str().unwrap().to_owned()
}

/// What a user was told of friends.
async fn events(cluster: &Cluster, user: &User) -> Vec<Value> {
    let page = user.get(cluster, 0, "/notifications?limit=200").await.expect(200);
    page["items"].as_array().unwrap().iter().map(|item| item["data"]["event"].clone()).collect()
}
