//! What is shown of a conversation beside its entries: reactions, mentions, and who is told of a read position.

use std::collections::BTreeMap;

use crate::domain::reactions::{ReactionCount, Reactions};
use crate::domain::{ConversationId, MessageId, Seq, UserId};
use crate::storage::StorageError;

use super::Shard;

pub const STATEMENTS: &[&str] = &[REACTIONS, MENTIONS, READ_RECEIVERS];

const REACTIONS: &str = "
    select r.conversation_id, r.message_seq, r.emoji, count(*), bool_or(r.user_id = $1)
    from unnest($2::uuid[], $3::int8[]) as w (conversation_id, seq)
    join reaction r on r.conversation_id = w.conversation_id and r.message_seq = w.seq
    where r.is_present
    group by 1, 2, 3";

/// The nil user is `all`. One's own sends move the read position, so they are never counted.
const MENTIONS: &str = "
    select w.conversation_id, count(*)
    from unnest($2::uuid[], $3::int8[]) as w (conversation_id, read_seq)
    join mention m on m.conversation_id = w.conversation_id
                  and m.user_id = any(array[$1, '00000000-0000-0000-0000-000000000000'::uuid]) and m.seq > w.read_seq
    group by 1";

const READ_RECEIVERS: &str = "
    select m.user_id, p.read_receipts
    from member m left join personal p on p.conversation_id = m.conversation_id and p.user_id = m.user_id
    where m.conversation_id = $1 and m.left_seq is null
    limit $2";

/// The reactions that these messages have now.
pub async fn read_reactions(
    shard: &Shard,
    reader: UserId,
    messages: &[MessageId],
) -> Result<BTreeMap<MessageId, Reactions>, StorageError> {
    let mut found: BTreeMap<_, Reactions> = BTreeMap::new();
    if messages.is_empty() {
        return Ok(found);
    }
    let (conversations, seqs): (Vec<_>, Vec<_>) = messages.iter().map(|id| (id.conversation(), id.seq())).unzip();
    let client = shard.client().await?;
    for row in client.query(REACTIONS, &[&reader, &conversations, &seqs]).await? {
        let conversation: ConversationId = row.try_get(0)?;
        let reaction = ReactionCount { count: row.try_get(3)?, me: row.try_get(4)? };
        found.entry(conversation.message(row.try_get(1)?)).or_default().insert(row.try_get(2)?, reaction);
    }
    Ok(found)
}

/// How often each conversation mentions the reader after the position given with it; none is left out.
pub async fn read_mentions(
    shard: &Shard,
    reader: UserId,
    after: &[(ConversationId, Seq)],
) -> Result<Vec<(ConversationId, i64)>, StorageError> {
    if after.is_empty() {
        return Ok(Vec::new());
    }
    let (conversations, seqs): (Vec<_>, Vec<_>) = after.iter().copied().unzip();
    let client = shard.client().await?;
    let rows = client.query(MENTIONS, &[&reader, &conversations, &seqs]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Members of a group with their `read_receipts` in it; `limit` at most.
pub async fn read_receivers(
    shard: &Shard,
    group: ConversationId,
    limit: i64,
) -> Result<Vec<(UserId, Option<bool>)>, StorageError> {
    let client = shard.client().await?;
    let rows = client.query(READ_RECEIVERS, &[&group, &limit]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
