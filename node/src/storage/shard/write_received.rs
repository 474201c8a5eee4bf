//! Delivered positions: the only positions that are written outside the lanes, because nobody is told of them. They only move
//! forward, and the conversation is not locked for them (a pair's are in its row, which is held for the statement).

use std::collections::HashSet;

use crate::domain::{ConversationId, Seq, UserId};
use crate::storage::StorageError;

use super::Shard;

pub const STATEMENTS: &[&str] = &[PAIRS, GROUPS, ONE_PAIR, ONE_GROUP];

/// Members of groups whose positions are written while the socket is open.
const SMALL_GROUP_MEMBERS: i32 = 100;

/// Rows that a lane holds are skipped: whoever waits for a lock must not hold another, or two wait for each other.
const PAIRS: &str = "
    with wanted as (select * from unnest($2::uuid[], $3::int8[]) as w (id, seq)),
    locked as (
        select c.id, w.seq from wanted w join conversation c on c.id = w.id
        where c.low_user = $1 or c.high_user = $1
        order by c.id for no key update of c skip locked),
    moved as (
        update conversation c
        set low_delivered_seq = case when c.low_user = $1 then greatest(c.low_delivered_seq, least(l.seq, c.last_seq))
                                     else c.low_delivered_seq end,
            high_delivered_seq = case when c.high_user = $1 then greatest(c.high_delivered_seq, least(l.seq, c.last_seq))
                                      else c.high_delivered_seq end
        from locked l
        where c.id = l.id
          and case when c.low_user = $1 then c.low_delivered_seq else c.high_delivered_seq end < least(l.seq, c.last_seq))
    select id from locked";

const ONE_PAIR: &str = "
    update conversation c
    set low_delivered_seq = case when c.low_user = $1 then greatest(c.low_delivered_seq, least($3::int8, c.last_seq))
                                 else c.low_delivered_seq end,
        high_delivered_seq = case when c.high_user = $1 then greatest(c.high_delivered_seq, least($3::int8, c.last_seq))
                                  else c.high_delivered_seq end
    where c.id = $2 and (c.low_user = $1 or c.high_user = $1)
      and case when c.low_user = $1 then c.low_delivered_seq else c.high_delivered_seq end < least($3::int8, c.last_seq)";

const GROUPS: &str = "
    with wanted as (select * from unnest($2::uuid[], $3::int8[]) as w (id, seq)),
    locked as (
        select m.conversation_id as id, w.seq from wanted w join member m on m.conversation_id = w.id and m.user_id = $1
        where $4 or (select c.member_count from conversation c where c.id = w.id) <= $5
        order by m.conversation_id for no key update of m skip locked),
    moved as (
        update member m set delivered_seq = least(l.seq, coalesce(m.left_seq, c.last_seq))
        from locked l, conversation c
        where m.conversation_id = l.id and m.user_id = $1 and c.id = l.id
          and m.delivered_seq < least(l.seq, coalesce(m.left_seq, c.last_seq)))
    select id from locked";

const ONE_GROUP: &str = "
    update member m set delivered_seq = least($3::int8, coalesce(m.left_seq, c.last_seq))
    from conversation c
    where m.conversation_id = $2 and m.user_id = $1 and c.id = $2
      and ($4 or c.member_count <= $5)
      and m.delivered_seq < least($3::int8, coalesce(m.left_seq, c.last_seq))";

/// When positions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// While the socket is open; positions in greater groups wait until it closes.
    Periodic,
    /// With the socket: all, and waiting for rows that are locked.
    Closing,
}

/// Writes what a user has received, each up to the seq given. Answers those that were not written now: of greater groups, or held by
/// somebody.
pub async fn write_received(
    shard: &Shard,
    user: UserId,
    positions: &[(ConversationId, Seq)],
    moment: Moment,
) -> Result<Vec<(ConversationId, Seq)>, StorageError> {
    let (ids, seqs): (Vec<_>, Vec<_>) = positions.iter().copied().unzip();
    let is_closing = moment == Moment::Closing;
    let client = shard.client().await?;
    let mut written = HashSet::<ConversationId>::new();
    for row in client.query(PAIRS, &[&user, &ids, &seqs]).await? {
        written.insert(row.try_get(0)?);
    }
    if written.len() < positions.len() {
        for row in client.query(GROUPS, &[&user, &ids, &seqs, &is_closing, &SMALL_GROUP_MEMBERS]).await? {
            written.insert(row.try_get(0)?);
        }
    }
    let mut left = positions.to_vec();
    left.retain(|(id, _)| !written.contains(id));
    if !is_closing {
        return Ok(left);
    }
    for (id, seq) in left {
        client.execute(ONE_PAIR, &[&user, &id, &seq]).await?;
        client.execute(ONE_GROUP, &[&user, &id, &seq, &is_closing, &SMALL_GROUP_MEMBERS]).await?;
    }
    Ok(Vec::new())
}
