//! A shard with a standby loses its primary for good, and the standby is promoted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use herald_node::config::SlotRange;
use herald_node::storage::{Database, migrate, provision};
use herald_node::tasks::Tasks;
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::own::OwnPostgres;
use super::support::{Cluster, Device, Setup, User, eventually, eventually_within};

/// From the promotion's end until sends are acknowledged again: the pauses of lanes and pools are a second at most.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// What nodes tell of a failover, and clients sync after it.
const NEWS_MAX: Duration = Duration::from_secs(20);

/// One shard on a primary and its standby.
struct Pair {
    primary: OwnPostgres,
    standby: OwnPostgres,
}

impl Pair {
    async fn start() -> Self {
        let primary = OwnPostgres::start().await;
        provision::create_database(&primary.options.url("postgres"), "shard").await.unwrap();
        migrate::migrate_shard("shard", &primary.options.url("shard"), SlotRange { first: 0, last: 1023 })
            .await
            .unwrap();
        let standby = OwnPostgres::standby_of(&primary).await;
        let pair = Self { primary, standby };
        pair.is_followed(true).await;
        pair
    }

    /// Whoever of both takes writes.
    fn url(&self) -> String {
        let (one, other) = (self.primary.options.port, self.standby.options.port);
        format!("postgres://herald@127.0.0.1:{one},127.0.0.1:{other}/shard?target_session_attrs=read-write")
    }

    async fn on_primary(&self, sql: &str) {
        provision::connect(&self.primary.options.url("postgres")).await.unwrap().batch_execute(sql).await.unwrap();
    }

    async fn on_standby(&self, sql: &str) {
        let client = provision::connect(&self.standby.options.url("postgres")).await.unwrap();
        for one in sql.split(';') {
            client.batch_execute(one).await.unwrap();
        }
    }

    async fn is_followed(&self, wanted: bool) {
        let client = provision::connect(&self.primary.options.url("postgres")).await.unwrap();
        let sql = "select count(*) filter (where state = 'streaming' and replay_lsn >= pg_current_wal_lsn()) > 0,
                          count(*) > 0 from pg_stat_replication";
        eventually(if wanted { "the standby has all" } else { "nobody follows" }, || async {
            let row = client.query_one(sql, &[]).await.unwrap();
            if wanted { row.get(0) } else { !row.get::<_, bool>(1) }
        })
        .await;
    }

    /// `kill -9`, and the standby takes over.
    async fn fail_over(&mut self) {
        self.primary.kill();
        let client = provision::connect(&self.standby.options.url("postgres")).await.unwrap();
        assert!(client.query_one("select pg_promote(true, 20)", &[]).await.unwrap().get::<_, bool>(0));
    }
}

fn setup(pair: &Pair, is_synchronous: bool) -> Setup {
    Setup::nodes(2)
        .shards(1)
        .shard_urls(&[pair.url()])
        .set("max_messages_per_second", 100_000)
        .configure(move |config| config.shards[0].is_synchronous = is_synchronous)
}

/// A client that goes by seq and by the log's epoch, as the contract says.
struct Follower {
    name: &'static str,
    device: Device,
    group: String,
    epoch: Value,
    held: BTreeMap<i64, String>,
    resyncs: usize,
    starts: usize,
}

impl Follower {
    async fn open(name: &'static str, user: &User, cluster: &Cluster, node: usize, group: &str) -> Self {
        let device = user.connect(cluster, node).await;
        let (epoch, held) = (Value::Null, BTreeMap::new());
        let own = Self { name, device, group: group.to_owned(), epoch, held, resyncs: 0, starts: 0 };
        own.ask_after(0).await;
        own
    }

    async fn ask_after(&self, seq: i64) {
        let asked = json!({"conversations": [{"conversation_id": self.group, "after_seq": seq}]});
        self.device.send(json!({"type": "sync", "data": asked})).await;
    }

    fn complete_to(&self) -> i64 {
        (1..).zip(self.held.keys()).take_while(|(seq, key)| seq == *key).map(|(seq, _)| seq).last().unwrap_or(0)
    }

    fn keep(&mut self, frame: &Value) {
        let (Some(seq), true) = (frame["data"]["seq"].as_i64(), frame["data"]["conversation_id"] == *self.group) else {
            return;
        };
        if ["chat", "conversation"].iter().any(|kind| frame["type"] == *kind) && frame["action"] != "message_sent" {
            let shown = frame["data"]["content"].as_str().or(frame["action"].as_str()).unwrap_or_default();
            self.held.entry(seq).or_insert_with(|| shown.to_owned());
        }
    }

    async fn take(&mut self, frame: &Value) {
        if frame["type"] == "resync" {
            self.resyncs += 1;
            self.ask_after(self.complete_to()).await;
        } else if frame["action"] == "page" && frame["data"]["conversation_id"] == *self.group {
            let page = &frame["data"];
            if self.epoch != page["log_epoch"] {
                let is_first = self.epoch.is_null();
                self.epoch = page["log_epoch"].clone();
                if !is_first {
                    // Another log from now on: what is held may be of an end that was lost.
                    self.starts += 1;
                    self.held.clear();
                    return self.ask_after(0).await;
                }
            }
            for one in page["frames"].as_array().into_iter().flatten() {
                self.keep(one);
            }
            if page["has_more"] == true {
                self.ask_after(self.complete_to()).await;
            }
        } else {
            self.keep(frame);
        }
    }

    /// Listens until it holds exactly this, or for so long.
    async fn comes_to(&mut self, expected: &BTreeMap<i64, String>) {
        let deadline = Instant::now() + NEWS_MAX;
        while self.held != *expected {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(frame) = self.device.find(left.min(Duration::from_millis(100)), |_| true).await else {
                assert!(!left.is_zero(), "{} holds {}", self.name, difference(&self.held, expected));
                continue;
            };
            self.take(&frame).await;
        }
    }
}

fn difference(held: &BTreeMap<i64, String>, expected: &BTreeMap<i64, String>) -> String {
    let lacks: Vec<_> = expected.iter().filter(|(seq, _)| !held.contains_key(seq)).take(5).collect();
    let other: Vec<_> = held.iter().filter(|(seq, text)| expected.get(seq) != Some(text)).take(5).collect();
    format!("{} of {}; lacks {lacks:?}; has instead {other:?}", held.len(), expected.len())
}

/// The log as REST shows it: seq and content of each message, with the seq of the group's making.
async fn log_of(cluster: &Cluster, user: &User, group: &str) -> BTreeMap<i64, String> {
    let mut log = BTreeMap::from([(1, "created".to_owned())]);
    loop {
        let after = log.keys().max().copied().unwrap();
        let path = format!("/groups/{group}/messages?after_seq={after}&limit=200");
        let page = user.get(cluster, 0, &path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        for item in items {
            log.insert(item["seq"].as_i64().unwrap(), item["content"].as_str().unwrap().to_owned());
        }
        if items.len() < 200 {
            return log;
        }
    }
}

async fn group_of(cluster: &Cluster, owner: &User, others: &[&User]) -> String {
    let members: Vec<Uuid> = others.iter().map(|user| user.id).collect();
    let made = owner.post(cluster, 0, "/groups", json!({"name": "g", "members": members})).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

/// Sends again, under the same `temp_id`, until it is acknowledged: its seq.
async fn send_until_acknowledged(device: &mut Device, group: &str, content: &str) -> i64 {
    let temp_id = Uuid::new_v4();
    let data = json!({"conversation_id": group, "content": content, "temp_id": temp_id, "message_type": "text"});
    loop {
        let answer = device.ask(json!({"type": "chat", "action": "send", "data": data})).await;
        if answer["action"] == "message_sent" {
            return answer["data"]["seq"].as_i64().unwrap();
        }
        assert_eq!(answer["data"]["retryable"], true, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_confirmed_every_commit_takes_over_without_a_loss() {
    let mut pair = Pair::start().await;
    pair.on_primary("alter system set synchronous_standby_names = '*'").await;
    pair.on_primary("select pg_reload_conf()").await;
    let cluster = setup(&pair, true).start().await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let (carol, dora) = (cluster.user("carol").await, cluster.user("dora").await);
    let group = group_of(&cluster, &alice, &[&bob, &carol, &dora]).await;
    let mut followers = [
        Follower::open("carol", &carol, &cluster, 0, &group).await,
        Follower::open("dora", &dora, &cluster, 1, &group).await,
    ];
    let is_over = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for (node, user) in [(0, &alice), (1, &bob), (0, &bob), (1, &alice)] {
        let (mut device, group, is_over) = (user.connect(&cluster, node).await, group.clone(), Arc::clone(&is_over));
        let name = senders.len();
        senders.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !is_over.load(Ordering::Acquire) {
                let content = format!("{name}-{}", acknowledged.len());
                let seq = send_until_acknowledged(&mut device, &group, &content).await;
                acknowledged.push((Instant::now(), seq, content));
            }
            acknowledged
        }));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed = Instant::now();
    pair.fail_over().await;
    // It waits for no standby of its own.
    pair.on_standby("alter system set synchronous_standby_names = ''; select pg_reload_conf()").await;
    let promoted = Instant::now();
    tokio::time::sleep(RECOVERY_MAX).await;
    is_over.store(true, Ordering::Release);
    let mut acknowledged = HashMap::new();
    let (mut before, mut first_after) = (0, None::<Instant>);
    for sender in senders {
        for (at, seq, content) in sender.await.unwrap() {
            before += usize::from(at < killed);
            if at > promoted {
                first_after = Some(first_after.map_or(at, |first| first.min(at)));
            }
            assert!(acknowledged.insert(seq, content).is_none(), "seq {seq} was given twice");
        }
    }
    let recovered = first_after.expect("nobody could send after the failover") - promoted;
    let log = log_of(&cluster, &alice, &group).await;
    println!(
        "{before} acknowledged before, {} in all, {} in the log; promoted after {:?}, sends went on {recovered:?} later",
        acknowledged.len(),
        log.len(),
        promoted - killed
    );
    assert!(before > 50 && recovered < RECOVERY_MAX, "{before}, {recovered:?}");
    for (seq, content) in &acknowledged {
        assert_eq!(log.get(seq), Some(content), "acknowledged as {seq}");
    }
    assert_eq!(log.len(), acknowledged.len() + 1, "each once, with the group's own making");
    assert!(log.keys().copied().eq(1..=i64::try_from(log.len()).unwrap()), "seqs without gaps");
    for follower in &mut followers {
        follower.comes_to(&log).await;
        assert_eq!(follower.starts, 0, "{}: nothing was lost, so no log begins anew", follower.name);
    }
    assert_eq!(cluster.app(0).shards.all()[0].epoch(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lacks_the_end_begins_a_new_epoch_for_everyone() {
    let mut pair = Pair::start().await;
    let cluster = setup(&pair, false).start().await;
    let users = ["alice", "bob", "carol", "dora"];
    let [alice, bob, carol, dora] = [0, 1, 2, 3].map(|index| cluster.user(users[index]));
    let (alice, bob, carol, dora) = tokio::join!(alice, bob, carol, dora);
    let group = group_of(&cluster, &alice, &[&bob, &carol, &dora]).await;
    let mut sender = alice.connect(&cluster, 0).await;
    // Bob and Dora stay connected, one at each node; Carol is away when it happens.
    let mut near = Follower::open("bob", &bob, &cluster, 0, &group).await;
    let mut far = Follower::open("dora", &dora, &cluster, 1, &group).await;
    let mut away = Follower::open("carol", &carol, &cluster, 1, &group).await;
    for number in 0..5 {
        send_until_acknowledged(&mut sender, &group, &format!("kept {number}")).await;
    }
    let kept = log_of(&cluster, &alice, &group).await;
    pair.is_followed(true).await;
    pair.on_standby("alter system set primary_conninfo = ''; select pg_reload_conf()").await;
    pair.is_followed(false).await;
    for number in 0..4 {
        send_until_acknowledged(&mut sender, &group, &format!("lost {number}")).await;
    }
    let seen = log_of(&cluster, &alice, &group).await;
    assert_eq!(seen.len(), kept.len() + 4);
    for follower in [&mut near, &mut far, &mut away] {
        follower.comes_to(&seen).await;
    }
    let complete = away.device.ask(json!({"type": "sync", "data": {}})).await;
    assert_eq!(complete["action"], "page", "{complete}");
    let cursor = away.device.expect("sync/complete").await["data"]["cursor"].clone();
    away.device.close().await;
    away.device.closed().await;

    pair.fail_over().await;
    // Fewer than were lost, so that the re-given seqs alone say nothing.
    for number in 0..2 {
        let seq = send_until_acknowledged(&mut sender, &group, &format!("new {number}")).await;
        assert_eq!(seq, i64::try_from(kept.len()).unwrap() + number + 1, "seqs are given again");
    }
    let mut log = kept.clone();
    log.extend((0..2).map(|number| (i64::try_from(kept.len()).unwrap() + number + 1, format!("new {number}"))));
    assert_eq!(log_of(&cluster, &alice, &group).await, log);
    assert_eq!(cluster.app(0).shards.all()[0].epoch(), 2);
    for follower in [&mut near, &mut far] {
        follower.comes_to(&log).await;
        println!("{}: {} resyncs, began anew {} times", follower.name, follower.resyncs, follower.starts);
        assert!(follower.starts >= 1);
    }
    let (epoch, held) = (away.epoch.clone(), away.held.clone());
    let device = carol.connect_with_sync(&cluster, 0, json!({"cursor": cursor})).await;
    let mut back = Follower { device, epoch, held, ..away };
    back.comes_to(&log).await;
    assert!(back.starts >= 1);
    // And all goes on live.
    log.insert(i64::try_from(log.len()).unwrap() + 1, "after it".to_owned());
    send_until_acknowledged(&mut sender, &group, "after it").await;
    for follower in [&mut near, &mut far, &mut back] {
        follower.comes_to(&log).await;
    }
}

/// The first host of a list takes no connections and refuses none, as a machine that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_vanished_does_not_keep_from_the_next() {
    let standing = OwnPostgres::start().await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let vanished = socket.listen(1).unwrap();
    let address = vanished.local_addr().unwrap();
    // Its queue is full from now on: the kernel drops whoever comes.
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    let url = format!("postgres://herald@{address},127.0.0.1:{}/postgres", standing.options.port);
    let tasks = Tasks::default();
    let database = Database::new("pair", &url, 2, &tasks).unwrap();
    eventually_within(Duration::from_secs(2), "the second host answers", async || database.check().await.is_ok()).await;
    tasks.shutdown(Duration::from_secs(2)).await;
}
