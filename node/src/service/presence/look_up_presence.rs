//! The presence of many users at once, as far as one user may know of it: that of friends, and of those it shares a conversation with.
//! A block hides it both ways. Everybody else looks offline.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::future::join_all;

use super::announce_presence::{Seen, presence_of};
use crate::app::App;
use crate::domain::{ConversationId, UserId};
use crate::error::Result;
use crate::service::ask_shards::{by_shard, gather};
use crate::storage::directory::{pairs, read_listing};
use crate::storage::shard::read_written::read_written;

const HIDDEN: Seen = Seen { status: "offline", last_seen_at: None };

pub async fn look_up_presence(app: &App, reader: UserId, users: &[UserId]) -> Result<BTreeMap<UserId, Seen>> {
    let mut presence: BTreeMap<UserId, Seen> = users.iter().map(|user| (*user, HIDDEN)).collect();
    let asked: Vec<UserId> = presence.keys().copied().collect();
    let blocks = pairs::find_blocks(&app.directory, reader, &asked).await?;
    let hidden: HashSet<UserId> = blocks.iter().flat_map(|block| [block.user, block.other]).collect();
    let asked: Vec<UserId> = asked.into_iter().filter(|user| *user == reader || !hidden.contains(user)).collect();
    let known = find_known(app, reader, &asked).await?;
    let known: Vec<UserId> = known.into_iter().filter(|user| !app.standing.is_out(*user)).collect();
    for (user, seen) in known.iter().zip(presence_of(app, &known).await) {
        presence.insert(*user, seen);
    }
    Ok(presence)
}

/// Of `users`, those whose presence is the reader's to know.
async fn find_known(app: &App, reader: UserId, users: &[UserId]) -> Result<HashSet<UserId>> {
    let mut known: HashSet<UserId> = users.iter().copied().filter(|user| *user == reader).collect();
    known.extend(pairs::find_friends(&app.directory, reader, users).await?);
    let rest = |known: &HashSet<UserId>| -> Vec<UserId> {
        users.iter().copied().filter(|user| !known.contains(user)).collect()
    };
    let correspondents = find_correspondents(app, reader, &rest(&known)).await?;
    known.extend(correspondents);
    let strangers = rest(&known);
    if !strangers.is_empty() {
        let groups = read_listing::read_groups(&app.directory, reader).await?;
        known.extend(read_listing::find_sharing(&app.directory, &strangers, &groups).await?);
    }
    Ok(known)
}

/// Those with whom there is a direct conversation in which somebody has written. Where a shard does not answer, its pairs look like
/// strangers: presence is not worth an error.
async fn find_correspondents(app: &App, reader: UserId, users: &[UserId]) -> Result<Vec<UserId>> {
    let of = |user: &UserId| (ConversationId::direct(reader, *user), *user);
    let pairs: BTreeMap<ConversationId, UserId> = users.iter().map(of).collect();
    let mut lost = BTreeSet::new();
    let ids = by_shard(app, pairs.keys().copied().collect(), &mut lost);
    let reads = ids.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| (shard.id, read_written(shard, ids).await));
    let written = gather(join_all(reads).await, &mut lost)?;
    Ok(written.iter().filter_map(|id| pairs.get(id).copied()).collect())
}
