//! What a sync by cursor has to give: for each conversation that changed, how far back its entries are news.

use std::collections::HashMap;

use uuid::Uuid;

use super::send_pages::Planned;
use crate::domain::cursor::{Since, Snapshot};
use crate::domain::sync::{FRAMES_MAX, HIDDEN_MAX, HIDDEN_NEWEST, LIMIT_MAX, NEWEST, NEWEST_CONVERSATIONS};
use crate::domain::{ConversationId, Seq, UserId};
use crate::storage::shard::hidden::read_hidden_since;
use crate::storage::shard::read_entries::{self, Range};
use crate::storage::shard::read_states::{self, Key, State};
use crate::storage::{Shard, StorageError};

/// Conversations looked at by one statement, a little or far back.
const LOOKED_AT_MAX: usize = 500;
const LOOKED_FAR_MAX: usize = 20;

/// What a client holds without holes.
pub type Seen = HashMap<Uuid, Seq>;

/// One shard as a sync reads it.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    pub shard: &'a Shard,
    pub now: Snapshot,
    pub user: UserId,
    pub seen: &'a Seen,
    /// Entries for each conversation.
    pub limit: u32,
}

/// A conversation with news: `run` entries up to the newest visible one, of which as many as the limit and one more are counted.
#[derive(Clone, Debug)]
pub struct News {
    planned: Planned,
    run: u64,
}

/// What changed in these conversations of one shard.
pub async fn read_news(reading: Reading<'_>, ids: &[ConversationId], since: Since) -> Result<Vec<News>, StorageError> {
    let Reading { shard, user, .. } = reading;
    let mut states = if since.is_new_epoch {
        read_states::read_states(shard, user, ids).await?
    } else {
        read_states::read_changed(shard, user, ids, since.tx).await?
    };
    drop_left_before(shard, &mut states, since).await?;
    let mut news: Vec<News> = states.into_iter().map(|state| news_of(reading, state)).collect();
    if since.tx > 0 {
        shorten(reading, &mut news, since.tx).await?;
    }
    let since_tx = if since.is_new_epoch { 0 } else { since.tx };
    add_hidden(reading, &mut news, since_tx, HIDDEN_MAX).await?;
    Ok(news)
}

/// The newest entries of the conversations that a first sync begins with.
pub async fn read_first(reading: Reading<'_>, keys: &[Key]) -> Result<Vec<News>, StorageError> {
    let ids: Vec<ConversationId> = keys.iter().map(|key| key.id).collect();
    let states = read_states::read_states(reading.shard, reading.user, &ids).await?;
    let states = states.into_iter().filter(|state| !state.is_left());
    let mut news: Vec<News> = states.map(|state| news_of(reading, state)).collect();
    add_hidden(reading, &mut news, 0, HIDDEN_NEWEST).await?;
    Ok(news)
}

/// What the user has hidden since the cursor, or, without one, the newest of all that is hidden.
async fn add_hidden(reading: Reading<'_>, news: &mut [News], since: u64, most: usize) -> Result<(), StorageError> {
    let ranges: Vec<Range> = news.iter().map(|news| visible(&news.planned.state)).collect();
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let mut hidden = read_hidden_since(reading.shard, reading.user, &ranges, since, limit).await?;
    for News { planned, .. } in news {
        planned.hidden = hidden.remove(&planned.state.id()).unwrap_or_default();
        planned.has_gap |= since > 0 && planned.hidden.len() >= most;
    }
    Ok(())
}

/// All that the user may see of a conversation.
pub fn visible(state: &State) -> Range {
    Range { conversation: state.id(), low: state.first_seq, high: state.visible_last() }
}

/// The keys of the newest conversations over all shards.
pub fn newest_keys(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_unstable();
    keys.truncate(NEWEST_CONVERSATIONS);
    keys
}

/// Everything that is visible and not seen, as far as it is not known to be older than the cursor.
fn news_of(reading: Reading<'_>, state: State) -> News {
    let seen = reading.seen.get(&state.id().0).copied().unwrap_or_default();
    let range = Range { conversation: state.id(), low: state.first_seq.max(seen.next()), high: state.visible_last() };
    let planned = Planned {
        shard: reading.shard.id,
        epoch: reading.now.epoch,
        range,
        hidden: Vec::new(),
        has_gap: false,
        has_more: false,
        state,
    };
    News { run: range.count(), planned }
}

/// A conversation that was left is news only if the leaving is.
async fn drop_left_before(shard: &Shard, states: &mut Vec<State>, since: Since) -> Result<(), StorageError> {
    let endings: Vec<_> =
        states.iter().filter_map(|state| state.left_seq.map(|left| state.id().message(left))).collect();
    if endings.is_empty() {
        return Ok(());
    }
    let written = read_entries::read_tx(shard, &endings).await?;
    states.retain(|state| match state.left_seq {
        Some(left) => written.get(&state.id().message(left)).is_some_and(|tx| *tx >= since.tx),
        None => true,
    });
    Ok(())
}

/// Counts back from the newest entries to the first that the cursor covers: a little in all, and far in those that need it.
async fn shorten(reading: Reading<'_>, news: &mut [News], since: u64) -> Result<(), StorageError> {
    let little = u64::from(reading.limit.min(NEWEST)) + 1;
    let far = u64::from(reading.limit) + 1;
    let mut all: Vec<&mut News> = news.iter_mut().filter(|news| news.run > 0).collect();
    for part in all.chunks_mut(LOOKED_AT_MAX) {
        count_runs(reading.shard, part, since, little).await?;
    }
    if far > little {
        let mut longer: Vec<&mut News> =
            all.into_iter().filter(|news| news.run == little && news.planned.range.count() > little).collect();
        for part in longer.chunks_mut(LOOKED_FAR_MAX) {
            count_runs(reading.shard, part, since, far).await?;
        }
    }
    Ok(())
}

async fn count_runs(shard: &Shard, news: &mut [&mut News], since: u64, most: u64) -> Result<(), StorageError> {
    let ranges: Vec<Range> = news.iter().map(|news| news.planned.range).collect();
    let runs = read_entries::read_runs(shard, &ranges, since, i64::try_from(most).unwrap_or(i64::MAX)).await?;
    for (news, run) in news.iter_mut().zip(runs) {
        news.run = run;
    }
    Ok(())
}

/// Gives each conversation its entries, newest conversations first: `limit` of each, and fewer when the whole becomes too much.
pub fn share_out(mut news: Vec<News>, limit: u32) -> Vec<Planned> {
    news.sort_by_key(|news| (std::cmp::Reverse(news.planned.state.last_created_at), news.planned.state.id()));
    let mut total = 0;
    let share = |News { mut planned, run }: News| {
        let mut given = run.min(u64::from(limit.min(LIMIT_MAX)));
        if total + given > FRAMES_MAX {
            given = given.min(u64::from(NEWEST));
        }
        total += given;
        planned.has_gap |= run > given;
        planned.range.low = Seq(planned.range.high.0 - i64::try_from(given).unwrap_or(0) + 1);
        planned
    };
    news.into_iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConversationRef, Timestamp};
    use crate::storage::ShardId;
    use crate::storage::shard::read_states::Side;

    fn news(run: u64, at: i64) -> News {
        let (low, high) = (UserId::random(), UserId::random());
        let conversation = ConversationRef::direct(low, high);
        let state = State {
            conversation,
            last_seq: Seq(5_000),
            last_ordinal: 0,
            last_created_at: Timestamp(at),
            first_seq: Seq(1),
            left_seq: None,
            read_seq: Seq(0),
            read_ordinal: 0,
            delivered_seq: Seq(0),
            is_pinned: false,
            muted_until: None,
            read_receipts: None,
            side: Side::Direct { peer: low, peer_read_seq: Seq(0), peer_read_receipts: None, is_blocked: false },
        };
        let range = Range { conversation: conversation.id(), low: Seq(1), high: Seq(5_000) };
        let hidden = Vec::new();
        News {
            planned: Planned { state, shard: ShardId(0), epoch: 1, range, hidden, has_gap: false, has_more: false },
            run,
        }
    }

    #[test]
    fn a_whole_sync_is_bounded_and_the_newest_come_first() {
        let planned = share_out((0..30).map(|at| news(1_001, at)).collect(), 1_000);
        assert_eq!(planned[0].state.last_created_at, Timestamp(29));
        assert!(planned.iter().all(|planned| planned.has_gap && planned.range.high == Seq(5_000)));
        assert!(planned[..10].iter().all(|planned| planned.range.count() == 1_000));
        assert!(planned[10..].iter().all(|planned| planned.range.count() == 20));
    }

    #[test]
    fn what_fits_has_no_gap() {
        let planned = share_out(vec![news(20, 2), news(0, 1)], 20);
        assert_eq!((planned[0].range.count(), planned[0].has_gap), (20, false));
        assert_eq!((planned[1].range.count(), planned[1].has_gap), (0, false));
    }
}
