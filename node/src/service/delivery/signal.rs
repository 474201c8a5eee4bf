//! Frames that are no entries: typing, read, status, settings, unread counts, and the closing of sessions elsewhere. Best effort, to a
//! user's sessions on all nodes, without a gate.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::deliver::{routes_of, send};
use super::metrics::METRICS;
use super::show_entry::tell_unread;
use crate::app::App;
use crate::domain::{BootId, ConversationId, ConversationRef, Seq, SessionId, UserId};
use crate::protocol::codes::CloseCode;
use crate::protocol::delivery::Encoder;
use crate::protocol::frame::Frame;
use crate::protocol::server::{self, ResyncReason};
use crate::storage::StorageError;
use crate::storage::error::cause;
use crate::storage::shard::read_delivery;

/// `resync` to all sessions is spread over this time.
const RESYNC_SPREAD: Duration = Duration::from_secs(3);

/// Sends a frame to all sessions of these users, on all nodes, but one. False: Redis does not say now where the others are.
pub async fn signal_users(app: &App, users: &[UserId], frame: &Frame, except: Option<SessionId>) -> bool {
    signal_here(app, users, frame, except);
    let mut by_boot: HashMap<BootId, Vec<UserId>> = HashMap::new();
    let is_known = for_each_route(app, users, |user, boot| by_boot.entry(boot).or_default().push(user)).await;
    let mut encoders: HashMap<BootId, Encoder> = HashMap::new();
    for (boot, users) in by_boot {
        encoders.entry(boot).or_default().signal(&users, frame, except);
    }
    send(app, encoders).await;
    is_known
}

/// The same for this node's sessions only.
pub fn signal_here(app: &App, users: &[UserId], frame: &Frame, except: Option<SessionId>) {
    for user in users {
        for session in app.hub.of_user(*user).iter().filter(|session| Some(session.id) != except) {
            session.send(frame);
        }
    }
}

/// Sends a frame to the sessions of all members who see `seq` (`Seq(i64::MAX)`: of all present members), but one user's.
pub async fn signal_members(app: &App, conversation: ConversationRef, frame: &Frame, except: Option<UserId>, seq: Seq) {
    let users = match members_seeing(app, conversation, seq).await {
        Ok(users) => users,
        Err(error) => {
            return tracing::debug!(error = cause(&error), "members could not be read");
        }
    };
    let users: Vec<UserId> = users.into_iter().filter(|user| Some(*user) != except).collect();
    signal_users(app, &users, frame, None).await;
}

/// The members who see an entry; of groups from the set that this node keeps, read where it is missing.
async fn members_seeing(app: &App, conversation: ConversationRef, seq: Seq) -> Result<Vec<UserId>, StorageError> {
    match conversation {
        ConversationRef::Direct { low, high, .. } => Ok(vec![low, high]),
        ConversationRef::Group { id } => {
            let set = match app.members.get(id) {
                Some(set) => set,
                None => app.members.put(id, read_delivery::read_members(app.shards.of(id)?, id).await?),
            };
            let users = set.read().seeing(seq).collect();
            Ok(users)
        }
    }
}

/// The members of now, `max` at most; none where there are more. Of groups the version is read each time: a node without members
/// hears nothing of who leaves.
pub async fn present_members(
    app: &App,
    conversation: ConversationRef,
    max: usize,
) -> Result<Option<Vec<UserId>>, StorageError> {
    let now = Seq(i64::MAX);
    if let ConversationRef::Group { id } = conversation {
        let known = app.members.get(id);
        if known.as_ref().is_some_and(|set| set.read().seeing(now).nth(max).is_some()) {
            return Ok(None);
        }
        let shard = app.shards.of(id)?;
        let Some(version) = read_delivery::read_members_version(shard, id).await? else { return Ok(None) };
        if known.is_none_or(|set| set.read().version() < version) {
            app.members.put(id, read_delivery::read_members(shard, id).await?);
        }
    }
    let members = members_seeing(app, conversation, now).await?;
    Ok(Some(members).filter(|members| members.len() <= max))
}

/// Tells a user's sessions everywhere the positions that make its unread count. With `answer`, that frame is sent in place of the
/// plain count, at once (it is the answer to `read`).
pub async fn signal_unread(
    app: &App,
    user: UserId,
    conversation: ConversationId,
    last_ordinal: i64,
    read_ordinal: i64,
    answer: Option<(&Frame, Option<SessionId>)>,
) {
    show_unread(app, user, conversation, last_ordinal, read_ordinal, answer.is_some());
    if let Some((frame, except)) = answer {
        signal_here(app, &[user], frame, except);
    }
    let mut encoders: HashMap<BootId, Encoder> = HashMap::new();
    for_each_route(app, &[user], |user, boot| {
        let encoder = encoders.entry(boot).or_default();
        encoder.unread(user, conversation, last_ordinal, read_ordinal, answer.is_some());
        if let Some((frame, except)) = answer {
            encoder.signal(&[user], frame, except);
        }
    })
    .await;
    send(app, encoders).await;
}

/// Takes positions in for this node's sessions, and tells them unless an answer does.
pub fn show_unread(
    app: &App,
    user: UserId,
    conversation: ConversationId,
    last_ordinal: i64,
    read_ordinal: i64,
    is_told: bool,
) {
    if !app.hub.has_user(user) {
        return;
    }
    let now = Instant::now();
    if is_told {
        app.unread.note_told(user, conversation, last_ordinal, read_ordinal, now);
    } else if let Some(due) = app.unread.note(user, conversation, last_ordinal, read_ordinal, now) {
        tell_unread(app, due);
    }
}

/// Tells the node that holds a session to close it.
pub async fn close_elsewhere(app: &App, user: UserId, boot: BootId, session: SessionId, code: CloseCode) {
    let mut encoder = Encoder::default();
    encoder.close(user, session, code);
    send(app, HashMap::from([(boot, encoder)])).await;
}

/// Calls `visit` once for each user and other node that has sessions of it. While Redis is away: never, and false is answered.
async fn for_each_route(app: &App, users: &[UserId], mut visit: impl FnMut(UserId, BootId)) -> bool {
    if app.router.last_known_boots().is_empty() {
        return app.router.is_up();
    }
    let own = app.router.boot();
    let Some(routes) = routes_of(app, users).await else { return false };
    for (user, mut boots) in routes {
        boots.sort_unstable();
        boots.dedup();
        boots.into_iter().filter(|boot| *boot != own).for_each(|boot| visit(user, boot));
    }
    true
}

/// `resync` to every session of this node, spread over some seconds, so that they do not all sync at once.
pub async fn tell_all_to_sync(app: &App, reason: ResyncReason) {
    let frame = server::resync(reason, None);
    let parts = crate::hub::Hub::parts();
    let pause = RESYNC_SPREAD / u32::try_from(parts).unwrap_or(1);
    for part in 0..parts {
        let sessions = app.hub.some(part);
        if sessions.is_empty() {
            continue;
        }
        METRICS.resyncs.increment(u64::try_from(sessions.len()).unwrap_or(0));
        for session in &sessions {
            session.send_resync(&frame, None);
        }
        tokio::time::sleep(pause).await;
    }
}
