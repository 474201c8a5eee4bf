//! What delivery has to read from a shard before it can go on: holes in a log, member sets, unread counts of small groups. Each is a
//! task of its own with a bounded number of tries, so that a shard that is away stops nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::item_of_stored::item_of_stored;
use super::metrics::METRICS;
use super::show_entry::{begin, give_up, members_are_here, show_entry, tell_unread};
use crate::app::App;
use crate::domain::{ConversationId, ConversationRef, Seq, SessionId, UserId};
use crate::memory::gates::Arrival;
use crate::memory::unread::Due;
use crate::storage::StorageError;
use crate::storage::error::cause;
use crate::storage::shard::read_delivery::{self, FoundEntries, StoredEntry};
use crate::storage::shard::read_states;

/// A hole is often only another node's entry on its way: it gets this long to come.
const HOLE_PATIENCE: Duration = Duration::from_millis(250);
/// After this a hole is given up and the sessions are told to sync.
const FILL_TIME_MAX: Duration = Duration::from_secs(4);
/// A wider hole is not filled: `resync` is cheaper.
const HOLE_ENTRIES_MAX: i64 = 500;
/// Between two readings that each found something.
const FILL_PAUSE: Duration = Duration::from_millis(20);
/// The node's own entries have this long to come from its lanes.
const OWN_PATIENCE: Duration = Duration::from_secs(1);
/// Between two readings of one hole.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// Member sets are asked for again this often while their shard is away; what waits for them is bounded.
const MEMBERS_RETRY_MAX: Duration = Duration::from_secs(5);

/// A hole of a gate.
struct Hole {
    has_begun: bool,
    /// The last that was shown; of a gate that has not begun, before it was to begin anew.
    last: Seq,
    first_waiting: Seq,
    last_waiting: Seq,
}

/// Since when it is known that entries lack before one that waits. While peers are not heard, or where a user comes back to this node,
/// there is one hole after the other: those before the last entry that waits already have one time together, later ones have theirs.
#[derive(Clone, Copy)]
struct Known {
    before: Seq,
    since: Instant,
    /// What this node wrote up to here has come from its lanes already.
    own_came_to: Seq,
}

impl Known {
    fn look_at(&mut self, hole: &Hole) {
        if hole.first_waiting > self.before {
            (self.before, self.since) = (hole.last_waiting, Instant::now());
        }
    }
}

/// Fills the holes of a gate until nothing waits at it, or gives them up.
pub fn fill_hole(app: &Arc<App>, conversation: ConversationRef) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("fill", async move {
        let app = task_app;
        let mut known = Known { before: Seq::ZERO, since: Instant::now(), own_came_to: Seq::ZERO };
        let mut has_waited = false;
        let mut read_after = None;
        while let Some(hole) = next_hole(&app, &conversation) {
            if !hole.has_begun {
                begin_gate(&app, &conversation, hole.first_waiting).await;
                // What is there was found in the log: nothing is gained by waiting for it.
                has_waited = true;
                known.own_came_to = hole.last;
                continue;
            }
            known.look_at(&hole);
            if !has_waited {
                has_waited = true;
                tokio::time::sleep(HOLE_PATIENCE).await;
                continue;
            }
            let is_too_wide = hole.first_waiting.0 - hole.last.0 > HOLE_ENTRIES_MAX;
            if is_too_wide || known.since.elapsed() > FILL_TIME_MAX || app.tasks.is_stopping() {
                let before = if is_too_wide { hole.first_waiting } else { known.before };
                with_post(&app, &conversation, |app, post, set| give_up(app, post, &conversation, before, set));
                continue;
            }
            // With the holes behind it: what waits already does no harm.
            match read_entries(&app, conversation, hole.last, known.before).await {
                Ok(found) if !found.entries.is_empty() => {
                    METRICS.gate_fills.increment(1);
                    show_found(&app, &without_own(&app, found, known));
                }
                Ok(_) => {}
                Err(error) => debug!(error = cause(&error), "a hole could not be read"),
            }
            let has_moved = read_after.replace(hole.last) != Some(hole.last);
            tokio::time::sleep(if has_moved { FILL_PAUSE } else { RETRY_INTERVAL }).await;
        }
    });
}

/// Nothing was shown of this log yet, and entries just before the first that waits may be on their way: the gate begins before those.
async fn begin_gate(app: &Arc<App>, conversation: &ConversationRef, first_waiting: Seq) {
    let after = match app.shards.of(conversation.id()) {
        Ok(shard) => read_delivery::read_recent_start(shard, conversation.id(), first_waiting).await,
        Err(error) => Err(error),
    };
    // A shard that cannot be read now: the gate begins with what is here, and what is below it is announced when it comes.
    let after = after.unwrap_or_else(|error| {
        warn!(error = cause(&error), "where a log's gate begins could not be read");
        first_waiting.previous()
    });
    with_post(app, conversation, |app, post, set| begin(app, post, after, set));
}

/// The hole to fill next. None: the filling is over, and a later hole starts another.
fn next_hole(app: &App, conversation: &ConversationRef) -> Option<Hole> {
    let mut map = app.gates.lock(conversation.id());
    let post = map.get_mut(&conversation.id())?;
    let hole = post.gate.hole().zip(post.gate.last_waiting());
    post.is_filling = hole.is_some();
    let has_begun = !post.gate.is_empty();
    hole.map(|((last, first_waiting), last_waiting)| Hole { has_begun, last, first_waiting, last_waiting })
}

async fn read_entries(
    app: &App,
    conversation: ConversationRef,
    after: Seq,
    before: Seq,
) -> Result<FoundEntries, StorageError> {
    let shard = app.shards.of(conversation.id())?;
    read_delivery::read_hole(shard, conversation, after, before, HOLE_ENTRIES_MAX).await
}

/// What this node has just written itself is on its way from its lane, and comes with the session that sent it: it is left out for a
/// moment, so that nobody is shown an own message as if it were another's.
fn without_own(app: &App, mut found: FoundEntries, known: Known) -> FoundEntries {
    if known.since.elapsed() < OWN_PATIENCE {
        let own = app.router.boot();
        found.entries.retain(|stored| stored.boot != Some(own) || stored.entry.seq() <= known.own_came_to);
    }
    found
}

/// Shows entries that were read from the shard, through the gate.
pub fn show_found(app: &Arc<App>, found: &FoundEntries) {
    for stored in &found.entries {
        let item = item_of_stored(&found.conversation, found.epoch, found.members_version, found.member_count, stored);
        let origin = session_sending(app, stored).map(|session| (session, None));
        show_entry(app, Arrival { item, origin });
    }
}

/// The session here that waits for the answer to this very send: it is not shown its own message, though the shard was faster.
fn session_sending(app: &App, stored: &StoredEntry) -> Option<SessionId> {
    let temp_id = stored.entry.temp_id.as_deref()?;
    let sessions = app.hub.of_user(stored.entry.sender_id);
    sessions.iter().find(|session| session.is_sending(temp_id)).map(|session| session.id)
}

/// Runs `act` with the conversation's post, locked, and its member set.
fn with_post(
    app: &Arc<App>,
    conversation: &ConversationRef,
    act: impl FnOnce(&Arc<App>, &mut crate::memory::gates::Post, Option<&crate::memory::members::SharedSet>),
) {
    let set = app.members.get(conversation.id());
    let mut map = app.gates.lock(conversation.id());
    if let Some(post) = map.get_mut(&conversation.id()) {
        act(app, post, set.as_ref());
    }
}

/// Reads a group's member set, however long its shard is away, and lets go on what waits for it.
pub fn read_members_for(app: &Arc<App>, conversation: ConversationRef) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("read members", async move {
        let app = task_app;
        let mut pause = Duration::from_millis(50);
        while !app.tasks.is_stopping() {
            let result = match app.shards.of(conversation.id()) {
                Ok(shard) => read_delivery::read_members(shard, conversation.id()).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(set) => {
                    let set = app.members.put(conversation.id(), set);
                    return members_are_here(&app, conversation.id(), &set);
                }
                Err(error) => debug!(error = cause(&error), "members could not be read"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MEMBERS_RETRY_MAX);
        }
    });
}

/// Counts what a user has not read in a conversation and tells him, wherever he is here.
pub fn count_own_unread(app: &Arc<App>, conversation: ConversationId, user: UserId) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("count own unread", async move {
        let app = task_app;
        let Ok(shard) = app.shards.of(conversation) else { return };
        match read_states::read_unread(shard, user, &[conversation]).await {
            Ok(counts) => {
                let unread_count = counts.first().map_or(0, |(_, count)| *count);
                tell_unread(&app, Due { user, conversation, unread_count });
            }
            Err(error) => debug!(error = cause(&error), "unread messages could not be counted"),
        }
    });
}

/// Counts the unread messages of a pair or a small group and tells its members who are here.
pub fn count_unread(app: &Arc<App>, conversation: ConversationId) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("count unread", async move {
        let app = task_app;
        let Ok(shard) = app.shards.of(conversation) else { return };
        match read_delivery::read_unread(shard, conversation).await {
            Ok(counts) => {
                let now = Instant::now();
                for (user, last, read) in counts {
                    if app.hub.has_user(user)
                        && let Some(due) = app.unread.note(user, conversation, last, read, now)
                    {
                        tell_unread(&app, due);
                    }
                }
            }
            Err(error) => debug!(error = cause(&error), "unread messages could not be counted"),
        }
    });
}
