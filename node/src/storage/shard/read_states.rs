//! Conversations as one user sees them: the row, the user's positions in it and settings for it.

use std::cmp::Ordering;

use tokio_postgres::Row;

use crate::domain::{ConversationId, ConversationKind, ConversationRef, Role, Seq, Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::types::Xid8;

use super::Shard;

pub const STATEMENTS: &[&str] = &[STATES, CHANGED, UNRECEIVED, KEYS, UNREAD, REFERENCE];

macro_rules! states {
    ($more:literal) => {
        concat!(
            "
    select c.id, c.kind, c.low_user, c.high_user, c.last_seq, c.last_ordinal, c.last_created_at, c.pair_flags,
           c.low_read_seq, c.low_read_ordinal, c.low_delivered_seq, c.high_read_seq, c.high_read_ordinal, c.high_delivered_seq,
           c.title, c.avatar_url, c.announcement, c.is_muted, c.is_dissolved, c.member_count,
           m.role, m.first_seq, m.first_ordinal, m.left_seq, m.read_seq, m.read_ordinal, m.delivered_seq,
           p.is_pinned, p.muted_until, p.read_receipts, q.read_receipts
    from unnest($2::uuid[]) as wanted (id)
    cross join lateral (select * from conversation where id = wanted.id limit 1) c
    left join lateral (
        select * from member where c.kind = 2 and conversation_id = c.id and user_id = $1 limit 1) m on true
    left join lateral (select * from personal where conversation_id = c.id and user_id = $1 limit 1) p on true
    left join lateral (
        select * from personal
        where c.kind = 1 and conversation_id = c.id
          and user_id = case when c.low_user = $1 then c.high_user else c.low_user end limit 1) q on true
    where (c.low_user = $1 or c.high_user = $1 or m.user_id is not null)",
            $more
        )
    };
}

const STATES: &str = states!("");

/// The other side's position counts too: it is in the page.
const CHANGED: &str = states!(
    "
      and (c.changed_tx >= $3 or m.own_tx >= $3 or c.kind = 1 and (c.low_own_tx >= $3 or c.high_own_tx >= $3))"
);

const UNRECEIVED: &str = states!(
    "
      and case when c.kind = 1 then c.last_seq > case when c.low_user = $1 then c.low_delivered_seq else c.high_delivered_seq end
               else coalesce(m.left_seq, c.last_seq) > m.delivered_seq end"
);

/// What the list of conversations is ordered by, and its first rows after a place. Left, dissolved and still empty ones are not listed.
/// Each row is looked up by its key, however many are asked for: plain joins of some thousand ids become a scan of the whole table.
const KEYS: &str = "
    select c.id, c.last_created_at, s.is_pinned
    from unnest($2::uuid[]) as wanted (id)
    cross join lateral (
        select id, kind, low_user, high_user, last_created_at, is_dissolved
        from conversation where id = wanted.id and last_seq > 0 and ($4::int2 is null or kind = $4) limit 1) c
    left join lateral (
        select user_id, left_seq from member where c.kind = 2 and conversation_id = c.id and user_id = $1 limit 1) m on true
    left join lateral (
        select is_pinned from personal where $3 and conversation_id = c.id and user_id = $1 limit 1) p on true
    cross join lateral (select $3 and coalesce(p.is_pinned, false) as is_pinned) s
    where (c.low_user = $1 or c.high_user = $1 or m.user_id is not null and m.left_seq is null and not c.is_dissolved)
      and ($5::bool is null or s.is_pinned < $5
           or s.is_pinned = $5 and (c.last_created_at < $6 or c.last_created_at = $6 and c.id > $7))
    order by s.is_pinned desc, c.last_created_at desc, c.id
    limit $8";

const UNREAD: &str = "
    select c.id, c.last_ordinal - s.seen as unread
    from unnest($2::uuid[]) as wanted (id)
    cross join lateral (
        select id, kind, low_user, high_user, last_ordinal, is_dissolved, low_read_ordinal, high_read_ordinal
        from conversation where id = wanted.id limit 1) c
    left join lateral (
        select user_id, left_seq, first_ordinal, read_ordinal
        from member where c.kind = 2 and conversation_id = c.id and user_id = $1 limit 1) m on true
    cross join lateral (select case when c.kind = 2 then greatest(m.read_ordinal, m.first_ordinal)
                                    when c.low_user = $1 then c.low_read_ordinal else c.high_read_ordinal end as seen) s
    where (c.low_user = $1 or c.high_user = $1 or m.user_id is not null and m.left_seq is null and not c.is_dissolved)
      and c.last_ordinal > s.seen";

const REFERENCE: &str = "select kind, low_user, high_user from conversation where id = $1";

/// Flags of `pair_flags` that say who blocks whom.
const BLOCK_FLAGS: i32 = 1 | 2;

/// A conversation as one user sees it.
#[derive(Clone, Debug)]
pub struct State {
    pub conversation: ConversationRef,
    /// The newest entry that there is; see [`State::visible_last`].
    pub last_seq: Seq,
    pub last_ordinal: i64,
    pub last_created_at: Timestamp,
    /// What this user sees begins here.
    pub first_seq: Seq,
    /// And ends here: its removal, or the end of the group.
    pub left_seq: Option<Seq>,
    pub read_seq: Seq,
    /// Messages up to the read position, or before the first visible one.
    pub read_ordinal: i64,
    pub delivered_seq: Seq,
    pub is_pinned: bool,
    pub muted_until: Option<Timestamp>,
    /// `None`: as the user has it for all.
    pub read_receipts: Option<bool>,
    pub side: Side,
}

/// What only one kind of conversation has.
#[derive(Clone, Debug)]
pub enum Side {
    Direct {
        peer: UserId,
        peer_read_seq: Seq,
        /// The peer's setting for this conversation.
        peer_read_receipts: Option<bool>,
        /// Either blocks the other.
        is_blocked: bool,
    },
    Group {
        role: Role,
        title: Option<String>,
        avatar_url: Option<String>,
        announcement: Option<String>,
        is_muted: bool,
        member_count: i32,
    },
}

impl State {
    /// A direct conversation that has no row yet, because nobody has written in it.
    pub fn unwritten(user: UserId, peer: UserId) -> Self {
        Self {
            conversation: ConversationRef::direct(user, peer),
            last_seq: Seq::ZERO,
            last_ordinal: 0,
            last_created_at: Timestamp::default(),
            first_seq: Seq(1),
            left_seq: None,
            read_seq: Seq::ZERO,
            read_ordinal: 0,
            delivered_seq: Seq::ZERO,
            is_pinned: false,
            muted_until: None,
            read_receipts: None,
            side: Side::Direct { peer, peer_read_seq: Seq::ZERO, peer_read_receipts: None, is_blocked: false },
        }
    }

    pub fn id(&self) -> ConversationId {
        self.conversation.id()
    }

    /// The newest entry that this user may see.
    pub fn visible_last(&self) -> Seq {
        self.left_seq.map_or(self.last_seq, |left| left.min(self.last_seq))
    }

    pub fn is_left(&self) -> bool {
        self.left_seq.is_some()
    }

    /// Messages of others after the read position; none once left.
    pub fn unread_count(&self) -> i64 {
        if self.is_left() { 0 } else { self.last_ordinal.saturating_sub(self.read_ordinal).max(0) }
    }
}

/// A conversation's place in a list: pinned ones come first, then the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub id: ConversationId,
    pub is_pinned: bool,
    pub last_created_at: Timestamp,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let newest_first = other.last_created_at.cmp(&self.last_created_at);
        other.is_pinned.cmp(&self.is_pinned).then(newest_first).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Of the given ids those that the user is or was in.
pub async fn read_states(shard: &Shard, user: UserId, ids: &[ConversationId]) -> Result<Vec<State>, StorageError> {
    let client = shard.client().await?;
    let rows = client.query(STATES, &[&user, &ids]).await?;
    rows.iter().map(|row| state_of(row, user)).collect()
}

/// Of these, those in which an entry, a position or a setting changed in a transaction not below `since`.
pub async fn read_changed(
    shard: &Shard,
    user: UserId,
    ids: &[ConversationId],
    since: u64,
) -> Result<Vec<State>, StorageError> {
    let client = shard.client().await?;
    let rows = client.query(CHANGED, &[&user, &ids, &Xid8(since)]).await?;
    rows.iter().map(|row| state_of(row, user)).collect()
}

/// Of these, those with entries after what is known as received.
pub async fn read_unreceived(shard: &Shard, user: UserId, ids: &[ConversationId]) -> Result<Vec<State>, StorageError> {
    let client = shard.client().await?;
    let rows = client.query(UNRECEIVED, &[&user, &ids]).await?;
    rows.iter().map(|row| state_of(row, user)).collect()
}

/// Which conversations of a list, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// Pinned ones come first.
    pub with_pinned: bool,
    pub kind: Option<ConversationKind>,
    pub after: Option<Key>,
    pub limit: usize,
}

/// Of these, the listed ones with what orders them, in that order.
pub async fn read_keys(
    shard: &Shard,
    user: UserId,
    ids: &[ConversationId],
    listing: Listing,
) -> Result<Vec<Key>, StorageError> {
    let Listing { with_pinned, kind, after, limit } = listing;
    let kind = kind.map(ConversationKind::code);
    let is_pinned = after.map(|after| after.is_pinned);
    let at = after.map(|after| after.last_created_at);
    let id = after.map(|after| after.id);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let client = shard.client().await?;
    let rows = client.query(KEYS, &[&user, &ids, &with_pinned, &kind, &is_pinned, &at, &id, &limit]).await?;
    rows.iter()
        .map(|row| Ok(Key { id: row.try_get(0)?, last_created_at: row.try_get(1)?, is_pinned: row.try_get(2)? }))
        .collect()
}

/// Of these, those with unread messages, and how many.
pub async fn read_unread(
    shard: &Shard,
    user: UserId,
    ids: &[ConversationId],
) -> Result<Vec<(ConversationId, i64)>, StorageError> {
    let client = shard.client().await?;
    let rows = client.query(UNREAD, &[&user, &ids]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// What a conversation is, where it has a row.
pub async fn read_reference(shard: &Shard, id: ConversationId) -> Result<Option<ConversationRef>, StorageError> {
    let client = shard.client().await?;
    let Some(row) = client.query_opt(REFERENCE, &[&id]).await? else { return Ok(None) };
    reference_of(id, row.try_get(0)?, row.try_get(1)?, row.try_get(2)?).map(Some)
}

fn kind_of(code: i16) -> Result<ConversationKind, StorageError> {
    ConversationKind::from_code(code).ok_or_else(|| StorageError::Failed("unknown kind of conversation".into()))
}

fn reference_of(
    id: ConversationId,
    kind: i16,
    low: Option<UserId>,
    high: Option<UserId>,
) -> Result<ConversationRef, StorageError> {
    match (kind_of(kind)?, low, high) {
        (ConversationKind::Group, ..) => Ok(ConversationRef::Group { id }),
        (ConversationKind::Direct, Some(low), Some(high)) => Ok(ConversationRef::Direct { id, low, high }),
        (ConversationKind::Direct, ..) => Err(StorageError::Failed("a direct conversation without its users".into())),
    }
}

fn state_of(row: &Row, user: UserId) -> Result<State, StorageError> {
    let conversation = reference_of(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)?;
    let state = State {
        conversation,
        last_seq: row.try_get(4)?,
        last_ordinal: row.try_get(5)?,
        last_created_at: row.try_get(6)?,
        first_seq: Seq(1),
        left_seq: None,
        read_seq: Seq::ZERO,
        read_ordinal: 0,
        delivered_seq: Seq::ZERO,
        is_pinned: row.try_get::<_, Option<bool>>(27)?.unwrap_or(false),
        muted_until: row.try_get(28)?,
        read_receipts: row.try_get(29)?,
        side: side_of(row, user, conversation)?,
    };
    match conversation {
        ConversationRef::Direct { low, .. } => {
            let own = if low == user { 8 } else { 11 };
            Ok(State {
                read_seq: row.try_get(own)?,
                read_ordinal: row.try_get(own + 1)?,
                delivered_seq: row.try_get(own + 2)?,
                ..state
            })
        }
        ConversationRef::Group { .. } => {
            let first_ordinal: i64 = row.try_get(22)?;
            let is_dissolved: bool = row.try_get(18)?;
            let left_seq: Option<Seq> = row.try_get(23)?;
            Ok(State {
                first_seq: row.try_get(21)?,
                // The end of a group is the end of every membership in it.
                left_seq: left_seq.or(is_dissolved.then_some(state.last_seq)),
                read_seq: row.try_get(24)?,
                read_ordinal: row.try_get::<_, i64>(25)?.max(first_ordinal),
                delivered_seq: row.try_get(26)?,
                ..state
            })
        }
    }
}

fn side_of(row: &Row, user: UserId, conversation: ConversationRef) -> Result<Side, StorageError> {
    match conversation {
        ConversationRef::Direct { low, high, .. } => {
            let flags: i32 = row.try_get(7)?;
            Ok(Side::Direct {
                peer: if low == user { high } else { low },
                peer_read_seq: row.try_get(if low == user { 11 } else { 8 })?,
                peer_read_receipts: row.try_get(30)?,
                is_blocked: flags & BLOCK_FLAGS != 0,
            })
        }
        ConversationRef::Group { .. } => Ok(Side::Group {
            role: Role::from_code(row.try_get(20)?).unwrap_or(Role::Member),
            title: row.try_get(14)?,
            avatar_url: row.try_get(15)?,
            announcement: row.try_get(16)?,
            is_muted: row.try_get(17)?,
            member_count: row.try_get(19)?,
        }),
    }
}
