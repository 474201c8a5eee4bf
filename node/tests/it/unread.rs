//! Unread counts against a brute-force recount, over random operations of several users on two nodes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, Device, Setup, User, eventually_within};

/// What a recount knows of one conversation: every entry, and for each member what it sees from and has read to.
#[derive(Default)]
struct Recount {
    /// Sender of each message by seq; none of other entries.
    log: BTreeMap<i64, Option<Uuid>>,
    members: HashMap<Uuid, Member>,
}

#[derive(Clone, Copy)]
struct Member {
    first_seq: i64,
    read_seq: i64,
    is_in: bool,
}

impl Recount {
    fn add(&mut self, seq: i64, sender: Option<Uuid>) {
        assert_eq!(self.log.len() + 1, usize::try_from(seq).unwrap(), "no gaps");
        self.log.insert(seq, sender);
    }

    fn read(&mut self, user: Uuid, seq: i64) {
        let last = self.log.len() as i64;
        let member = self.members.get_mut(&user).unwrap();
        member.read_seq = member.read_seq.max(seq.min(last));
    }

    fn unread(&self, user: Uuid) -> i64 {
        let Some(member) = self.members.get(&user).filter(|member| member.is_in) else { return 0 };
        let from = member.first_seq.max(member.read_seq + 1);
        self.log.range(from..).filter(|(_, sender)| sender.is_some_and(|sender| sender != user)).count() as i64
    }
}

struct World {
    cluster: Cluster,
    users: Vec<User>,
    conversations: Vec<(String, Recount)>,
    random: StdRng,
}

impl World {
    async fn new(seed: u64) -> Self {
        let cluster = Setup::nodes(2)
            .set("max_messages_per_second", 1_000_000)
            .set("enable_first_message_limit", false)
            .start()
            .await;
        let mut users = Vec::new();
        for name in ["alice", "bob", "carol"] {
            users.push(cluster.user(name).await);
        }
        let mut world = Self { cluster, users, conversations: Vec::new(), random: StdRng::seed_from_u64(seed) };
        for (one, other) in [(0, 1), (0, 2)] {
            let body = json!({"user_id": world.users[other].id});
            let made = world.users[one].post(&world.cluster, 0, "/conversations", body).await.expect(200);
            let members =
                [one, other].map(|at| (world.users[at].id, Member { first_seq: 1, read_seq: 0, is_in: true }));
            let recount = Recount { log: BTreeMap::new(), members: HashMap::from(members) };
            world.conversations.push((made["id"].as_str().unwrap().to_owned(), recount));
        }
        let ids = [world.users[1].id, world.users[2].id];
        let made =
            world.users[0].post(&world.cluster, 1, "/groups", json!({"name": "g", "members": ids})).await.expect(201);
        let members = world.users.iter().map(|user| (user.id, Member { first_seq: 1, read_seq: 0, is_in: true }));
        let mut recount = Recount { log: BTreeMap::new(), members: members.collect() };
        recount.add(1, None);
        world.conversations.push((made["id"].as_str().unwrap().to_owned(), recount));
        world
    }

    async fn step(&mut self) {
        let at = self.random.random_range(0..self.conversations.len());
        let node = self.random.random_range(0..2);
        let (id, recount) = &mut self.conversations[at];
        let inside: Vec<&User> =
            self.users.iter().filter(|user| recount.members.get(&user.id).is_some_and(|m| m.is_in)).collect();
        let user = *inside.choose(&mut self.random).unwrap();
        let last = recount.log.len() as i64;
        match self.random.random_range(0..10) {
            0..=4 => {
                let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": "x"});
                let sent =
                    user.post(&self.cluster, node, &format!("/conversations/{id}/messages"), body).await.expect(201);
                let seq = sent["seq"].as_i64().unwrap();
                recount.add(seq, Some(user.id));
                recount.read(user.id, seq);
            }
            5 | 6 => {
                let seq = self.random.random_range(0..=last + 1);
                let first = recount.members[&user.id].first_seq;
                user.post(&self.cluster, node, &format!("/conversations/{id}/read"), json!({"seq": seq}))
                    .await
                    .expect(204);
                if seq >= first {
                    recount.read(user.id, seq);
                }
            }
            7 => {
                user.post(&self.cluster, node, &format!("/conversations/{id}/read"), json!({})).await.expect(204);
                recount.read(user.id, last);
            }
            8 => {
                let own: Vec<i64> =
                    recount.log.iter().filter(|(_, sender)| **sender == Some(user.id)).map(|(seq, _)| *seq).collect();
                if let Some(seq) = own.choose(&mut self.random) {
                    let history = user
                        .get(
                            &self.cluster,
                            node,
                            &format!("/conversations/{id}/messages?after_seq={}&limit=1", seq - 1),
                        )
                        .await
                        .expect(200);
                    let message = &history["items"][0];
                    let visible = message["seq"].as_i64() == Some(*seq);
                    if visible && message["recalled"] == false {
                        let path = format!("/messages/{}/recall", message["id"].as_str().unwrap());
                        user.post(&self.cluster, node, &path, json!({})).await.expect(200);
                        recount.add(last + 1, None);
                    }
                }
            }
            _ if at == 2 => {
                // The owner takes somebody out, or back in.
                let (owner, other) = (&self.users[0], &self.users[self.random.random_range(1..3)]);
                let is_in = recount.members[&other.id].is_in;
                if is_in {
                    let path = format!("/groups/{id}/members/{}", other.id);
                    owner.delete(&self.cluster, node, &path).await.expect(204);
                    recount.members.get_mut(&other.id).unwrap().is_in = false;
                } else {
                    let body = json!({"user_ids": [other.id]});
                    owner.post(&self.cluster, node, &format!("/groups/{id}/members"), body).await.expect(200);
                    let member = Member { first_seq: last + 1, read_seq: last, is_in: true };
                    recount.members.insert(other.id, member);
                }
                recount.add(last + 1, None);
            }
            _ => {}
        }
    }

    async fn check(&mut self, seed: u64, step: usize) {
        for user in &self.users {
            let node = self.random.random_range(0..2);
            let answer = user.get(&self.cluster, node, "/messages/unread-count").await.expect(200);
            let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
            for (id, recount) in &self.conversations {
                expected.insert(id, recount.unread(user.id));
            }
            expected.retain(|_, count| *count > 0);
            let told = answer["conversations"].as_array().unwrap().iter();
            let told: BTreeMap<&str, i64> = told
                .map(|one| (one["conversation_id"].as_str().unwrap(), one["unread_count"].as_i64().unwrap()))
                .collect();
            assert_eq!(told, expected, "seed {seed}, step {step}, {}", user.name);
            assert_eq!(answer["total"].as_i64(), Some(expected.values().sum()), "seed {seed}, step {step}");
        }
    }
}

/// The last count that each conversation was told of, by conversation.
fn last_told(frames: &mut Vec<Value>, device: &mut Device) -> BTreeMap<String, i64> {
    frames.extend(device.take_waiting());
    let told = frames.iter().filter(|frame| frame["type"] == "unread_count_update");
    told.map(|frame| {
        let data = &frame["data"];
        (data["conversation_id"].as_str().unwrap().to_owned(), data["unread_count"].as_i64().unwrap())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_are_those_of_a_recount() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut world = World::new(seed).await;
    let bob = world.users[1].clone();
    let mut devices = [bob.connect(&world.cluster, 0).await, bob.connect(&world.cluster, 1).await];
    for step in 0..120 {
        world.step().await;
        if step % 6 == 0 {
            world.check(seed, step).await;
        }
    }
    world.check(seed, 120).await;
    // One more message in a conversation with each, so that every count is told once more.
    let id = world.conversations[0].0.clone();
    let body = json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": "last"});
    let path = format!("/conversations/{id}/messages");
    let sent = world.users[0].post(&world.cluster, 0, &path, body).await.expect(201);
    let (seq, alice) = (sent["seq"].as_i64().unwrap(), world.users[0].id);
    world.conversations[0].1.add(seq, Some(alice));
    let expected = world.conversations[0].1.unread(bob.id);
    for device in &mut devices {
        let mut frames = Vec::new();
        eventually_within(Duration::from_secs(5), "every device is told the true count", async || {
            last_told(&mut frames, device).get(&id) == Some(&expected)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_send_is_told_in_large_groups_too() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let made = alice.post(&cluster, 0, "/groups", json!({"name": "g", "members": [bob.id]})).await.expect(201);
    let group = made["id"].as_str().unwrap();
    for index in 0..2 {
        let shard = cluster.databases.shard(index).await;
        shard.execute("update conversation set member_count = 101", &[]).await.unwrap();
    }
    let (mut phone, mut laptop) = (alice.connect(&cluster, 0).await, alice.connect(&cluster, 1).await);
    let mut other = bob.connect(&cluster, 1).await;
    other.say_in(group, "unread").await;
    laptop.next_message().await;
    phone.say_in(group, "and read").await;
    for device in [&mut phone, &mut laptop] {
        let told = device.expect("unread_count_update").await;
        assert_eq!(told["data"], json!({"conversation_id": group, "unread_count": 0}));
    }
    other.next_message().await;
    let told = other.expect("unread_count_update").await;
    assert_eq!(told["data"]["unread_count"], 0, "of his own message");
    let none = Duration::from_millis(300);
    assert!(other.has_none("unread_count_update", none).await, "those of others are not told");
}
