//! One message as one user may see it.

use super::Shard;
use super::rows::entry_of;
use crate::domain::{ConversationRef, Entry, MessageId, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[READ_MESSAGE];

const READ_MESSAGE: &str = "\
select c.low_user, c.high_user, e.id, e.sender_id, e.sender_name, e.kind, e.body, e.temp_id, e.ordinal, e.created_at
from entry e
join conversation c on c.id = $2
left join member m on m.conversation_id = c.id and m.user_id = $4
where e.id = $1 and e.kind = 1
  and (c.low_user = $4 or c.high_user = $4
       or m.first_seq <= $3 and m.left_seq is null and not c.is_dissolved
       or $5 and e.sender_id = $4)";

/// The message of this id, where it is one, and `reader` is in its conversation and may see it, or, where that is asked for, has sent it.
pub async fn read_message(
    shard: &Shard,
    message: MessageId,
    reader: UserId,
    or_sent: bool,
) -> Result<Option<(ConversationRef, Entry)>, StorageError> {
    let (id, seq) = (message.conversation(), message.seq());
    let row = shard.client().await?.query_opt(READ_MESSAGE, &[&message, &id, &seq, &reader, &or_sent]).await?;
    row.map(|row| {
        let pair: (Option<UserId>, Option<UserId>) = (row.try_get(0)?, row.try_get(1)?);
        let conversation = match pair {
            (Some(low), Some(high)) => ConversationRef::Direct { id, low, high },
            _ => ConversationRef::Group { id },
        };
        Ok((conversation, entry_of(&row, 2)?))
    })
    .transpose()
}
