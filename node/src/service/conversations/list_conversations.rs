//! A user's conversations with all that a list shows, in a number of queries that does not grow with their number.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::read_receipts::Receipts;
use super::resolve::resolve;
use crate::app::App;
use crate::domain::profile::Profile;
use crate::domain::reactions::Reactions;
use crate::domain::{Body, ConversationId, ConversationKind, ConversationRef, Entry, Refusal, Seq, Timestamp, UserId};
use crate::error::Result;
use crate::service::ask_shards::by_shard;
use crate::storage::directory::{listing, profiles, read_listing};
use crate::storage::shard::read_entries::{self, Range};
use crate::storage::shard::read_extras;
pub use crate::storage::shard::read_states::Side;
use crate::storage::shard::read_states::{self, Key, Listing, State};
use crate::storage::{Shard, ShardId, StorageError};

/// A conversation as a list shows it.
#[derive(Clone, Debug)]
pub struct ConversationView {
    pub state: State,
    pub peer: Option<Profile>,
    pub peer_read_seq: Option<Seq>,
    /// The newest message that this user may see.
    pub last_message: Option<Entry>,
    pub reactions: Reactions,
    pub mention_count: i64,
}

/// A place in the list, as a cursor says it: pinned, microseconds since 1970, id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(bool, i64, ConversationId);

impl ConversationView {
    /// What the reader knows it by: the group's title, or the other user's name.
    pub fn title(&self) -> Option<&str> {
        match &self.state.side {
            Side::Group { title, .. } => title.as_deref(),
            Side::Direct { .. } => self.peer.as_ref().map(|peer| peer.display_name.as_str()),
        }
    }
}

impl Place {
    const fn of(key: &Key) -> Self {
        Self(key.is_pinned, key.last_created_at.0, key.id)
    }

    const fn key(self) -> Key {
        Key { is_pinned: self.0, last_created_at: Timestamp(self.1), id: self.2 }
    }
}

/// Conversations after a place, `limit` at most, and where to go on; none: that is all.
pub async fn list_conversations(
    app: &App,
    user: UserId,
    kind: Option<ConversationKind>,
    after: Option<Place>,
    limit: usize,
) -> Result<(Vec<ConversationView>, Option<Place>)> {
    let mut lost: BTreeSet<ShardId> = BTreeSet::new();
    let ids = by_shard(app, read_listing::read_listed(&app.directory, user).await?, &mut lost);
    if !lost.is_empty() {
        return Err(StorageError::Unavailable(None).into());
    }
    let reads = ids.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let listing = Listing { with_pinned: true, kind, after: after.map(Place::key), limit: limit + 1 };
    let reads = reads.map(async |(shard, ids)| read_states::read_keys(shard, user, ids, listing).await);
    let mut keys: Vec<Key> = try_join_all(reads).await?.into_iter().flatten().collect();
    keys.sort_unstable();
    let has_more = keys.len() > limit;
    keys.truncate(limit);
    let mut by_shard: BTreeMap<ShardId, Vec<ConversationId>> = BTreeMap::new();
    for key in &keys {
        by_shard.entry(app.shards.of(key.id)?.id).or_default().push(key.id);
    }
    let reads = by_shard.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| {
        let states = read_states::read_states(shard, user, ids).await?;
        read_details(shard, user, states).await
    });
    let details: Vec<Detail> = try_join_all(reads).await?.into_iter().flatten().collect();
    let mut views = complete(app, user, details).await?;
    // What moved while it was read keeps the place that the page gave it, and the next page goes on from there: also where the last of
    // this page was left meanwhile.
    let order: HashMap<ConversationId, usize> = keys.iter().enumerate().map(|(at, key)| (key.id, at)).collect();
    views.retain(|view| !view.state.is_left());
    views.sort_unstable_by_key(|view| order.get(&view.state.id()).copied());
    for view in &mut views {
        if let Some(key) = order.get(&view.state.id()).and_then(|at| keys.get(*at)) {
            view.state.last_created_at = key.last_created_at;
            view.state.is_pinned = key.is_pinned;
        }
    }
    Ok((views, keys.last().filter(|_| has_more).map(Place::of)))
}

/// One conversation of a user who is in it.
pub async fn view_conversation(app: &App, user: UserId, id: ConversationId) -> Result<ConversationView> {
    let conversation = resolve(app, user, id).await?.ok_or(Refusal::NotFound)?;
    view(app, user, conversation).await
}

/// The direct conversation with a user, whether or not anybody has written in it. It is listed for both from its first entry on.
pub async fn open_direct(app: &App, user: UserId, peer: UserId) -> Result<ConversationView> {
    if user == peer {
        return Err(Refusal::field("user_id", "is yourself").into());
    }
    let conversation = ConversationRef::direct(user, peer);
    match listing::list_pair(&app.directory, user, peer, conversation.id()).await? {
        listing::Receiver::Listed => view(app, user, conversation).await,
        listing::Receiver::Unknown | listing::Receiver::Out => Err(Refusal::NotFound.into()),
    }
}

async fn view(app: &App, user: UserId, conversation: ConversationRef) -> Result<ConversationView> {
    let shard = app.shards.of(conversation.id())?;
    let mut states = read_states::read_states(shard, user, &[conversation.id()]).await?;
    states.retain(|state| !state.is_left());
    if let (true, Some(peer)) = (states.is_empty(), conversation.peer_of(user)) {
        states.push(State { last_created_at: app.clock.now(), ..State::unwritten(user, peer) });
    }
    let details = read_details(shard, user, states).await?;
    complete(app, user, details).await?.pop().ok_or_else(|| Refusal::NotFound.into())
}

/// What a shard knows of a conversation.
struct Detail {
    state: State,
    last_message: Option<Entry>,
    reactions: Reactions,
    mention_count: i64,
}

async fn read_details(
    shard: &Shard,
    user: UserId,
    states: Vec<State>,
) -> std::result::Result<Vec<Detail>, StorageError> {
    let with_messages = states.iter().filter(|state| state.last_ordinal > 0);
    let ranges: Vec<Range> = with_messages
        .map(|state| Range { conversation: state.id(), low: state.first_seq, high: state.visible_last() })
        .collect();
    let newest = read_entries::read_newest_messages(shard, user, &ranges).await?;
    let shown =
        newest.iter().filter(|entry| !matches!(&entry.body, Body::Message(message) if message.recalled.is_some()));
    let shown: Vec<_> = shown.map(|entry| entry.id).collect();
    let mut reactions = read_extras::read_reactions(shard, user, &shown).await?;
    let unread = states.iter().filter(|state| state.unread_count() > 0);
    let unread: Vec<_> = unread.map(|state| (state.id(), state.read_seq.max(state.first_seq.previous()))).collect();
    let mentions: HashMap<_, _> = read_extras::read_mentions(shard, user, &unread).await?.into_iter().collect();
    let mut newest: HashMap<_, _> = newest.into_iter().map(|entry| (entry.id.conversation(), entry)).collect();
    let detail = |state: State| {
        let last_message = newest.remove(&state.id());
        let reactions = last_message.as_ref().and_then(|message| reactions.remove(&message.id)).unwrap_or_default();
        let mention_count = mentions.get(&state.id()).copied().unwrap_or(0);
        Detail { state, last_message, reactions, mention_count }
    };
    Ok(states.into_iter().map(detail).collect())
}

/// Adds what the directory knows.
async fn complete(app: &App, user: UserId, details: Vec<Detail>) -> Result<Vec<ConversationView>> {
    let peer_of = |state: &State| match state.side {
        Side::Direct { peer, .. } => Some(peer),
        Side::Group { .. } => None,
    };
    let peers: Vec<UserId> = details.iter().filter_map(|detail| peer_of(&detail.state)).collect();
    let receipts = Receipts::read(app, user, details.iter().map(|detail| &detail.state)).await;
    let profiles = profiles::read_profiles(&app.directory, &peers).await?;
    let view = |Detail { state, last_message, reactions, mention_count }| ConversationView {
        peer: peer_of(&state).and_then(|peer| profiles.get(&peer).cloned()),
        peer_read_seq: receipts.peer_read_seq(user, &state),
        last_message,
        reactions,
        mention_count,
        state,
    };
    Ok(details.into_iter().map(view).collect())
}
