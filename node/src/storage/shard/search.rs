//! Searching: which blocks of a user's logs may hold what is searched for, and the messages in them. The index is a filter; whether a
//! message is shown is decided by what stands in the log now.

use super::Shard;
use super::read_entries::{Range, entries_of};
use crate::domain::search::WordBits;
use crate::domain::{Body, ConversationId, Entry, Seq, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[BLOCKS, MESSAGES, EDITED];

/// Newest entries of a log that are read where the index does not reach them yet.
const UNINDEXED_MAX: i64 = 2_000;
/// Edits looked at in what is not indexed yet.
const EDITS_MAX: i64 = 500;

/// The visible part of each log that the user is in; of it the blocks with all the bits, and what is not indexed yet. Each row is
/// looked up by its key, however many logs there are. Four bits one by one first: four blocks of five end at the first of them, and
/// all bits together cost several times as much.
const BLOCKS: &str = "
    with mine as materialized (
        select c.id, coalesce(m.first_seq, 1) as first_seq, c.last_seq, c.last_created_at,
               coalesce(s.indexed_seq, 0) as indexed_seq
        from unnest($2::uuid[]) as w (id)
        cross join lateral (
            select id, kind, low_user, high_user, last_seq, last_created_at, is_dissolved
            from conversation where conversation.id = w.id and last_ordinal > 0 limit 1) c
        left join lateral (
            select user_id, first_seq, left_seq from member
            where c.kind = 2 and member.conversation_id = c.id and member.user_id = $1 limit 1) m on true
        left join lateral (
            select indexed_seq from search_state where search_state.conversation_id = c.id limit 1) s on true
        where (c.low_user = $1 or c.high_user = $1 or m.user_id is not null and m.left_seq is null and not c.is_dissolved)),
    found as (
        select mine.id, mine.first_seq as visible_seq, b.first_seq, b.last_seq, b.last_at, false as is_unindexed
        from mine cross join lateral (
            select first_seq, last_seq, last_at from search_block
            where search_block.conversation_id = mine.id and search_block.last_seq >= mine.first_seq
              and search_block.first_at <= $4 and search_block.last_at >= $5
              and get_bit(search_block.bits, $8) = 1 and get_bit(search_block.bits, $9) = 1
              and get_bit(search_block.bits, $10) = 1 and get_bit(search_block.bits, $11) = 1
              and (search_block.bits & $3::bit varying) = $3::bit varying
            offset 0) b
        union all
        select id, first_seq, greatest(indexed_seq + 1, last_seq - $6::int8), last_seq, last_created_at, true
        from mine where last_seq > indexed_seq)
    select id, greatest(visible_seq, first_seq), last_seq, least(last_at, $4), is_unindexed, visible_seq
    from found order by 4 desc, 1, 2 desc limit $7";

const MESSAGES: &str = "
    select e.id, e.sender_id, e.sender_name, e.kind, e.body, e.temp_id, e.ordinal, e.created_at
    from unnest($2::uuid[], $3::uuid[]) as w (low, high)
    cross join lateral (
        select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at from entry
        where entry.id >= w.low and entry.id <= w.high and entry.kind = 1
          and ($4::uuid is null or entry.sender_id = $4) and entry.created_at <= $5 and entry.created_at >= $6
          and not exists (select 1 from hidden h where h.user_id = $1 and h.message_id = entry.id)
        offset 0) e";

const EDITED: &str = "
    select e.id, e.sender_id, e.sender_name, e.kind, e.body, e.temp_id, e.ordinal, e.created_at
    from unnest($1::uuid[], $2::uuid[]) as w (low, high)
    cross join lateral (select id, sender_id, sender_name, kind, body, temp_id, ordinal, created_at from entry
                        where entry.id >= w.low and entry.id <= w.high and entry.kind = 3
                        order by entry.id desc limit $3) e";

/// A part of a log that may hold what is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What of it the user may see.
    pub range: Range,
    /// Nothing in it is newer.
    pub last_at: Timestamp,
    /// Edits in it may speak of messages elsewhere, from `visible_from` on.
    pub is_unindexed: bool,
    pub visible_from: Seq,
}

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Blocks of these logs, those with the newest messages first; `limit` at most.
pub async fn read_blocks(
    shard: &Shard,
    user: UserId,
    ids: &[ConversationId],
    bits: &WordBits,
    period: Period,
    limit: i64,
) -> Result<Vec<Block>, StorageError> {
    let Some([a, b, c, d]) = bits.some_places() else { return Ok(Vec::new()) };
    let (to, from) = (period.to, period.from);
    let client = shard.client().await?;
    let rows = client.query(BLOCKS, &[&user, &ids, bits, &to, &from, &UNINDEXED_MAX, &limit, &a, &b, &c, &d]).await?;
    rows.iter()
        .map(|row| {
            let range = Range { conversation: row.try_get(0)?, low: row.try_get(1)?, high: row.try_get(2)? };
            Ok(Block { range, last_at: row.try_get(3)?, is_unindexed: row.try_get(4)?, visible_from: row.try_get(5)? })
        })
        .collect()
}

/// Messages of some blocks that the user has not hidden, of one sender or of all; and those that edits in what is not indexed speak
/// of. Some may come twice.
pub async fn read_searched(
    shard: &Shard,
    user: UserId,
    blocks: &[Block],
    sender: Option<UserId>,
    period: Period,
) -> Result<Vec<Entry>, StorageError> {
    let mut ranges: Vec<Range> = blocks.iter().map(|block| block.range).collect();
    ranges.extend(read_edited(shard, blocks).await?);
    let (lows, highs) = Range::ends(&ranges);
    let client = shard.client().await?;
    entries_of(&client.query(MESSAGES, &[&user, &lows, &highs, &sender, &period.to, &period.from]).await?)
}

/// The places of messages that were edited after the index was made.
async fn read_edited(shard: &Shard, blocks: &[Block]) -> Result<Vec<Range>, StorageError> {
    let unindexed: Vec<&Block> = blocks.iter().filter(|block| block.is_unindexed).collect();
    if unindexed.is_empty() {
        return Ok(Vec::new());
    }
    let (lows, highs) = Range::ends(&unindexed.iter().map(|block| block.range).collect::<Vec<_>>());
    let edits = entries_of(&shard.client().await?.query(EDITED, &[&lows, &highs, &EDITS_MAX]).await?)?;
    let place = |entry: &Entry| match &entry.body {
        Body::Edit(edit) => Some((entry.id.conversation(), edit.message_seq)),
        _ => None,
    };
    let mut places: Vec<_> = edits.iter().filter_map(place).collect();
    places.sort_unstable();
    places.dedup();
    // Whoever came into a group later than the message does not see it, however late it is edited.
    let is_visible = |conversation: ConversationId, seq: Seq| {
        unindexed.iter().any(|block| block.range.conversation == conversation && block.visible_from <= seq)
    };
    places.retain(|(conversation, seq)| is_visible(*conversation, *seq));
    Ok(places.into_iter().map(|(conversation, seq)| Range { conversation, low: seq, high: seq }).collect())
}
