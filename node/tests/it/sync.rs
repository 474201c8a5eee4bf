//! Away and back: sync by cursor and by conversations, over entries that are written by hand, so that commits can be delayed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use herald_node::app::App;
use herald_node::domain::entry::{Edit, Reaction, Recall, Updated};
use herald_node::domain::message::Message;
use herald_node::domain::sync::{Held, SyncRequest};
use herald_node::domain::{Body, ConversationRef, Refusal, Seq, UserId};
use herald_node::hub::SessionHandle;
use herald_node::service::sync::answer_sync::sync;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use uuid::Uuid;

use crate::support::DEADLINE;
use crate::support::cluster::Cluster;
use crate::support::frames_while;
use crate::support::log::{Log, append, burn_transactions};

/// Runs a sync of a session without a socket; answers its frames.
pub async fn try_sync(app: &Arc<App>, user: UserId, request: SyncRequest) -> Result<Vec<Value>, Refusal> {
    let session = Arc::new(SessionHandle::for_test(user));
    let work = {
        let (app, session) = (Arc::clone(app), Arc::clone(&session));
        async move { sync(&app, &session, request, Some("s")).await }
    };
    let (synced, frames) = frames_while(session, work).await;
    synced?;
    assert!(frames.iter().all(|frame| frame["type"] == "sync" && frame["id"] == "s"));
    assert!(frames.iter().all(|frame| frame.to_string().len() <= 61_440 + 10));
    Ok(frames)
}

async fn run_sync(app: &Arc<App>, user: UserId, request: SyncRequest) -> Vec<Value> {
    try_sync(app, user, request).await.unwrap()
}

fn by_cursor(cursor: &str) -> SyncRequest {
    SyncRequest { cursor: Some(cursor.to_owned()), ..SyncRequest::default() }
}

fn cursor_of(frames: &[Value]) -> String {
    let complete = frames.last().unwrap();
    assert_eq!((complete["action"].as_str(), complete["data"].get("partial")), (Some("complete"), None), "{complete}");
    complete["data"]["cursor"].as_str().unwrap().to_owned()
}

fn pages(frames: &[Value]) -> Vec<&Value> {
    frames.iter().filter(|frame| frame["action"] == "page").map(|frame| &frame["data"]).collect()
}

/// Seqs of all frames of one conversation, in the order in which they came.
fn seqs(frames: &[Value], conversation: &ConversationRef) -> Vec<i64> {
    let id = conversation.id().to_string();
    let pages = pages(frames).into_iter().filter(|page| page["conversation_id"] == id.as_str());
    pages
        .flat_map(|page| page["frames"].as_array().unwrap())
        .map(|frame| frame["data"]["seq"].as_i64().unwrap())
        .collect()
}

fn has_page(frames: &[Value], conversation: &ConversationRef) -> bool {
    pages(frames).iter().any(|page| page["conversation_id"] == conversation.id().to_string().as_str())
}

/// What a client makes of the frames: for each conversation its messages in their present state, and everything else that it shows.
#[derive(Clone, Debug, Default, PartialEq)]
struct ClientState {
    conversations: BTreeMap<String, ClientConversation>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct ClientConversation {
    /// By seq: content, or null once recalled.
    messages: BTreeMap<i64, Value>,
    reactions: HashSet<(i64, String, String)>,
    title: Value,
    read_seq: i64,
    unread_count: i64,
    pinned: bool,
    last_seq: i64,
}

impl ClientState {
    fn take(&mut self, frames: &[Value]) {
        for page in pages(frames) {
            let conversation =
                self.conversations.entry(page["conversation_id"].as_str().unwrap().to_owned()).or_default();
            assert_eq!(page["has_gap"], false, "{page}");
            for frame in page["frames"].as_array().unwrap() {
                conversation.take(frame);
            }
            conversation.read_seq = page["read_seq"].as_i64().unwrap();
            conversation.unread_count = page["unread_count"].as_i64().unwrap();
            conversation.pinned = page["settings"]["pinned"].as_bool().unwrap();
            conversation.last_seq = page["last_seq"].as_i64().unwrap();
        }
    }
}

impl ClientConversation {
    fn take(&mut self, frame: &Value) {
        let data = &frame["data"];
        let message = data["message_seq"].as_i64().unwrap_or_default();
        match frame["action"].as_str().unwrap() {
            "new_message" => {
                self.messages.insert(data["seq"].as_i64().unwrap(), data["content"].clone());
            }
            "message_recalled" => {
                self.messages.insert(message, Value::Null);
                self.reactions.retain(|(seq, _, _)| *seq != message);
            }
            "message_edited" => {
                self.messages.insert(message, data["content"].clone());
            }
            "message_reacted" => {
                let text = |name: &str| data[name].as_str().unwrap().to_owned();
                let reaction = (message, text("emoji"), text("user_id"));
                if data["add"].as_bool().unwrap() && !self.messages[&message].is_null() {
                    self.reactions.insert(reaction);
                } else {
                    self.reactions.remove(&reaction);
                }
            }
            "updated" => self.title = data["title"].clone(),
            other => panic!("{other}"),
        }
    }
}

/// Syncs on and on until a conversation is no longer among the news. Transactions of other tests hold cursors back, because numbers
/// are of the whole server.
async fn sync_until_quiet(
    app: &Arc<App>,
    log: &Log,
    user: UserId,
    after: &[Value],
    conversation: &ConversationRef,
) -> Vec<Value> {
    let deadline = Instant::now() + DEADLINE;
    let mut frames = after.to_vec();
    loop {
        burn_transactions(log.shard(conversation.id()), 1_500).await;
        frames = run_sync(app, user, by_cursor(&cursor_of(&frames))).await;
        if !has_page(&frames, conversation) {
            return frames;
        }
        assert!(Instant::now() < deadline, "still news: {frames:?}");
    }
}

async fn users(cluster: &Cluster, names: &[&str]) -> Vec<UserId> {
    let mut users = Vec::new();
    for name in names {
        users.push(UserId(cluster.user(name).await.id));
    }
    users
}

/// A random entry of a kind that has a target, or a message.
fn random_body(random: &mut StdRng, recalled: &HashSet<i64>, messages: &[i64]) -> Body {
    let target = messages.get(random.random_range(0..messages.len().max(1))).copied();
    let kind = random.random_range(0..8);
    match (kind, target) {
        (0, Some(seq)) if !recalled.contains(&seq) => Body::Recall(Recall { message_seq: Seq(seq) }),
        (1, Some(seq)) if !recalled.contains(&seq) => Body::Edit(Edit { message_seq: Seq(seq) }),
        (2 | 3, Some(seq)) if !recalled.contains(&seq) => {
            Body::Reaction(Reaction { message_seq: Seq(seq), emoji: "👍".to_owned(), add: kind == 2 })
        }
        (4, _) => {
            Body::Updated(Updated { title: Some(format!("title {}", random.random_range(0..9))), ..Updated::default() })
        }
        _ => Body::Message(Box::new(Message::text(format!("text {}", random.random_range(0..1_000))))),
    }
}

#[derive(Default)]
struct Written {
    messages: Vec<i64>,
    recalled: HashSet<i64>,
}

impl Written {
    fn note(&mut self, seq: Seq, body: &Body) {
        match body {
            Body::Message(_) => self.messages.push(seq.0),
            Body::Recall(recall) => {
                self.recalled.insert(recall.message_seq.0);
            }
            _ => {}
        }
    }
}

/// The state before and the frames of a sync make the state after, for each kind of entry, whatever is being committed meanwhile: at
/// every step some transactions have written entries and numbers, and commit only after others that began later.
#[tokio::test(flavor = "multi_thread")]
async fn state_before_and_frames_make_the_state_after() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob", "carol", "dave"]).await;
    let (alice, bob) = (people[0], people[1]);
    let mut conversations = vec![log.group(&cluster, &people).await, log.group(&cluster, &people).await];
    for other in &people[1..] {
        conversations.push(log.direct(&cluster, alice, *other).await);
    }
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut written: Vec<Written> = conversations.iter().map(|_| Written::default()).collect();
    // Connections of their own, for transactions that stay open.
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push([cluster.databases.shard(0).await, cluster.databases.shard(1).await]);
    }
    let mut state = ClientState::default();
    let frames = run_sync(app, alice, SyncRequest { limit: Some(1_000), ..SyncRequest::default() }).await;
    state.take(&frames);
    let mut cursor = cursor_of(&frames);
    for round in 0..12 {
        // Open transactions take their numbers now and write later, each in a conversation of its own.
        let mut open = Vec::new();
        for (clients, number) in slow.iter_mut().zip(0..conversations.len()) {
            if random.random_bool(0.6) {
                let shard = usize::from(app.shards.of(conversations[number].id()).unwrap().id.0);
                let transaction = clients[shard].transaction().await.unwrap();
                transaction.execute("select pg_current_xact_id()", &[]).await.unwrap();
                let id = conversations[number].id();
                let body = random_body(&mut random, &written[number].recalled, &written[number].messages);
                let seq = append(&transaction, id, bob, body.clone()).await;
                written[number].note(seq, &body);
                open.push((transaction, number));
            }
        }
        let busy: Vec<usize> = open.iter().map(|(_, number)| *number).collect();
        for shard in &log.shards {
            burn_transactions(shard, random.random_range(0..1_500)).await;
        }
        for _ in 0..random.random_range(0..20) {
            let number = random.random_range(0..conversations.len());
            if busy.contains(&number) {
                continue;
            }
            let sender = if random.random_bool(0.3) { alice } else { bob };
            let body = random_body(&mut random, &written[number].recalled, &written[number].messages);
            let seq = log.write(&conversations[number].clone(), sender, body.clone()).await;
            written[number].note(seq, &body);
        }
        if random.random_bool(0.5) {
            let frames = run_sync(app, alice, by_cursor(&cursor)).await;
            state.take(&frames);
            cursor = cursor_of(&frames);
        }
        for (transaction, _) in open {
            transaction.commit().await.unwrap();
        }
        let frames = run_sync(app, alice, by_cursor(&cursor)).await;
        state.take(&frames);
        cursor = cursor_of(&frames);
        let mut fresh = ClientState::default();
        fresh.take(&run_sync(app, alice, SyncRequest { limit: Some(1_000), ..SyncRequest::default() }).await);
        // A first sync leaves out what is still empty.
        state.conversations.retain(|_, conversation| conversation.last_seq > 0);
        assert_eq!(state, fresh, "seed {seed}, round {round}");
    }
}

/// A cursor taken while a transaction is open covers what that one commits later, and repeats nothing that is long done.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_never_passes_a_late_commit_over() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob"]).await;
    let (alice, bob) = (people[0], people[1]);
    let late = log.group(&cluster, &people).await;
    let done = log.direct(&cluster, alice, bob).await;
    log.say(&late, bob, "one").await;
    log.say(&done, bob, "one").await;
    let shard = usize::from(app.shards.of(late.id()).unwrap().id.0);
    let mut slow = cluster.databases.shard(shard).await;
    let transaction = slow.transaction().await.unwrap();
    append(&transaction, late.id(), bob, Body::Message(Box::new(Message::text("late")))).await;
    for shard in &log.shards {
        burn_transactions(shard, 3_000).await;
    }
    let first = run_sync(app, alice, SyncRequest::default()).await;
    assert_eq!((seqs(&first, &late), seqs(&first, &done)), (vec![1], vec![1]));
    for shard in &log.shards {
        burn_transactions(shard, 3_000).await;
    }
    transaction.commit().await.unwrap();
    let second = run_sync(app, alice, by_cursor(&cursor_of(&first))).await;
    assert!(seqs(&second, &late).contains(&2), "{second:?}");
    let third = sync_until_quiet(app, &log, alice, &second, &late).await;
    sync_until_quiet(app, &log, alice, &third, &done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_follows_in_pages_of_200() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob"]).await;
    let (alice, bob) = (people[0], people[1]);
    let chat = log.direct(&cluster, alice, bob).await;
    for number in 1..=450 {
        log.say(&chat, bob, &format!("{number}")).await;
    }
    let held = |seq| vec![Held { conversation_id: chat.id().0, seq: Seq(seq) }];
    let ask = |seq, limit, seen: i64| SyncRequest {
        conversations: Some(held(seq)),
        seen: if seen > 0 { held(seen) } else { Vec::new() },
        limit,
        ..SyncRequest::default()
    };
    let frames = run_sync(app, alice, ask(10, None, 0)).await;
    assert_eq!(seqs(&frames, &chat), (11..=450).collect::<Vec<_>>());
    let shown = pages(&frames);
    let (last, others) = shown.split_last().unwrap();
    assert!(last["has_more"] == false && others.iter().all(|page| page["has_more"] == true));
    assert!(others.iter().all(|page| page["frames"].as_array().unwrap().len() <= 200));
    assert_eq!(frames.last().unwrap()["data"], serde_json::json!({}));
    let frames = run_sync(app, alice, ask(10, Some(5), 0)).await;
    assert_eq!((seqs(&frames, &chat), pages(&frames)[0]["has_more"] == true), ((11..=15).collect(), true));
    let frames = run_sync(app, alice, ask(10, Some(5), 448)).await;
    assert_eq!((seqs(&frames, &chat), pages(&frames)[0]["has_more"] == true), (vec![449, 450], false));
    let frames = run_sync(app, alice, ask(450, None, 0)).await;
    assert_eq!((pages(&frames).len(), seqs(&frames, &chat).len()), (1, 0));
    assert_eq!(
        (pages(&frames)[0]["last_seq"].as_i64(), pages(&frames)[0]["unread_count"].as_i64()),
        (Some(450), Some(450))
    );
    // Without a cursor: the newest 20, and a gap before them.
    let frames = run_sync(app, alice, SyncRequest::default()).await;
    assert_eq!((seqs(&frames, &chat), pages(&frames)[0]["has_gap"] == true), ((431..=450).collect(), true));
    let frames = run_sync(app, alice, SyncRequest { limit: Some(1_000), ..SyncRequest::default() }).await;
    assert_eq!((seqs(&frames, &chat).len(), pages(&frames)[0]["has_gap"] == true), (450, false));
    // By a cursor: as many as the limit says, the newest, and what is seen is left out.
    let cursor = cursor_of(&frames);
    burn_transactions(log.shard(chat.id()), 2_000).await;
    for number in 451..=480 {
        log.say(&chat, bob, &format!("{number}")).await;
    }
    let frames = run_sync(app, alice, SyncRequest { limit: Some(3), ..by_cursor(&cursor) }).await;
    assert_eq!((seqs(&frames, &chat), pages(&frames)[0]["has_gap"] == true), (vec![478, 479, 480], true));
    let frames = run_sync(app, alice, SyncRequest { seen: held(478), ..by_cursor(&cursor) }).await;
    assert_eq!((seqs(&frames, &chat), pages(&frames)[0]["has_gap"] == true), (vec![479, 480], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_holds_60_kib() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob"]).await;
    let chat = log.direct(&cluster, people[0], people[1]).await;
    for _ in 0..15 {
        log.say(&chat, people[1], &"x".repeat(9_000)).await;
    }
    let frames = run_sync(app, people[0], SyncRequest::default()).await;
    assert_eq!(seqs(&frames, &chat), (1..=15).collect::<Vec<_>>());
    assert_eq!(pages(&frames).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_sees_its_interval_and_its_own_removal() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (people[0], people[1], people[2]);
    let group = log.group(&cluster, &[bob, carol]).await;
    let id = group.id();
    log.say(&group, bob, "before").await;
    log.join(id, alice, Seq(2), 1).await;
    log.say(&group, bob, "two").await;
    log.write(&group, bob, Body::Edit(Edit { message_seq: Seq(1) })).await;
    log.write(&group, bob, Body::Edit(Edit { message_seq: Seq(2) })).await;
    let first = run_sync(app, alice, SyncRequest::default()).await;
    assert_eq!(seqs(&first, &group), [2, 3, 4]);
    let page = pages(&first)[0].clone();
    assert!(page["frames"][1]["data"].get("content").is_none(), "an edit of what is not visible: {page}");
    assert_eq!(
        (page["frames"][2]["data"]["content"].as_str(), page["first_seq"].as_i64()),
        (Some("edited at 4"), Some(2))
    );
    assert_eq!(page["unread_count"], 1);
    let removed = log.remove(&group, bob, alice).await;
    log.say(&group, bob, "after").await;
    let second = run_sync(app, alice, by_cursor(&cursor_of(&first))).await;
    assert_eq!(seqs(&second, &group).last(), Some(&removed.0));
    assert_eq!(pages(&second).last().unwrap()["last_seq"].as_i64(), Some(removed.0));
    log.say(&group, bob, "long after").await;
    let fourth = sync_until_quiet(app, &log, alice, &second, &group).await;
    let ask = |seq| SyncRequest {
        conversations: Some(vec![Held { conversation_id: id.0, seq: Seq(seq) }]),
        ..SyncRequest::default()
    };
    assert_eq!(seqs(&run_sync(app, alice, ask(3)).await, &group), [4, removed.0]);
    let gone = run_sync(app, alice, ask(removed.0)).await;
    assert_eq!(
        (&pages(&gone)[0]["gone"], pages(&gone)[0]["frames"].as_array().unwrap().len()),
        (&Value::Bool(true), 0)
    );
    // Back again: what is seen begins anew.
    let last = log.say(&group, carol, "and again").await;
    log.join(id, alice, last.next(), 4).await;
    log.say(&group, carol, "welcome").await;
    let fifth = run_sync(app, alice, by_cursor(&cursor_of(&fourth))).await;
    assert_eq!((seqs(&fifth, &group), pages(&fifth)[0]["first_seq"].as_i64()), (vec![last.0 + 1], Some(last.0 + 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_gone_and_what_is_empty_has_a_page() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (people[0], people[1], people[2]);
    let of_others = log.direct(&cluster, bob, carol).await;
    log.say(&of_others, bob, "private").await;
    let unwritten = ConversationRef::direct(alice, bob);
    herald_node::service::conversations::list_conversations::open_direct(app, alice, bob).await.unwrap();
    let ids = [Uuid::nil(), of_others.id().0, unwritten.id().0, ConversationRef::direct(alice, carol).id().0];
    let conversations = ids.iter().map(|id| Held { conversation_id: *id, seq: Seq(0) }).collect();
    let frames =
        run_sync(app, alice, SyncRequest { conversations: Some(conversations), ..SyncRequest::default() }).await;
    let seen: Vec<_> =
        pages(&frames).iter().map(|page| (page["conversation_id"].clone(), page.get("gone").is_some())).collect();
    let id = |at: usize| Value::String(ids[at].to_string());
    assert_eq!(seen, [(id(0), true), (id(1), true), (id(2), false), (id(3), true)]);
    assert_eq!(pages(&frames)[2]["last_seq"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_its_users_alone_and_good_on_every_node() {
    let cluster = Cluster::start(2).await;
    let people = users(&cluster, &["alice", "bob"]).await;
    let cursor = cursor_of(&run_sync(cluster.app(0), people[0], SyncRequest::default()).await);
    cursor_of(&run_sync(cluster.app(1), people[0], by_cursor(&cursor)).await);
    assert_eq!(try_sync(cluster.app(0), people[1], by_cursor(&cursor)).await, Err(Refusal::InvalidCursor));
    for damaged in ["", "AQ", "nonsense", &cursor[1..], &format!("{cursor}A")] {
        assert_eq!(
            try_sync(cluster.app(0), people[0], by_cursor(damaged)).await,
            Err(Refusal::InvalidCursor),
            "{damaged}"
        );
    }
}

/// After a failover that may have lost the end of logs, every conversation of that shard shows its new epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_is_shown_for_every_conversation() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob"]).await;
    let chat = log.direct(&cluster, people[0], people[1]).await;
    log.say(&chat, people[1], "one").await;
    let first = run_sync(app, people[0], SyncRequest::default()).await;
    let third = sync_until_quiet(app, &log, people[0], &first, &chat).await;
    log.shard(chat.id()).execute("update epoch set epoch = epoch + 1", &[]).await.unwrap();
    let fourth = run_sync(app, people[0], by_cursor(&cursor_of(&third))).await;
    assert_eq!(seqs(&fourth, &chat), [1]);
    assert_eq!(pages(&fourth)[0]["log_epoch"].as_i64(), pages(&first)[0]["log_epoch"].as_i64().map(|epoch| epoch + 1));
    sync_until_quiet(app, &log, people[0], &fourth, &chat).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_sync_is_bounded() {
    let cluster = Cluster::start(1).await;
    let app = cluster.app(0);
    let mut log = Log::open(&cluster).await;
    let people = users(&cluster, &["alice", "bob"]).await;
    let cursor = cursor_of(&run_sync(app, people[0], SyncRequest::default()).await);
    let mut groups = Vec::new();
    for _ in 0..12 {
        let group = log.group(&cluster, &people).await;
        // All at once, as a lane would write them.
        log.shard(group.id())
            .batch_execute(&format!(
                "insert into entry (id, client_key, sender_id, sender_name, kind, body, ordinal, boot, created_at)
                 select (substr('{id}', 1, 26) || lpad(to_hex(n), 10, '0'))::uuid, '{id}', '{bob}', 'bob', 1,
                        '{{\"message_type\":\"text\",\"content\":\"x\"}}', n, '{id}', clock_timestamp()
                 from generate_series(1, 1200) n;
                 update conversation set last_seq = 1200, last_ordinal = 1200, last_created_at = clock_timestamp(),
                        changed_tx = pg_current_xact_id() where id = '{id}'",
                id = group.id(),
                bob = people[1],
            ))
            .await
            .unwrap();
        groups.push(group);
    }
    let frames = run_sync(app, people[0], by_cursor(&cursor)).await;
    let counts: Vec<usize> = groups.iter().rev().map(|group| seqs(&frames, group).len()).collect();
    assert_eq!(counts, [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 20, 20]);
    assert!(pages(&frames).iter().all(|page| page["has_gap"] == true));
}
