//! Who may take a group over from its owner.

use super::Shard;
use crate::domain::{ConversationId, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[HEIRS];

const HEIRS: &str = "\
select m.user_id from member m join conversation c on c.id = m.conversation_id
where m.conversation_id = $1 and m.user_id <> $2 and m.left_seq is null and not c.is_dissolved
order by m.role desc, m.joined_at, m.user_id limit $3";

/// The other members: admins before members, and those first who have been there longest.
pub async fn read_heirs(
    shard: &Shard,
    group: ConversationId,
    owner: UserId,
    limit: i64,
) -> Result<Vec<UserId>, StorageError> {
    let rows = shard.client().await?.query(HEIRS, &[&group, &owner, &limit]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
