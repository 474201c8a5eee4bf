//! All of a user's own data, part by part, so that however much it is, little of it is in memory at once.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Caller;
use crate::domain::ids::NotificationId;
use crate::domain::notification::Notification;
use crate::domain::profile::Profile;
use crate::domain::{ConversationId, ConversationRef, Entry, LoginId, MessageId, Refusal, Seq, Timestamp, UserId};
use crate::error::Result;
use crate::service::accounts::list_logins::{Login, list_logins};
use crate::service::conversations::list_conversations::{ConversationView, Place, list_conversations};
use crate::service::friends::list_friends::{FriendView, RequestView, list_friends, list_requests};
use crate::service::notifications::list_notifications::list_notifications;
use crate::service::people::list_blocked::list_blocked;
use crate::storage::Shard;
use crate::storage::directory::accounts::{Account, read_account};
use crate::storage::directory::read_listing::read_listed;
use crate::storage::shard::own_rows::{ReadMark, read_own_hidden, read_own_marks, read_own_reactions};
use crate::storage::shard::read_entries::Range;
use crate::storage::shard::read_own_messages::read_own_messages;
use crate::storage::shard::read_states::{State, read_states};

/// Items read at once.
const PAGE: usize = 200;
/// Entries looked at by one statement for those of the user.
const ENTRIES_AT_ONCE: i64 = 5_000;
/// Exports at the same time on this node; beyond it is `overloaded`.
const EXPORTS_MAX: usize = 4;
const RETRY_AFTER_MS: u64 = 5_000;

static EXPORTS: Semaphore = Semaphore::const_new(EXPORTS_MAX);

/// What an export is made of, in this order.
#[derive(Debug)]
pub enum Part {
    Profile(Box<Account>),
    Login(Login),
    Friend(FriendView),
    Request(RequestView),
    Blocked(Profile, Timestamp),
    Conversation(Box<ConversationView>),
    Notification(Notification),
    /// A message of the user's own.
    Message(ConversationRef, Box<Entry>),
    Reaction(MessageId, String),
    /// When the user read up to where.
    Read(ReadMark),
    /// A message that the user has hidden.
    Hidden(MessageId),
}

/// Takes the parts; an error of its own ends the export.
pub trait Sink {
    fn take(&mut self, part: Part) -> impl Future<Output = Result<()>> + Send;
}

/// Refuses when there are too many at once: before anything is answered.
pub fn begin_export() -> Result<tokio::sync::SemaphorePermit<'static>> {
    Ok(EXPORTS.try_acquire().map_err(|_| Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS })?)
}

/// Gives all parts to `sink`.
pub async fn export_account(app: &App, caller: &Caller, sink: &mut impl Sink) -> Result<()> {
    let account = read_account(&app.directory, caller.user).await?.ok_or(Refusal::NotFound)?;
    sink.take(Part::Profile(Box::new(account))).await?;
    export_logins(app, caller, sink).await?;
    export_people(app, caller.user, sink).await?;
    export_notifications(app, caller.user, sink).await?;
    export_conversations(app, caller.user, sink).await?;
    for own in [Own::Messages, Own::Reactions] {
        export_logs(app, caller.user, own, sink).await?;
    }
    export_reads(app, caller.user, sink).await?;
    export_hidden(app, caller.user, sink).await
}

async fn export_logins(app: &App, caller: &Caller, sink: &mut impl Sink) -> Result<()> {
    let mut after: Option<(Timestamp, LoginId)> = None;
    loop {
        let page = list_logins(app, caller, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some((last.created_at, last.id));
        for login in page {
            sink.take(Part::Login(login)).await?;
        }
    }
}

async fn export_people(app: &App, user: UserId, sink: &mut impl Sink) -> Result<()> {
    let mut after: Option<UserId> = None;
    loop {
        let page = list_friends(app, user, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.user.id);
        for friend in page {
            sink.take(Part::Friend(friend)).await?;
        }
    }
    let mut before = (far_future(app), UserId(Uuid::max()));
    loop {
        let page = list_requests(app, user, None, before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = (last.created_at, last.user.id);
        for request in page {
            sink.take(Part::Request(request)).await?;
        }
    }
    let mut after = Some(UserId(Uuid::nil()));
    loop {
        let page = list_blocked(app, user, after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for (profile, since) in page {
            sink.take(Part::Blocked(profile, since)).await?;
        }
    }
}

async fn export_notifications(app: &App, user: UserId, sink: &mut impl Sink) -> Result<()> {
    let mut before = (far_future(app), NotificationId(Uuid::max()));
    loop {
        let page = list_notifications(app, user, before, false, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before = (last.created_at, last.id);
        for notification in page {
            sink.take(Part::Notification(notification)).await?;
        }
    }
}

/// After all that any clock of the cluster can have made.
fn far_future(app: &App) -> Timestamp {
    app.clock.now().plus(Duration::from_hours(24))
}

async fn export_conversations(app: &App, user: UserId, sink: &mut impl Sink) -> Result<()> {
    let mut after: Option<Place> = None;
    loop {
        let (page, next) = list_conversations(app, user, None, after, PAGE).await?;
        for view in page {
            sink.take(Part::Conversation(Box::new(view))).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

/// What of a log is a user's.
#[derive(Clone, Copy, Debug)]
enum Own {
    Messages,
    Reactions,
}

/// Also in conversations that were left lately, as far as the user's list goes back.
async fn export_logs(app: &App, user: UserId, own: Own, sink: &mut impl Sink) -> Result<()> {
    for (shard, ids) in listed_by_shard(app, user).await? {
        for state in read_states(shard, user, &ids).await? {
            for range in ranges_of(&state) {
                export_range(shard, user, own, &state, range, sink).await?;
            }
        }
    }
    Ok(())
}

async fn export_reads(app: &App, user: UserId, sink: &mut impl Sink) -> Result<()> {
    for (shard, ids) in listed_by_shard(app, user).await? {
        for mark in read_own_marks(shard, user, &ids).await? {
            sink.take(Part::Read(mark)).await?;
        }
    }
    Ok(())
}

/// The conversations that a user lists, in parts of a page at most, each of one shard.
async fn listed_by_shard(app: &App, user: UserId) -> Result<Vec<(&Shard, Vec<ConversationId>)>> {
    let mut ids = read_listed(&app.directory, user).await?;
    ids.sort_unstable();
    let mut parts = Vec::new();
    for page in ids.chunks(PAGE) {
        let mut by_shard: BTreeMap<_, Vec<ConversationId>> = BTreeMap::new();
        for id in page {
            by_shard.entry(app.shards.of(*id)?.id).or_default().push(*id);
        }
        parts.extend(by_shard.into_iter().filter_map(|(shard, ids)| Some((&**app.shards.get(shard)?, ids))));
    }
    Ok(parts)
}

async fn export_range(
    shard: &Shard,
    user: UserId,
    own: Own,
    state: &State,
    range: Range,
    sink: &mut impl Sink,
) -> Result<()> {
    match own {
        Own::Messages => {
            for entry in read_own_messages(shard, range, user).await? {
                sink.take(Part::Message(state.conversation, Box::new(entry))).await?;
            }
        }
        Own::Reactions => {
            for (message, emoji) in read_own_reactions(shard, range, user).await? {
                sink.take(Part::Reaction(message, emoji)).await?;
            }
        }
    }
    Ok(())
}

async fn export_hidden(app: &App, user: UserId, sink: &mut impl Sink) -> Result<()> {
    let page_max = i64::try_from(PAGE).unwrap_or(i64::MAX);
    for shard in app.shards.all() {
        let mut after = MessageId(Uuid::nil());
        loop {
            let page = read_own_hidden(shard, user, after, page_max).await?;
            let Some(last) = page.last() else { break };
            after = *last;
            for message in page {
                sink.take(Part::Hidden(message)).await?;
            }
        }
    }
    Ok(())
}

/// All that the user may see of a conversation, a piece at a time.
fn ranges_of(state: &State) -> impl Iterator<Item = Range> + use<> {
    let (conversation, first, last) = (state.id(), state.first_seq, state.visible_last());
    let mut low = first;
    std::iter::from_fn(move || {
        let from = low;
        low = Seq(from.0.saturating_add(ENTRIES_AT_ONCE));
        (from <= last).then(|| Range { conversation, low: from, high: last.min(low.previous()) })
    })
}
