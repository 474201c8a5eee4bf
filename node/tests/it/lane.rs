//! Writer lanes over real PostgreSQL: order, idempotency, locks of others, lost connections.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use herald_node::config::Config;
use herald_node::domain::command::{Actor, Command, ConversationCommit, Outcome, Position};
use herald_node::domain::message::{Mentions, Message, MessageType, NewMessage};
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
        let providers = Providers { boot: Arc::new(move || boot), policy: Arc::new(move || policy) };
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
    let message = Message {
        message_type: MessageType::Text,
        content: Some(content.to_owned()),
        file_id: None,
        reply_to: None,
        forwarded_from: None,
        mentions: Mentions::None,
        metadata: None,
        edited: None,
        recalled: None,
    };
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
    assert!(matches!(read, Ok(Outcome::Read { read_seq: Seq(2), unread_count: 3, has_moved: true })), "{read:?}");
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
