//! From a commit to everyone who is to see it: sessions here through the gate, sessions elsewhere over the bus, and then the answers.
//!
//! One task for each lane, so that what one lane committed is handed on in its order while the lane is at its next batch.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tracing::error;

use super::item_of_stored::{change_of, edited_seq};
use super::metrics::METRICS;
use super::show_entry::show_entry;
use super::signal::signal_members;
use crate::app::App;
use crate::domain::command::{CommittedEntry, ConversationCommit};
use crate::domain::{Body, BootId, ConversationRef, Seq, Timestamp, UserId};
use crate::memory::gates::Arrival;
use crate::protocol::delivery::{Encoder, EntryItem};
use crate::protocol::server::{self, Shown};
use crate::service::limits::check_rate;
use crate::storage::shard::crash::Point;
use crate::storage::shard::lane::{Answer, Commit};

/// Groups above this size are sent to every node instead of to the nodes of their members' routes.
pub const ROUTED_GROUP_MAX: i32 = 256;
/// Commits handed on together, when they have piled up.
const COMMITS_AT_ONCE: usize = 8;
/// A commit that took longer may be older than what repair looks at: its members are told to sync.
const SLOW_COMMIT: Duration = Duration::from_mins(1);

/// Starts one task for each lane's commits.
pub fn start_delivery(app: &Arc<App>, lanes: Vec<mpsc::Receiver<Commit>>) {
    for mut commits in lanes {
        let task_app = Arc::clone(app);
        app.tasks.spawn("deliver", async move {
            let app = task_app;
            let mut batch = Vec::with_capacity(COMMITS_AT_ONCE);
            while commits.recv_many(&mut batch, COMMITS_AT_ONCE).await > 0 {
                // A defect that panics costs its own batch the answers (their senders ask again), not the lane its delivery.
                let delivering = AssertUnwindSafe(deliver(&app, std::mem::take(&mut batch))).catch_unwind();
                if delivering.await.is_err() {
                    error!("delivering a batch has panicked");
                }
            }
        });
    }
}

/// Delivers what was committed, then answers those who asked.
async fn deliver(app: &Arc<App>, commits: Vec<Commit>) {
    let mut outgoing = Vec::new();
    for commit in &commits {
        METRICS.batch_requests.record(f64::from(u32::try_from(commit.answers.len()).unwrap_or(u32::MAX)));
        for conversation in &commit.conversations {
            note_for_search(app, conversation);
            let mut previous = conversation.previous_created_at;
            for committed in &conversation.entries {
                outgoing.push(prepare(commit, conversation, committed, previous));
                previous = Some(committed.entry.created_at);
            }
        }
    }
    // Beside its entries: what a very slow commit wrote may be too old for repair.
    let slow: Vec<ConversationRef> = commits
        .iter()
        .filter(|commit| commit.took > SLOW_COMMIT)
        .flat_map(|commit| commit.conversations.iter().map(|conversation| conversation.conversation))
        .collect();
    // Sessions here do not wait for the bus.
    for prepared in &outgoing {
        show_entry(app, Arrival { item: prepared.item.clone(), origin: prepared.origin.clone() });
    }
    publish(app, &outgoing).await;
    app.shards.crash_point().reach(Point::AfterBus);
    for conversation in slow {
        let frame = server::resync(server::ResyncReason::BusLost, Some(&[conversation.id()]));
        signal_members(app, conversation, &frame, None, Seq(i64::MAX)).await;
    }
    app.shards.crash_point().reach(Point::BeforeAck);
    for commit in commits {
        for answer in commit.answers {
            if answer.result.is_ok() {
                METRICS.accepted.increment(1);
            }
            (answer.reply)(answer.result);
        }
    }
}

/// New text is to be found.
fn note_for_search(app: &App, conversation: &ConversationCommit) {
    let has_text = |entry: &CommittedEntry| matches!(entry.entry.body, Body::Message(_) | Body::Edit(_));
    if conversation.entries.iter().any(has_text) {
        app.search_notes.note(conversation.conversation.id());
    }
}

/// An entry on its way, with the session that made it.
pub struct Prepared {
    pub item: EntryItem,
    pub origin: Option<(crate::domain::SessionId, Option<crate::protocol::frame::Frame>)>,
}

fn prepare(
    commit: &Commit,
    conversation: &ConversationCommit,
    committed: &CommittedEntry,
    previous_created_at: Option<Timestamp>,
) -> Prepared {
    let entry = &committed.entry;
    let reference = &conversation.conversation;
    let is_message = matches!(entry.body, Body::Message(_));
    let shown = Shown { content: committed.content.as_deref(), ..Shown::default() };
    let asked: Option<&Answer> = commit.answers.get(committed.request);
    let origin = asked.and_then(|answer| answer.origin.as_ref()).map(|origin| {
        // A send is answered with `message_sent`; what else was asked for on a socket is answered with its own frame.
        let content = shown.content.filter(|_| !committed.hidden_by.contains(&entry.sender_id));
        let shown = Shown { id: origin.frame_id.as_deref(), content, ..shown };
        let frame = (!is_message).then(|| server::entry_frame(reference, entry, shown));
        (origin.session, frame)
    });
    let temp_id = if is_message { entry.temp_id.clone() } else { None };
    let message_seq = edited_seq(&entry.body);
    let bare_frame = message_seq.map(|_| server::entry_frame(reference, entry, Shown { content: None, ..shown }));
    let (joined, left) = change_of(&entry.body, entry.sender_id);
    let positions = conversation.positions.map(|all| (all.last_ordinal, all.low_read_ordinal, all.high_read_ordinal));
    let item = EntryItem {
        conversation: *reference,
        epoch: commit.epoch,
        seq: entry.seq(),
        sender: entry.sender_id,
        created_at: entry.created_at,
        previous_created_at,
        frame: server::entry_frame(reference, entry, shown),
        temp_id,
        bare_frame,
        message_seq: message_seq.unwrap_or_default(),
        hidden_by: committed.hidden_by.clone(),
        members_version: committed.members_version,
        member_count: conversation.member_count,
        joined,
        left,
        is_message,
        positions: if is_message { positions } else { None },
    };
    Prepared { item, origin }
}

/// Sends entries to the other nodes that have sessions of their members; to all others where that cannot be known.
pub async fn publish(app: &App, entries: &[Prepared]) {
    let peers = app.router.last_known_boots();
    if entries.is_empty() || peers.is_empty() {
        return;
    }
    let seeing: Vec<Option<Vec<UserId>>> = entries.iter().map(|prepared| seeing(app, &prepared.item)).collect();
    let mut users: Vec<UserId> = seeing.iter().flatten().flatten().copied().collect();
    users.sort_unstable();
    users.dedup();
    let routes = routes_of(app, &users).await;
    let own = app.router.boot();
    if let Some(routes) = &routes
        && check_rate::is_counted(app)
    {
        let mut senders: Vec<UserId> = entries.iter().map(|prepared| prepared.item.sender).collect();
        senders.sort_unstable();
        senders.dedup();
        // Of others than those looked up nothing is known.
        for sender in senders.into_iter().filter(|sender| users.binary_search(sender).is_ok()) {
            let is_alone = routes.get(&sender).is_none_or(|boots| boots.iter().all(|boot| *boot == own));
            app.rates.note_alone(sender, is_alone);
        }
    }
    let mut encoders: HashMap<BootId, Encoder> = HashMap::new();
    for (prepared, seeing) in entries.iter().zip(&seeing) {
        match (seeing, &routes) {
            (Some(seeing), Some(routes)) => {
                // Boots in the order in which they are found; the second value: the sender has a session there.
                let mut boots: Vec<(BootId, bool)> = Vec::new();
                for user in seeing {
                    let is_sender = *user == prepared.item.sender;
                    for boot in routes.get(user).into_iter().flatten().filter(|boot| **boot != own) {
                        match boots.iter_mut().find(|(present, _)| present == boot) {
                            Some((_, has_sender)) => *has_sender |= is_sender,
                            None => boots.push((*boot, is_sender)),
                        }
                    }
                }
                for (boot, has_sender) in boots {
                    encoders.entry(boot).or_default().entry(&prepared.item, has_sender);
                }
            }
            _ => {
                for (_, boot) in peers.iter() {
                    encoders.entry(*boot).or_default().entry(&prepared.item, true);
                }
            }
        }
    }
    send(app, encoders).await;
}

/// Hands payloads to the bus.
#[expect(clippy::implicit_hasher, reason = "only our own maps come here")]
pub async fn send(app: &App, encoders: HashMap<BootId, Encoder>) {
    let payloads: Vec<_> = encoders
        .into_iter()
        .filter(|(_, encoder)| !encoder.is_empty())
        .map(|(boot, encoder)| (boot, encoder.finish()))
        .collect();
    if !payloads.is_empty() {
        app.router.publish(payloads).await;
    }
}

/// Where each of these users has sessions. `None`: Redis does not say now.
pub async fn routes_of(app: &App, users: &[UserId]) -> Option<HashMap<UserId, Vec<BootId>>> {
    if users.is_empty() {
        return Some(HashMap::new());
    }
    let started = std::time::Instant::now();
    let ids: Vec<_> = users.iter().map(|user| user.0).collect();
    let routes = app.router.routes(&ids).await.ok()?;
    METRICS.route_seconds.record(started.elapsed().as_secs_f64());
    let mut by_user = HashMap::with_capacity(users.len());
    for (user, routes) in users.iter().zip(routes) {
        if !routes.is_empty() {
            by_user.insert(*user, routes.iter().map(|route| route.boot).collect());
        }
    }
    Some(by_user)
}

/// Those whose routes decide where an entry goes. `None`: it goes to every node, because the group is large, or because this node
/// does not know its members (the receiving nodes read them).
fn seeing(app: &App, item: &EntryItem) -> Option<Vec<UserId>> {
    match item.conversation {
        ConversationRef::Direct { low, high, .. } => Some(vec![low, high]),
        ConversationRef::Group { .. } if item.member_count > ROUTED_GROUP_MAX => None,
        ConversationRef::Group { id } => {
            let set = app.members.get(id)?;
            let set = set.read();
            // Showing the entry here has moved the set by it; while its members are still being read, every node gets it.
            set.is_ready_for(item.members_version, false).then(|| set.seeing(item.seq).collect())
        }
    }
}
