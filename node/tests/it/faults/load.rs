//! A small load over a cluster of processes: users who chat in pairs and in one group, and the comparison of what they saw with the
//! logs in the databases.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use herald_node::storage::provision;
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::chatter::{Acknowledged, Chatter, Closed, Common, Memory, Resync, now_ms};
use crate::support::client::call;
use crate::support::dev::DevCluster;
use crate::support::eventually_within;

/// Every log complete at everyone, after the last fault is over.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// What a cluster for these tests is started with, beside its nodes and its faults.
pub const LOAD_ARGUMENTS: &[&str] = &[
    "--seed-users",
    "16",
    "--set",
    "max_messages_per_second=1000",
    "--set",
    "enable_first_message_limit=false",
    "--set",
    "drain_s=2",
];

pub struct Load {
    pub chatters: Vec<Arc<Chatter>>,
    pub group: Uuid,
    common: Arc<Common>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    shard_urls: Vec<String>,
    logs: std::path::PathBuf,
}

/// One entry as the database has it.
#[derive(Clone, Debug)]
struct Stored {
    /// Empty for what is no message.
    temp_id: String,
    created_ms: i64,
}

/// How one message came to one device.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub created_ms: i64,
    pub delay_ms: i64,
    pub is_live: bool,
    /// The receiver was connected, on that same connection, before the message was made.
    pub was_there: bool,
    pub sender: usize,
    pub receiver: usize,
    pub conversation: Uuid,
    pub seq: i64,
}

impl Load {
    /// Users 0 and 1, 2 and 3, ... are pairs, all are in one group. `homes`: the node of each, from 0.
    pub async fn start(cluster: &DevCluster, homes: &[usize], interval: Duration) -> Self {
        let file = cluster.file();
        let nodes: Vec<String> =
            file["nodes"].as_array().unwrap().iter().map(|node| node["ws_url"].as_str().unwrap().to_owned()).collect();
        let shard_urls = file["postgres"]["shards"].as_array().unwrap().iter();
        let shard_urls = shard_urls.map(|shard| shard["url"].as_str().unwrap().to_owned()).collect();
        let secret = file["jwt_secret"].as_str().unwrap().to_owned();
        let users: Vec<(Uuid, String)> = std::fs::read_to_string(cluster.data_dir.join("loadtest-users"))
            .unwrap()
            .lines()
            .take(homes.len())
            .map(|line| line.split_once(' ').map(|(id, name)| (id.parse().unwrap(), name.to_owned())).unwrap())
            .collect();
        assert_eq!(users.len(), homes.len());
        let common = Arc::new(Common {
            refuges: AtomicUsize::new(nodes.len()),
            nodes,
            is_sending: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            interval,
            problems: Mutex::new(Vec::new()),
        });
        let mut chatters: Vec<Chatter> = users
            .iter()
            .enumerate()
            .map(|(number, (id, name))| Chatter {
                number,
                id: *id,
                name: name.clone(),
                secret: secret.clone(),
                home: AtomicUsize::new(homes[number]),
                is_patient: AtomicBool::new(false),
                targets: Vec::new(),
                common: Arc::clone(&common),
                memory: Mutex::new(Memory::default()),
            })
            .collect();
        let group = add_targets(cluster, &mut chatters).await;
        let chatters: Vec<Arc<Chatter>> = chatters.into_iter().map(Arc::new).collect();
        let tasks = chatters.iter().map(|chatter| tokio::spawn(Arc::clone(chatter).live())).collect();
        let load = Self { chatters, group, common, tasks, shard_urls, logs: cluster.data_dir.join("logs") };
        load.chats(Duration::from_secs(15)).await;
        load
    }

    /// Waits until everyone is connected and has had an answer to something sent from now on.
    pub async fn chats(&self, limit: Duration) {
        let begun = now_ms();
        eventually_within(limit, "everyone chats", async || self.all_have(|memory| answered_since(memory, begun)))
            .await;
    }

    /// Waits until these users have had an answer to something sent from now on.
    pub async fn chat(&self, users: &[usize], limit: Duration) {
        let begun = now_ms();
        let what = format!("users {users:?} chat");
        eventually_within(limit, &what, async || {
            users.iter().all(|user| answered_since(&self.chatters[*user].memory.lock(), begun))
        })
        .await;
    }

    fn all_have(&self, holds: impl Fn(&Memory) -> bool) -> bool {
        self.chatters.iter().all(|chatter| holds(&chatter.memory.lock()))
    }

    /// Sends users to a node, which may not be there for long.
    pub fn send_to(&self, node: usize, users: &[usize]) {
        for user in users {
            self.chatters[*user].home.store(node, Ordering::SeqCst);
        }
    }

    /// Sends users to a node and waits until they are there.
    pub async fn move_to(&self, node: usize, users: &[usize]) {
        self.send_to(node, users);
        let limit = Duration::from_secs(10);
        eventually_within(limit, &format!("users {users:?} are at node {node}"), async || {
            users.iter().all(|user| self.node_of(*user) == Some(node))
        })
        .await;
    }

    pub fn node_of(&self, user: usize) -> Option<usize> {
        self.chatters[user].memory.lock().connected.map(|(node, _)| node)
    }

    pub fn set_patient(&self, users: &[usize], is_patient: bool) {
        for user in users {
            self.chatters[*user].is_patient.store(is_patient, Ordering::SeqCst);
        }
    }

    /// Nothing that must never happen has happened so far.
    #[track_caller]
    pub fn check(&self) {
        let problems = self.common.problems.lock();
        assert!(
            problems.is_empty(),
            "{} problems, the first: {:#?}",
            problems.len(),
            &problems[..problems.len().min(8)]
        );
    }

    /// The longest that an answer took, or has not come, of what these users sent for the first time within this span.
    pub fn slowest_answer_ms(&self, users: &[usize], span: std::ops::Range<i64>) -> i64 {
        let mut slowest = 0;
        for user in users {
            let memory = self.chatters[*user].memory.lock();
            let answers = memory.acknowledged.values().filter(|answer| span.contains(&answer.first_sent_ms));
            slowest = slowest.max(answers.map(|answer| answer.at_ms - answer.first_sent_ms).max().unwrap_or(0));
            slowest = slowest.max(memory.longest_wait_ms(&span));
        }
        slowest
    }

    /// Answers that these users had within this span.
    pub fn answers(&self, users: &[usize], span: std::ops::Range<i64>, fits: impl Fn(&Acknowledged) -> bool) -> usize {
        let count = |user: &usize| {
            let memory = self.chatters[*user].memory.lock();
            memory.acknowledged.values().filter(|answer| span.contains(&answer.at_ms) && fits(answer)).count()
        };
        users.iter().map(count).sum()
    }

    pub fn closed(&self) -> Vec<(usize, Closed)> {
        let of = |chatter: &Arc<Chatter>| {
            let memory = chatter.memory.lock();
            memory.closed.iter().map(|closed| (chatter.number, closed.clone())).collect::<Vec<_>>()
        };
        self.chatters.iter().flat_map(of).collect()
    }

    fn resyncs(&self) -> Vec<Resync> {
        self.chatters.iter().flat_map(|chatter| chatter.memory.lock().resyncs.clone()).collect()
    }

    /// Who loses a node goes to one of the first `count`, and to no other.
    pub fn flee_to_first(&self, count: usize) {
        self.common.refuges.store(count, Ordering::SeqCst);
    }

    /// When the first of the others has seen this node dead, which ended at `died`, as their logs say. (On a busy machine a node may
    /// have been thought dead before, and have come back.)
    pub fn seen_dead_ms(&self, node: &str, died: i64) -> i64 {
        let named = format!("node={node} ");
        let mut seen = Vec::new();
        for file in std::fs::read_dir(&self.logs).unwrap() {
            let text = String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned();
            for line in text.lines().filter(|line| line.contains("a node has died") && line.contains(&named)) {
                let at = line.split_whitespace().next().unwrap();
                let at = time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339).unwrap();
                seen.push(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap());
            }
        }
        seen.into_iter()
            .filter(|seen| *seen > died - 500)
            .min()
            .unwrap_or_else(|| panic!("nobody has seen {node} dead"))
    }

    /// What is in the logs of all shards.
    async fn stored(&self) -> HashMap<Uuid, BTreeMap<i64, Stored>> {
        let mut logs: HashMap<Uuid, BTreeMap<i64, Stored>> = HashMap::new();
        for url in &self.shard_urls {
            let client = provision::connect(url).await.unwrap();
            let sql = "select id, temp_id, (extract(epoch from created_at) * 1000)::int8 from entry";
            for row in client.query(sql, &[]).await.unwrap() {
                let id: Uuid = row.get(0);
                let (conversation, seq) = (id.as_u128() >> 40 << 40, id.as_u128() & 0xff_ffff_ffff);
                let stored = Stored { temp_id: row.get::<_, Option<_>>(1).unwrap_or_default(), created_ms: row.get(2) };
                let log = logs.entry(Uuid::from_u128(conversation)).or_default();
                assert!(log.insert(i64::try_from(seq).unwrap(), stored).is_none(), "{id} is there twice");
            }
        }
        logs
    }

    /// Lets everything be answered, compares all that was seen with the logs, and ends. Answers how each message came, and what was
    /// announced as perhaps missed.
    pub async fn finish(self) -> (Vec<Arrival>, Vec<Resync>) {
        self.common.is_sending.store(false, Ordering::SeqCst);
        eventually_within(SETTLE_LIMIT, "everything is answered", async || {
            self.all_have(|memory| memory.pending.is_empty())
        })
        .await;
        let logs = self.stored().await;
        let deadline = Instant::now() + SETTLE_LIMIT;
        loop {
            let missing = self.missing(&logs);
            if missing.is_empty() {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{} entries never came, the first: {:#?}",
                missing.len(),
                &missing[..missing.len().min(8)]
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.check();
        self.compare(&logs);
        self.check_node_logs();
        self.common.is_over.store(true, Ordering::SeqCst);
        let arrivals = self.arrivals(&logs);
        let messages: usize = logs.values().map(BTreeMap::len).sum();
        let repeats: usize = self.chatters.iter().map(|chatter| chatter.memory.lock().repeats).sum();
        let resyncs = self.resyncs();
        let (mut holes, mut longest_hole) = (0, Duration::ZERO);
        for chatter in &self.chatters {
            let memory = chatter.memory.lock();
            holes += memory.holes;
            longest_hole = longest_hole.max(memory.longest_hole);
        }
        eprintln!("{messages} entries, {repeats} frames came again, {} resyncs: {resyncs:?}", resyncs.len());
        eprintln!("{holes} holes were seen and filled, the longest after {longest_hole:?}");
        for task in self.tasks {
            task.await.unwrap();
        }
        (arrivals, resyncs)
    }

    /// No node has panicked, and none has said that something is wrong with itself.
    fn check_node_logs(&self) {
        for file in std::fs::read_dir(&self.logs).unwrap() {
            let path = file.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            let bad: Vec<&str> =
                text.lines().filter(|line| line.contains("panicked at") || line.contains(" ERROR ")).take(5).collect();
            assert!(bad.is_empty(), "{}: {bad:#?}", path.display());
        }
    }

    fn conversations_of(&self, chatter: &Chatter) -> impl Iterator<Item = Uuid> {
        let mut all: Vec<Uuid> = chatter.targets.iter().map(|(id, _)| *id).collect();
        all.dedup();
        all.into_iter()
    }

    fn missing(&self, logs: &HashMap<Uuid, BTreeMap<i64, Stored>>) -> Vec<String> {
        let mut missing = Vec::new();
        for chatter in &self.chatters {
            let memory = chatter.memory.lock();
            for conversation in self.conversations_of(chatter) {
                let seen = memory.logs.get(&conversation);
                for (seq, stored) in logs.get(&conversation).into_iter().flatten() {
                    if !seen.is_some_and(|seen| seen.contains_key(seq)) {
                        missing.push(format!(
                            "{} lacks {seq} of {conversation}: {stored:?}; connections {:?}",
                            chatter.name, memory.connections
                        ));
                    }
                }
            }
        }
        missing
    }

    /// The promises: gapless, nothing twice, what was answered is there, and everyone saw the same.
    fn compare(&self, logs: &HashMap<Uuid, BTreeMap<i64, Stored>>) {
        for (conversation, log) in logs {
            let last = *log.last_key_value().unwrap().0;
            assert_eq!(i64::try_from(log.len()).unwrap(), last, "{conversation} has gaps");
            let mut seen = HashSet::new();
            for (seq, stored) in log.iter().filter(|(_, stored)| !stored.temp_id.is_empty()) {
                assert!(seen.insert(&stored.temp_id), "{} is twice in {conversation}, at {seq} too", stored.temp_id);
            }
            let times: Vec<i64> = log.values().map(|stored| stored.created_ms).collect();
            assert!(times.is_sorted(), "times of {conversation} go back");
        }
        for chatter in &self.chatters {
            let memory = chatter.memory.lock();
            for (temp_id, answer) in &memory.acknowledged {
                let stored = logs.get(&answer.conversation).and_then(|log| log.get(&answer.seq));
                assert_eq!(
                    stored.map(|stored| &stored.temp_id),
                    Some(temp_id),
                    "answered, and not so in the log: {answer:?}"
                );
            }
            for (conversation, seen) in &memory.logs {
                for (seq, seen) in seen {
                    let stored = logs.get(conversation).and_then(|log| log.get(seq));
                    let stored = stored.unwrap_or_else(|| panic!("{} saw {seen:?}, which is in no log", chatter.name));
                    if !stored.temp_id.is_empty() {
                        assert_eq!(
                            stored.temp_id, seen.content,
                            "{} saw another {seq} of {conversation}",
                            chatter.name
                        );
                    }
                }
            }
        }
    }

    fn arrivals(&self, logs: &HashMap<Uuid, BTreeMap<i64, Stored>>) -> Vec<Arrival> {
        let numbers: HashMap<&str, usize> =
            self.chatters.iter().map(|chatter| (chatter.name.as_str(), chatter.number)).collect();
        let mut arrivals = Vec::new();
        for chatter in &self.chatters {
            let memory = chatter.memory.lock();
            for (conversation, log) in &memory.logs {
                for (seq, seen) in log {
                    let stored = &logs[conversation][seq];
                    let sender = stored.temp_id.split('-').next().and_then(|name| numbers.get(name)).copied();
                    let Some(sender) = sender.filter(|sender| *sender != chatter.number) else { continue };
                    arrivals.push(Arrival {
                        created_ms: stored.created_ms,
                        delay_ms: seen.at_ms - stored.created_ms,
                        is_live: seen.is_live,
                        was_there: seen.connected_ms <= stored.created_ms,
                        sender,
                        receiver: chatter.number,
                        conversation: *conversation,
                        seq: *seq,
                    });
                }
            }
        }
        arrivals
    }
}

/// The latest arrivals of what was made within a span, for devices that were connected all the time: the worst first.
pub fn slowest(arrivals: &[Arrival], span: std::ops::Range<i64>, fits: impl Fn(&Arrival) -> bool) -> Vec<Arrival> {
    let mut found: Vec<Arrival> = arrivals
        .iter()
        .filter(|arrival| arrival.was_there && span.contains(&arrival.created_ms) && fits(arrival))
        .cloned()
        .collect();
    found.sort_by_key(|arrival| -arrival.delay_ms);
    found
}

/// All devices that stayed connected had all that was made within this span in this time.
#[track_caller]
pub fn assert_within(arrivals: &[Arrival], span: std::ops::Range<i64>, limit: Duration, what: &str) {
    let slowest = slowest(arrivals, span, |_| true);
    assert!(!slowest.is_empty(), "{what}: nothing was said");
    eprintln!("{what}: {} arrivals, the slowest {} ms", slowest.len(), slowest[0].delay_ms);
    assert!(
        u128::try_from(slowest[0].delay_ms.max(0)).unwrap() <= limit.as_millis(),
        "{what}: {:#?}",
        &slowest[..slowest.len().min(4)]
    );
}

/// All devices that stayed connected had by then all that was made within this span.
#[track_caller]
pub fn assert_there_by(arrivals: &[Arrival], span: std::ops::Range<i64>, by: i64, what: &str) {
    let mut there: Vec<&Arrival> =
        arrivals.iter().filter(|arrival| arrival.was_there && span.contains(&arrival.created_ms)).collect();
    there.sort_by_key(|arrival| -(arrival.created_ms + arrival.delay_ms));
    let last = there.first().unwrap_or_else(|| panic!("{what}: nothing was said"));
    eprintln!(
        "{what}: the last of {} was there {} ms before it had to be",
        there.len(),
        by - last.created_ms - last.delay_ms
    );
    assert!(last.created_ms + last.delay_ms <= by, "{what}: {:#?}", &there[..there.len().min(4)]);
}

fn answered_since(memory: &Memory, begun: i64) -> bool {
    memory.connected.is_some() && memory.acknowledged.values().any(|answer| answer.first_sent_ms >= begun)
}

/// Makes the conversations, so that everyone knows their ids. Answers the group's.
async fn add_targets(cluster: &DevCluster, chatters: &mut [Chatter]) -> Uuid {
    let ids: Vec<Uuid> = chatters.iter().map(|chatter| chatter.id).collect();
    let post = async |chatter: &Chatter, path: &str, body: Value| {
        let url = format!("{}/api/v1{path}", cluster.url(0));
        call(&cluster.http, reqwest::Method::POST, &url, Some(&chatter.bearer()), Some(body)).await
    };
    let group = post(&chatters[0], "/groups", json!({"name": "all", "members": &ids[1..]})).await.expect(201);
    let group: Uuid = group["id"].as_str().unwrap().parse().unwrap();
    for number in 0..chatters.len() {
        let partner = ids[number ^ 1];
        let pair = post(&chatters[number], "/conversations", json!({"user_id": partner})).await.expect(200);
        let pair: Uuid = pair["id"].as_str().unwrap().parse().unwrap();
        let to_partner = (pair, json!({"receiver_id": partner}));
        let to_group = (group, json!({"group_id": group}));
        // Three of four messages go to the pair.
        chatters[number].targets = vec![to_partner.clone(), to_partner.clone(), to_group, to_partner];
    }
    group
}
