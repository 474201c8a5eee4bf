//! Writer lanes over real PostgreSQL: order, idempotency, locks of others, lost connections.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use herald_node::config::Config;
use herald_node::domain::command::{Actor, Command, ConversationCommit, Outcome, Position};
use herald_node::domain::message::{Message, NewMessage};
use herald_node::domain::settings::Settings;
use herald_node::domain::{BootId, ConversationRef, Refusal, Seq, UserId};
use herald_node::storage::Shards;
use herald_node::storage::shard::lane::{Commit, Request};
use herald_node::storage::shard::open::{Providers, open};
use herald_node::tasks::Tasks;
use parking_lot::Mutex;

use super::support::{Databases, eventually};

/// The lanes of one node, with a delivery that only answers and remembers.
pub struct Lanes {
    pub shards: Shards,
    pub tasks: Tasks,
    pub delivered: Arc<Mutex<Vec<ConversationCommit>>>,
}

impl Lanes {
    pub async fn open(databases: &Databases, settings: Settings) -> Self {
        let config = Config { shards: databases.shards.clone(), ..Config::default() };
        let tasks = Tasks::default();
        let boot = BootId::random();
        let policy = settings.policy();
        let providers = Providers {
            boot: Arc::new(move || boot),
            policy: Arc::new(move || policy),
            subscribed: Arc::new(|| Arc::from([])),
        };
        let (shards, commits) = open(&config, providers, &tasks).await.unwrap();
        let delivered = Arc::new(Mutex::new(Vec::new()));
        for mut receiver in commits {
            let delivered = Arc::clone(&delivered);
            tasks.spawn("test-delivery", async move {
                while let Some(commit) = receiver.recv().await {
                    let Commit { conversations, answers, .. } = commit;
                    delivered.lock().extend(conversations);
                    for answer in answers {
                        (answer.reply)(answer.result);
                    }
                }
            });
        }
        Self { shards, tasks, delivered }
    }

    pub async fn run(
        &self,
        actor: &Actor,
        conversation: ConversationRef,
        command: Command,
    ) -> Result<Outcome, Refusal> {
        let reply = Box::new(|_| {});
        self.shards.run(Request { conversation, actor: actor.clone(), command, origin: None, reply }).await
    }

    pub async fn send(
        &self,
        from: &Actor,
        to: ConversationRef,
        temp_id: &str,
        content: &str,
    ) -> Result<Outcome, Refusal> {
        self.run(from, to, send(temp_id, content)).await
    }

    /// Seqs of the entries handed to delivery, by conversation, in the order of handing.
    pub fn delivered_seqs(&self, conversation: ConversationRef) -> Vec<i64> {
        let delivered = self.delivered.lock();
        let of_it = delivered.iter().filter(|commit| commit.conversation == conversation);
        of_it.flat_map(|commit| commit.entries.iter().map(|entry| entry.entry.seq().0)).collect()
    }
}

pub fn actor(name: &str) -> Actor {
    Actor { id: UserId::random(), name: name.into() }
}

pub fn send(temp_id: &str, content: &str) -> Command {
    let message = Message::text(content);
    Command::Send { message: NewMessage { temp_id: temp_id.to_owned(), message }, over_rate_ms: None }
}

pub fn unlimited() -> Settings {
    Settings { enable_first_message_limit: false, ..Settings::default() }
}

fn seq_of(outcome: &Result<Outcome, Refusal>) -> i64 {
    match outcome {
        Ok(Outcome::Sent { seq, .. } | Outcome::Wrote { seq, .. }) => seq.0,
        other => panic!("not written: {other:?}"),
    }
}

/// The log as the table has it: seqs 1 to n without gaps, and how many.
async fn gapless(databases: &Databases, shard: usize) -> i64 {
    let client = databases.shard(shard).await;
    let rows = client
        .query(
            "select c.last_seq, c.last_ordinal, count(e.id), count(distinct e.id), coalesce(max(e.ordinal), 0),
                count(distinct (e.sender_id, e.temp_id)) filter (where e.temp_id is not null), count(e.temp_id)
             from conversation c left join entry e on e.id > c.id
                and e.id < overlay(c.id::text placing 'ffffffffff' from 27)::uuid
             group by c.id",
            &[],
        )
        .await
        .unwrap();
    let mut total = 0;
    for row in rows {
        let [last, ordinal, entries, ids, greatest, temp_ids, messages]: [i64; 7] = std::array::from_fn(|i| row.get(i));
        assert_eq!((last, ordinal), (entries, greatest), "seqs are the entries, ordinals the messages");
        assert_eq!(entries, ids);
        assert_eq!(temp_ids, messages, "no temp_id twice");
        total += entries;
    }
    total
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_get_seqs_in_order_and_are_delivered_once() {
    let databases = Databases::new(2).await;
    let lanes = Lanes::open(&databases, unlimited()).await;
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    for number in 1..=5 {
        let sent = lanes.send(&alice, chat, &format!("t{number}"), "hello").await;
        assert_eq!(seq_of(&sent), number);
    }
    let again = lanes.send(&alice, chat, "t3", "hello").await;
    assert!(matches!(again, Ok(Outcome::Sent { seq: Seq(3), is_repeat: true, .. })), "{again:?}");
    assert_eq!(lanes.send(&alice, chat, "t3", "other").await.unwrap_err(), Refusal::TempIdReused);
    assert_eq!(lanes.delivered_seqs(chat), [1, 2, 3, 4, 5]);
    let read = lanes.run(&bob, chat, Command::Read { position: Position::At(Seq(2)) }).await;
    assert!(matches!(read, Ok(Outcome::Read { read_seq: Seq(2), unread_count: 3, has_moved: true, .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_write_once_until_answered() {
    let databases = Databases::new(1).await;
    let lanes = Lanes::open(&databases, Settings::default()).await;
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    assert_eq!(seq_of(&lanes.send(&alice, chat, "1", "hello").await), 1);
    assert_eq!(lanes.send(&alice, chat, "2", "hello?").await.unwrap_err(), Refusal::FirstMessageLimit);
    assert_eq!(seq_of(&lanes.send(&bob, chat, "1", "yes").await), 2);
    assert_eq!(seq_of(&lanes.send(&alice, chat, "2", "hello?").await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_temp_id_from_twenty_tasks_on_two_nodes_is_one_message() {
    let databases = Databases::new(1).await;
    let nodes = [Lanes::open(&databases, unlimited()).await, Lanes::open(&databases, unlimited()).await];
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    let answers = join_all((0..20).map(|task| nodes[task % 2].send(&alice, chat, "once", "hello"))).await;
    let mut firsts = HashSet::new();
    let mut news = 0;
    for answer in answers {
        let Ok(Outcome::Sent { seq, created_at, is_repeat }) = answer else { panic!("{answer:?}") };
        firsts.insert((seq, created_at));
        news += usize::from(!is_repeat);
    }
    assert_eq!((firsts.len(), news), (1, 1));
    assert_eq!(gapless(&databases, 0).await, 1);
    let delivered: usize = nodes.iter().map(|node| node.delivered_seqs(chat).len()).sum();
    assert_eq!(delivered, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_users_may_write_first_at_once() {
    let databases = Databases::new(2).await;
    let nodes =
        [Lanes::open(&databases, Settings::default()).await, Lanes::open(&databases, Settings::default()).await];
    for _ in 0..20 {
        let (alice, bob) = (actor("Alice"), actor("Bob"));
        let chat = ConversationRef::direct(alice.id, bob.id);
        let (one, other) =
            futures_util::join!(nodes[0].send(&alice, chat, "a", "hi"), nodes[1].send(&bob, chat, "b", "hi"));
        let mut seqs = [seq_of(&one), seq_of(&other)];
        seqs.sort_unstable();
        assert_eq!(seqs, [1, 2]);
    }
    assert_eq!(gapless(&databases, 0).await + gapless(&databases, 1).await, 40);
}

/// Many senders in a few conversations on two nodes: one order without gaps, each handed to delivery once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn many_senders_on_two_nodes_make_one_order() {
    let databases = Databases::new(1).await;
    let nodes = [Lanes::open(&databases, unlimited()).await, Lanes::open(&databases, unlimited()).await];
    let pairs: Vec<(Actor, Actor)> = (0..5).map(|_| (actor("A"), actor("B"))).collect();
    let sends = (0..1_000).map(|number: usize| {
        let (one, other) = &pairs[number % pairs.len()];
        let chat = ConversationRef::direct(one.id, other.id);
        let (from, node) = if number.is_multiple_of(2) { (one, &nodes[0]) } else { (other, &nodes[1]) };
        async move { seq_of(&node.send(from, chat, &number.to_string(), "hello").await) }
    });
    let mut seqs = join_all(sends).await;
    seqs.sort_unstable();
    let each_five_times: Vec<i64> = (1..=200).flat_map(|seq| [seq; 5]).collect();
    assert_eq!(seqs, each_five_times);
    assert_eq!(gapless(&databases, 0).await, 1_000);
    for (one, other) in &pairs {
        let chat = ConversationRef::direct(one.id, other.id);
        let mut all = Vec::new();
        for node in &nodes {
            let seqs = node.delivered_seqs(chat);
            assert!(seqs.is_sorted(), "one node's deliveries are in order");
            all.extend(seqs);
        }
        all.sort_unstable();
        assert_eq!(all, (1..=200).collect::<Vec<i64>>());
    }
}

/// Another connection holds a conversation's row for longer than the lock time-out: only that conversation waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_held_by_others_stalls_only_its_conversation() {
    let databases = Databases::new(1).await;
    let lanes = Arc::new(Lanes::open(&databases, unlimited()).await);
    let (alice, bob, carol) = (actor("Alice"), actor("Bob"), actor("Carol"));
    let stalled = ConversationRef::direct(alice.id, bob.id);
    let free = ConversationRef::direct(alice.id, carol.id);
    seq_of(&lanes.send(&alice, stalled, "0", "first").await);
    seq_of(&lanes.send(&alice, free, "0", "first").await);

    let holder = databases.shard(0).await;
    holder.batch_execute("begin").await.unwrap();
    holder.execute("select 1 from conversation where id = $1 for update", &[&stalled.id().0]).await.unwrap();
    let begun = Instant::now();
    let waiting: Vec<_> = (1..=30)
        .map(|number| {
            let (lanes, alice) = (Arc::clone(&lanes), alice.clone());
            tokio::spawn(async move { lanes.send(&alice, stalled, &number.to_string(), "waits").await })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let mut sent = 0;
    // Long enough for several lock time-outs of 300 ms, however fast or slow this machine is just now.
    while begun.elapsed() < Duration::from_millis(1_500) || sent < 20 {
        let before = Instant::now();
        sent += 1;
        assert_eq!(seq_of(&lanes.send(&alice, free, &format!("f{sent}"), "passes").await), sent + 1);
        slowest = slowest.max(before.elapsed());
    }
    // One that waited behind the lock would have waited as long as it was held.
    let held = begun.elapsed();
    println!("{sent} passed in {held:?}, the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "the others waited {slowest:?} of {held:?}");
    assert!(waiting.iter().all(|task| !task.is_finished()), "nobody can have written behind the lock");
    holder.batch_execute("rollback").await.unwrap();
    let mut seqs: Vec<i64> = join_all(waiting).await.into_iter().map(|answer| seq_of(&answer.unwrap())).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (2..=31).collect::<Vec<i64>>());
    assert_eq!(lanes.delivered_seqs(stalled), (1..=31).collect::<Vec<i64>>());
}

/// One request that PostgreSQL refuses does not fail its neighbours.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_request_fails_alone() {
    let databases = Databases::new(1).await;
    databases
        .shard(0)
        .await
        .batch_execute("alter table entry add constraint poison check (body not like '%poison%')")
        .await
        .unwrap();
    let lanes = Lanes::open(&databases, unlimited()).await;
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    let answers = join_all((0..100).map(|number: i64| {
        let content = if number == 37 { "poison" } else { "good" };
        let temp_id = number.to_string();
        let (lanes, alice) = (&lanes, &alice);
        async move { (number, lanes.send(alice, chat, &temp_id, content).await) }
    }))
    .await;
    let mut seqs = Vec::new();
    for (number, answer) in &answers {
        if *number == 37 {
            assert_eq!(*answer.as_ref().unwrap_err(), Refusal::Internal);
        } else {
            seqs.push(seq_of(answer));
        }
    }
    assert_eq!(seqs, (1..=99).collect::<Vec<i64>>(), "in the order of asking");
    assert_eq!(gapless(&databases, 0).await, 99);
}

/// Server processes of the lanes are ended at random under load: what was answered is there, once, and was delivered once.
#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_lose_nothing_and_double_nothing() {
    let databases = Databases::new(1).await;
    let nodes =
        [Arc::new(Lanes::open(&databases, unlimited()).await), Arc::new(Lanes::open(&databases, unlimited()).await)];
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    let until = Instant::now() + Duration::from_secs(4);
    let killer = {
        let client = databases.shard(0).await;
        tokio::spawn(async move {
            let mut killed = 0_usize;
            while Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20 + u64::from(rand::random::<u8>() / 4))).await;
                let rows = client
                    .query(
                        "select pg_terminate_backend(pid) from pg_stat_activity
                         where application_name = 'herald lane' and datname = current_database()
                         order by random() limit 1",
                        &[],
                    )
                    .await
                    .unwrap();
                killed += rows.len();
            }
            killed
        })
    };
    let senders: Vec<_> = (0..40_usize)
        .map(|sender| {
            let nodes = nodes.clone();
            let alice = alice.clone();
            tokio::spawn(async move {
                let mut acknowledged = HashMap::new();
                let mut number = 0;
                while Instant::now() < until {
                    number += 1;
                    let temp_id = format!("{sender}-{number}");
                    // As a client does: the same temp_id again, on either node, until it is answered.
                    for attempt in 0.. {
                        match nodes[(sender + attempt) % 2].send(&alice, chat, &temp_id, "hello").await {
                            Ok(Outcome::Sent { seq, .. }) => {
                                acknowledged.insert(temp_id, seq.0);
                                break;
                            }
                            Err(Refusal::Unavailable) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = HashMap::new();
    for answers in join_all(senders).await {
        acknowledged.extend(answers.unwrap());
    }
    let killed = killer.await.unwrap();
    assert!(killed > 10 && acknowledged.len() > 100, "{killed} killed, {} sent", acknowledged.len());
    let total = gapless(&databases, 0).await;
    assert_eq!(usize::try_from(total).unwrap(), acknowledged.len());
    let seqs: HashSet<i64> = acknowledged.values().copied().collect();
    assert_eq!(seqs, (1..=total).collect::<HashSet<i64>>(), "every answer names a message of its own");
    let all_delivered = || async {
        let mut delivered: Vec<i64> = nodes.iter().flat_map(|node| node.delivered_seqs(chat)).collect();
        delivered.sort_unstable();
        delivered == (1..=total).collect::<Vec<i64>>()
    };
    eventually("every entry is handed to delivery exactly once", all_delivered).await;
    println!("{killed} connections ended, {} messages", acknowledged.len());
}

/// Rollbacks between: a check that fails now and then leaves no gap.
#[tokio::test(flavor = "multi_thread")]
async fn rollbacks_leave_no_gaps() {
    let databases = Databases::new(1).await;
    databases
        .shard(0)
        .await
        .batch_execute(
            "create function refuse_some() returns trigger language plpgsql as $$ begin
                if random() < 0.01 then raise exception 'refused for the test' using errcode = '40001'; end if;
                return new; end $$;
             create trigger refuse_some before insert on entry for each row execute function refuse_some();",
        )
        .await
        .unwrap();
    let lanes = Lanes::open(&databases, unlimited()).await;
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    let mut written = 0;
    for round in 0..20 {
        let temp_ids: Vec<String> = (0..20).map(|number| format!("{round}-{number}")).collect();
        let answers = join_all(temp_ids.iter().map(|temp_id| lanes.send(&alice, chat, temp_id, "hello"))).await;
        written += answers.iter().filter(|answer| answer.is_ok()).count();
    }
    assert_eq!(gapless(&databases, 0).await, i64::try_from(written).unwrap());
    assert!(written > 300, "{written}");
}

/// The slot is not held here: asked again elsewhere once, then `unavailable`; and served again when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_not_held_is_not_written_to() {
    let databases = Databases::new(2).await;
    let lanes = Lanes::open(&databases, unlimited()).await;
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    seq_of(&lanes.send(&alice, chat, "1", "hello").await);
    let slot = i16::try_from(chat.id().slot().0).unwrap();
    let index = usize::from(lanes.shards.id_of(chat.id().slot()).unwrap().0);
    let holder = databases.shard(index).await;
    holder.execute("update slot set state = 1 where slot = $1", &[&slot]).await.unwrap();
    assert_eq!(lanes.send(&alice, chat, "2", "hello").await.unwrap_err(), Refusal::Unavailable);
    // A new conversation of that slot is not made either.
    assert_eq!(gapless(&databases, index).await, 1);
    holder.execute("update slot set state = 0 where slot = $1", &[&slot]).await.unwrap();
    eventually("the slot is found again", || async { lanes.send(&alice, chat, "3", "hello").await.is_ok() }).await;
    assert_eq!(gapless(&databases, index).await, 2);
}

/// A restored or failed-over database is on another timeline: the epoch is raised once, before anything is written.
#[tokio::test(flavor = "multi_thread")]
async fn another_timeline_raises_the_epoch() {
    let databases = Databases::new(1).await;
    let lanes = Lanes::open(&databases, unlimited()).await;
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    let chat = ConversationRef::direct(alice.id, bob.id);
    seq_of(&lanes.send(&alice, chat, "1", "hello").await);
    assert_eq!(lanes.shards.all()[0].epoch(), 1);
    let client = databases.shard(0).await;
    client.execute("update epoch set timeline = '000000AA'", &[]).await.unwrap();
    assert_eq!(seq_of(&lanes.send(&alice, chat, "2", "hello").await), 2);
    assert_eq!(seq_of(&lanes.send(&alice, chat, "3", "hello").await), 3);
    assert_eq!(lanes.shards.all()[0].epoch(), 2);
}

/// The shard is away: `unavailable` within 2 s, and by itself back to work.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_away_answers_within_two_seconds() {
    let databases = Databases::new(1).await;
    let mut unreachable = databases.shards[0].clone();
    unreachable.url = "postgres://nobody@127.0.0.1:1/none".to_owned();
    let config = Config { shards: vec![unreachable], ..Config::default() };
    let tasks = Tasks::default();
    let boot = BootId::random();
    let policy = unlimited().policy();
    let providers = Providers {
        boot: Arc::new(move || boot),
        policy: Arc::new(move || policy),
        subscribed: Arc::new(|| Arc::from([])),
    };
    let (shards, _commits) = open(&config, providers, &tasks).await.unwrap();
    let (alice, bob) = (actor("Alice"), actor("Bob"));
    // At moments of their own, so that they meet the lane connecting, and in each part of its pauses.
    let asking = (0..40_u64).map(|number| {
        let (shards, alice, bob) = (&shards, &alice, &bob);
        async move {
            tokio::time::sleep(Duration::from_millis(number * 97)).await;
            let begun = Instant::now();
            let request = Request {
                conversation: ConversationRef::direct(alice.id, bob.id),
                actor: alice.clone(),
                command: send("1", "hello"),
                origin: None,
                reply: Box::new(|_| {}),
            };
            assert_eq!(shards.run(request).await.unwrap_err(), Refusal::Unavailable);
            begun.elapsed()
        }
    });
    let slowest = join_all(asking).await.into_iter().max().unwrap();
    println!("the slowest answer took {slowest:?}");
    assert!(slowest < Duration::from_millis(1_700), "{slowest:?}");
}
