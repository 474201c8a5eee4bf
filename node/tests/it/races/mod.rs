//! Two calls at once, from different nodes, a thousand times: whichever comes first, what is acknowledged holds.

mod groups;
mod people;
mod recalled;
mod recalls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Cluster, DEADLINE, Device, Setup, User};

/// Of each race.
const ROUNDS: usize = 1_000;
/// Rounds at the same time, each of users of their own.
const PARALLEL: usize = 20;
const ROUNDS_EACH: usize = ROUNDS / PARALLEL;
/// Of the outcomes that a race may have, each comes at least so often; else it was no race.
const EACH_AT_LEAST: usize = ROUNDS / 100;

/// Three nodes on which everyone may write as much as they like.
async fn cluster() -> Arc<Cluster> {
    let setup = Setup::nodes(3)
        .set("enable_first_message_limit", false)
        .set("max_messages_per_second", 1_000_000)
        .set("friend_requests_per_hour", 10_000)
        .set("group_invites_per_minute_per_user", 1_000)
        .configure(|config| {
            config.directory.pool_size = 8;
            config.shards.iter_mut().for_each(|shard| shard.pool_size = 8);
        });
    Arc::new(setup.start().await)
}

/// Runs all rounds, the parts of them at once. Answers what each part counted.
async fn run_parts<T, Fut>(cluster: &Arc<Cluster>, part: impl Fn(Arc<Cluster>, usize) -> Fut) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let begun = Instant::now();
    let parts: Vec<_> = (0..PARALLEL).map(|number| tokio::spawn(part(Arc::clone(cluster), number))).collect();
    let mut counted = Vec::new();
    for part in parts {
        counted.push(part.await.expect("a part of the rounds"));
    }
    println!("{ROUNDS} rounds in {:?}", begun.elapsed());
    counted
}

/// How often the first of two calls took effect, and how often the second was before it.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    first: usize,
    second: usize,
}

impl Tally {
    fn count(&mut self, is_first: bool) {
        if is_first {
            self.first += 1;
        } else {
            self.second += 1;
        }
    }

    /// All parts together; each outcome came often enough.
    fn check(parts: &[Self], what: &str) {
        let all = parts.iter().fold(Self::default(), |all, part| Self {
            first: all.first + part.first,
            second: all.second + part.second,
        });
        println!("{what}: {all:?}");
        assert!(all.first >= EACH_AT_LEAST && all.second >= EACH_AT_LEAST, "{what}: {all:?}");
    }
}

/// Two calls that race, round after round.
struct Race {
    round: usize,
    /// How long each of them took lately.
    usual: [Duration; 2],
}

impl Race {
    /// Parts begin at different places, so that not all of them do the same at the same time.
    fn new(part: usize) -> Self {
        Self { round: part, usual: [Duration::from_millis(10); 2] }
    }

    /// Runs both at once. One of them waits first, another time in every round: from nothing to as long as the other usually takes.
    async fn run<A, B>(&mut self, one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
        // 0 to 20, in an order that mixes them.
        let step = u32::try_from(self.round * 8 % 21).unwrap();
        self.round += 1;
        let waits = [self.usual[1] * step.saturating_sub(10) / 10, self.usual[0] * 10_u32.saturating_sub(step) / 10];
        let ((one, one_took), (other, other_took)) = join(timed(waits[0], one), timed(waits[1], other)).await;
        for (usual, took) in self.usual.iter_mut().zip([one_took, other_took]) {
            *usual = (*usual * 3 + took) / 4;
        }
        (one, other)
    }
}

async fn timed<T>(wait: Duration, call: impl Future<Output = T>) -> (T, Duration) {
    tokio::time::sleep(wait).await;
    let begun = Instant::now();
    let answer = call.await;
    (answer, begun.elapsed())
}

/// What came of a send.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    /// With this seq.
    Accepted(i64),
    /// With this code.
    Refused(String),
}

impl Sent {
    const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    #[track_caller]
    fn seq(&self) -> i64 {
        match self {
            Self::Accepted(seq) => *seq,
            Self::Refused(code) => panic!("refused: {code}"),
        }
    }
}

fn text(content: &str) -> Value {
    json!({"temp_id": Uuid::new_v4(), "message_type": "text", "content": content})
}

fn id_of(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

async fn say(cluster: &Cluster, node: usize, user: &User, conversation: &str, content: &str) -> Sent {
    let path = format!("/conversations/{conversation}/messages");
    let answer = user.post(cluster, node, &path, text(content)).await;
    match answer.status {
        201 => Sent::Accepted(answer.body["seq"].as_i64().unwrap()),
        _ => Sent::Refused(answer.body["code"].as_str().unwrap().to_owned()),
    }
}

async fn say_on(device: &mut Device, conversation: &str, content: &str) -> Sent {
    let mut data = text(content);
    data["conversation_id"] = json!(conversation);
    let answer = device.ask(json!({"type": "chat", "action": "send", "data": data})).await;
    match answer["data"]["code"].as_str() {
        Some(code) => Sent::Refused(code.to_owned()),
        None => Sent::Accepted(answer["data"]["seq"].as_i64().unwrap()),
    }
}

/// Whether a round's send goes by socket, or by REST: in turn.
const fn is_by_socket(round: usize) -> bool {
    round.is_multiple_of(2)
}

/// Where it is made: by socket where that is, by REST at one node after the other.
const fn node_in_turn(device_node: usize, part: usize, round: usize) -> usize {
    if is_by_socket(round) { device_node } else { (part + round) % 3 }
}

/// A round's send, made at that node by the user or its device there.
async fn say_in_turn(
    cluster: &Cluster,
    (round, node): (usize, usize),
    user: &User,
    device: &mut Device,
    conversation: &str,
    content: &str,
) -> Sent {
    if is_by_socket(round) {
        say_on(device, conversation, content).await
    } else {
        say(cluster, node, user, conversation, content).await
    }
}

async fn direct(cluster: &Cluster, one: &User, other: &User) -> String {
    id_of(&one.post(cluster, 0, "/conversations", json!({"user_id": other.id})).await.expect(200))
}

/// Asked again where a joining came too late, as it may on a machine that is very busy: all parts begin at once.
async fn group(cluster: &Cluster, owner: &User, members: &[&User]) -> String {
    let members: Vec<Uuid> = members.iter().map(|user| user.id).collect();
    let body = json!({"name": "a group", "members": members, "temp_id": Uuid::new_v4()});
    for _ in 0..5 {
        let answer = owner.post(cluster, 0, "/groups", body.clone()).await;
        if answer.status != 503 {
            return id_of(&answer.expect(201));
        }
    }
    panic!("no group could be made");
}

/// All messages that a user sees, newest first.
async fn history(cluster: &Cluster, node: usize, user: &User, conversation: &str) -> Vec<Value> {
    let page = user.get(cluster, node, &format!("/conversations/{conversation}/messages?limit=200")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

/// An entry of the log, of any kind.
fn is_entry(frame: &Value, conversation: &str) -> bool {
    matches!(frame["type"].as_str(), Some("chat" | "conversation"))
        && frame["data"]["conversation_id"] == conversation
        && frame["data"]["seq"].is_i64()
        && frame["action"] != "message_sent"
}

fn seq_of(frame: &Value) -> i64 {
    frame["data"]["seq"].as_i64().unwrap()
}

/// What comes to a device of one conversation up to the message with this content, in the order in which it came. Without its
/// beginning, which may still come to who connects right after it.
async fn entries_until(device: &mut Device, conversation: &str, content: &str) -> Vec<Value> {
    stay(device).await;
    let mut entries = Vec::new();
    loop {
        let entry = device.find(DEADLINE, |frame| is_entry(frame, conversation)).await;
        let entry = entry.unwrap_or_else(|| panic!("{content} did not come, but {entries:?}"));
        let is_last = entry["data"]["content"] == content;
        if entry["action"] != "created" {
            entries.push(entry);
        }
        if is_last {
            // What else came is of no use here.
            device.take_waiting();
            return entries;
        }
    }
}

/// The rounds may take longer than a client may be silent.
async fn stay(device: &Device) {
    device.send(json!({"type": "ping"})).await;
}

/// A node that is not this one, another in each round.
const fn other_node(node: usize, round: usize) -> usize {
    (node + 1 + round / 2 % 2) % 3
}
