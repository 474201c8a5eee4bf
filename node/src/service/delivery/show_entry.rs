//! Shows an entry of a log to this node's sessions of its members, in order and once: the gate.
//!
//! A gate's range means "shown to all sessions of members that were here". So entries come to it whole: which of this node's users
//! see an entry is decided here, by the pair or by the member set, never by the node that sent it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::fill;
use super::metrics::METRICS;
use super::signal::tell_all_to_sync;
use crate::app::App;
use crate::domain::gate::Passage;
use crate::domain::member_set::MemberSet;
use crate::domain::{ConversationId, ConversationRef, Seq, UserId};
use crate::hub::SessionHandle;
use crate::hub::received::Log;
use crate::memory::gates::{Arrival, Post};
use crate::memory::members::SharedSet;
use crate::memory::unread::{COUNTS_ARE_FRESH, Due};
use crate::protocol::delivery::EntryItem;
use crate::protocol::frame::Frame;
use crate::protocol::server::{self, ResyncReason, UnreadCountData};

/// Groups above this size get no unread counts (but after own sends), typing and read frames.
pub const SMALL_GROUP_MAX: i32 = 100;
/// An entry made this shortly before another may still be on its way from another node.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// Entries that may wait for one member set; beyond, the oldest are dropped, and the gate finds the hole.
const WAITING_FOR_MEMBERS_MAX: usize = 1_024;

/// Shows an entry, or keeps it until it can be shown.
pub fn show_entry(app: &Arc<App>, arrival: Arrival) {
    let conversation = arrival.item.conversation;
    if app.shards.of(conversation.id()).is_ok_and(|shard| shard.begins_epoch(arrival.item.epoch)) {
        tell_of_lost_ends(app);
    }
    let now = Instant::now();
    let mut map = app.gates.lock(conversation.id());
    let post = app.gates.post_of(&mut map, conversation.id(), arrival.item.epoch, now);
    if matches!(conversation, ConversationRef::Direct { .. }) {
        return pass(app, post, arrival, None, now);
    }
    if let Some(waiting) = &mut post.waits_for_members {
        if waiting.len() >= WAITING_FOR_MEMBERS_MAX {
            waiting.remove(0);
        }
        waiting.push(arrival);
        return;
    }
    if let Some(set) = ready_set(app, &arrival) {
        pass(app, post, arrival, Some(&set), now);
    } else {
        post.waits_for_members = Some(vec![arrival]);
        fill::read_members_for(app, conversation);
    }
}

/// A shard's logs may have lost their ends, and go on with seqs that were given out before: those who hold such ends have to sync to
/// learn of it.
fn tell_of_lost_ends(app: &Arc<App>) {
    warn!("a shard has a new epoch: telling all sessions to sync");
    let task_app = Arc::clone(app);
    app.tasks.spawn("new epoch", async move { tell_all_to_sync(&task_app, ResyncReason::ShardLost).await });
}

/// The member set of the entry's group, if it is here and new enough.
fn ready_set(app: &App, arrival: &Arrival) -> Option<SharedSet> {
    let item = &arrival.item;
    let id = item.conversation.id();
    let has_change = !item.joined.is_empty() || !item.left.is_empty();
    if let Some(set) = app.members.get(id) {
        if set.read().is_ready_for(item.members_version, has_change) {
            return Some(set);
        }
        return None;
    }
    let is_whole = item.seq == Seq(1) && i64::from(item.member_count) == i64::try_from(item.joined.len()).unwrap_or(-1);
    is_whole.then(|| {
        let mut set = MemberSet::new(item.members_version - 1, std::collections::HashMap::new());
        set.apply(item.members_version, item.seq, &item.joined, &[]);
        app.members.put(id, set)
    })
}

/// After a member set was read: what waited for it goes on, in its order.
pub fn members_are_here(app: &Arc<App>, conversation: ConversationId, set: &SharedSet) {
    let now = Instant::now();
    let mut map = app.gates.lock(conversation);
    let Some(post) = map.get_mut(&conversation) else { return };
    for arrival in post.waits_for_members.take().unwrap_or_default() {
        pass(app, post, arrival, Some(set), now);
    }
}

/// Offers an entry to its gate and does what the gate says. The gate's lock is held.
fn pass(app: &Arc<App>, post: &mut Post, arrival: Arrival, set: Option<&SharedSet>, now: Instant) {
    let conversation = arrival.item.conversation;
    let (epoch, seq) = (arrival.item.epoch, arrival.item.seq);
    if !post.gate.is_empty() && seq > post.gate.last().next() && all_came_after(app, post, &conversation, set) {
        // Whoever was shown the entries up to `last` has left; who is here now has synced since.
        post.gate.restart();
    }
    let has_recent_predecessor =
        arrival.item.previous_created_at.is_some_and(|previous| arrival.item.created_at.since(previous) < ON_ITS_WAY);
    match post.gate.offer(epoch, seq, has_recent_predecessor, arrival, now) {
        Passage::Out(arrivals) => emit_all(app, &arrivals, set),
        Passage::Duplicate(arrival) | Passage::Outdated(arrival) => answer_origin(app, &arrival),
        Passage::Below(arrival) => {
            answer_origin(app, &arrival);
            // Such are most of what the survivors of a node deliver for it: written long before this gate began, and read since by the
            // syncs of those who are here.
            let log = log_of(&arrival.item);
            tell_to_sync(app, &conversation, seq, set, |session, frame| session.send_resync_below(frame, log, seq));
        }
        Passage::Waits { .. } | Passage::Begins => {
            if !post.is_filling {
                post.is_filling = true;
                fill::fill_hole(app, conversation);
            }
        }
        Passage::Full(arrival) => {
            debug!(conversation = %conversation.id(), "too many entries wait for a hole");
            answer_origin(app, &arrival);
            let id = Some(conversation.id());
            tell_to_sync(app, &conversation, seq, set, |session, frame| {
                session.send_resync(frame, id);
                true
            });
            emit_all(app, &post.gate.give_up_hole(), set);
        }
    }
}

/// Begins a gate that has shown nothing after `last`, and shows what may pass then.
pub fn begin(app: &Arc<App>, post: &mut Post, last: Seq, set: Option<&SharedSet>) {
    emit_all(app, &post.gate.begin_after(last), set);
}

/// What passes once the holes before an entry are given up: everyone is told, once, to sync. Called with the gate's lock held.
pub fn give_up(app: &Arc<App>, post: &mut Post, conversation: &ConversationRef, before: Seq, set: Option<&SharedSet>) {
    let mut told = HashSet::new();
    while let Some((last, _)) = post.gate.hole().filter(|(_, first_waiting)| *first_waiting <= before) {
        tell_to_sync(app, conversation, last.next(), set, |session, frame| {
            let is_first = told.insert(session.id);
            if is_first {
                session.send_resync(frame, Some(conversation.id()));
            }
            is_first
        });
        emit_all(app, &post.gate.give_up_hole(), set);
    }
}

fn emit_all(app: &Arc<App>, arrivals: &[Arrival], set: Option<&SharedSet>) {
    for arrival in arrivals {
        emit(app, arrival, set);
    }
}

/// True if no present session of a member was here when the gate was last used.
fn all_came_after(app: &App, post: &Post, conversation: &ConversationRef, set: Option<&SharedSet>) -> bool {
    let used_at = post.gate.used_at();
    let mut all_came_after = true;
    for_each_session(app, conversation, None, set, |session| {
        all_came_after &= session.entered_at() > used_at;
    });
    all_came_after
}

/// Writes the entry to the sessions of all who see it.
fn emit(app: &Arc<App>, arrival: &Arrival, set: Option<&SharedSet>) {
    let item = &arrival.item;
    let log = log_of(item);
    if let Some(set) = set
        && (!item.joined.is_empty() || !item.left.is_empty())
    {
        set.write().apply(item.members_version, item.seq, &item.joined, &item.left);
    }
    let unseeing = unseeing(item, set);
    let mut delivered = 0_u64;
    let mut origin_is_answered = false;
    let mut own_frame = None;
    for_each_session(app, &item.conversation, Some(item.seq), set, |session| {
        if let Some((origin, frame)) = &arrival.origin
            && *origin == session.id
        {
            origin_is_answered = true;
            match frame {
                Some(frame) => session.send_own_entry(frame, log, item.seq),
                None => session.given_own(log, item.seq),
            }
            return;
        }
        let frame = match &item.bare_frame {
            Some(bare) if unseeing.contains(&session.user) => bare,
            _ if session.user == item.sender => own_frame.get_or_insert_with(|| item.own_frame()),
            _ => &item.frame,
        };
        session.send_entry(frame, log, item.seq);
        delivered += 1;
    });
    if !origin_is_answered {
        answer_origin(app, arrival);
    }
    if delivered > 0 {
        METRICS.delivered.increment(delivered);
        METRICS.delivery_seconds.record(app.clock.now().since(item.created_at).as_secs_f64());
    }
    if item.is_message {
        note_unread(app, arrival);
    }
}

const fn log_of(item: &EntryItem) -> Log {
    Log { conversation: item.conversation.id(), epoch: item.epoch }
}

/// Who sees an edit and not the message: came later, or has hidden it.
fn unseeing(item: &EntryItem, set: Option<&SharedSet>) -> HashSet<UserId> {
    if item.bare_frame.is_none() {
        return HashSet::new();
    }
    let mut unseeing: HashSet<UserId> = item.hidden_by.iter().copied().collect();
    if let Some(set) = set {
        let set = set.read();
        unseeing.extend(set.seeing(item.seq).filter(|user| !set.sees(*user, item.message_seq)));
    }
    unseeing
}

/// The session that made the entry gets its answer, also where the entry itself was shown before or cannot be.
fn answer_origin(app: &App, arrival: &Arrival) {
    if let Some((session, Some(frame))) = &arrival.origin
        && let Some(session) = app.hub.get(*session)
    {
        session.send(frame);
    }
}

/// Calls `visit` for this node's sessions of all who see the entry `seq` (`None`: of all who see anything).
fn for_each_session(
    app: &App,
    conversation: &ConversationRef,
    seq: Option<Seq>,
    set: Option<&SharedSet>,
    mut visit: impl FnMut(&Arc<SessionHandle>),
) {
    let mut visit_user = |user: UserId| app.hub.of_user(user).iter().for_each(&mut visit);
    match (conversation, set) {
        (ConversationRef::Direct { low, high, .. }, _) => {
            visit_user(*low);
            visit_user(*high);
        }
        (ConversationRef::Group { .. }, Some(set)) => {
            let set = set.read();
            let seq = seq.unwrap_or(Seq(i64::MAX));
            if set.len() <= app.hub.len() {
                set.seeing(seq).for_each(visit_user);
            } else {
                app.hub.users().into_iter().filter(|user| set.sees(*user, seq)).for_each(visit_user);
            }
        }
        (ConversationRef::Group { .. }, None) => {}
    }
}

/// Tells the sessions of all who see `seq` that they may have missed something of this conversation; `tell` says whether it did.
fn tell_to_sync(
    app: &App,
    conversation: &ConversationRef,
    seq: Seq,
    set: Option<&SharedSet>,
    mut tell: impl FnMut(&SessionHandle, &Frame) -> bool,
) {
    let frame = server::resync(ResyncReason::BusLost, Some(&[conversation.id()]));
    let mut told = 0;
    for_each_session(app, conversation, Some(seq), set, |session| told += u64::from(tell(session, &frame)));
    METRICS.resyncs.increment(told);
}

/// New messages change unread counts: of a pair they travel with the entry, of small groups they are counted once a second. So are
/// those of a pair whose entry comes late, or was read from the shard: what is known here of the time since may be forgotten.
fn note_unread(app: &Arc<App>, arrival: &Arrival) {
    let item = &arrival.item;
    let now = Instant::now();
    match (item.conversation, item.positions) {
        (ConversationRef::Direct { id, low, high }, Some((last, low_read, high_read)))
            if app.clock.now().since(item.created_at) < COUNTS_ARE_FRESH =>
        {
            for (user, read) in [(low, low_read), (high, high_read)] {
                if app.hub.has_user(user)
                    && let Some(due) = app.unread.note(user, id, last, read, now)
                {
                    tell_unread(app, due);
                }
            }
        }
        // Of a large group only to the sender.
        (ConversationRef::Group { id }, _) if item.member_count > SMALL_GROUP_MAX => {
            if app.hub.has_user(item.sender) {
                fill::count_own_unread(app, id, item.sender);
            }
        }
        (conversation, _) => {
            if app.unread.note_uncounted(conversation.id(), now) {
                fill::count_unread(app, conversation.id());
            }
        }
    }
}

/// Sends an unread count to all of a user's sessions here.
pub fn tell_unread(app: &App, due: Due) {
    let data =
        UnreadCountData { conversation_id: due.conversation, unread_count: due.unread_count, total_unread: None };
    let frame = server::unread_count_update(None, &data);
    app.hub.of_user(due.user).iter().for_each(|session| session.send(&frame));
}
