//! Where to look for a user's conversations. What they are, and whether the user is still in them, only the shards say.

use std::collections::HashMap;

use super::Directory;
use crate::domain::{ConversationId, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[LISTED, PEERS, READ_RECEIPTS, GROUPS, JOINED, SHARING];

const LISTED: &str = "select distinct conversation_id from listing where user_id = $1";

const PEERS: &str = "
    select conversation_id, peer_id from listing
    where user_id = $1 and conversation_id = any($2) and kind = 1 and peer_id is not null";

const READ_RECEIPTS: &str = "select id, read_receipts from account where id = any($1)";

const GROUPS: &str = "
    select distinct conversation_id from listing where user_id = $1 and kind = 2 and left_at is null and pending_at is null";

const JOINED: &str = "select distinct conversation_id from listing where user_id = $1 and kind = 2 and left_at is null";

const SHARING: &str = "
    select distinct user_id from listing
    where user_id = any($1) and conversation_id = any($2) and left_at is null and pending_at is null";

/// All conversations that a user is, was lately, or may be in.
pub async fn read_listed(directory: &Directory, user: UserId) -> Result<Vec<ConversationId>, StorageError> {
    let rows = directory.client().await?.query(LISTED, &[&user]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The other users of those of these conversations that are direct and listed, also when nobody has written in them yet.
pub async fn read_peers(
    directory: &Directory,
    user: UserId,
    conversations: &[ConversationId],
) -> Result<Vec<(ConversationId, UserId)>, StorageError> {
    let rows = directory.client().await?.query(PEERS, &[&user, &conversations]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Who lets others see read positions, as set for all conversations.
pub async fn read_read_receipts(
    directory: &Directory,
    users: &[UserId],
) -> Result<HashMap<UserId, bool>, StorageError> {
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = directory.client().await?.query(READ_RECEIPTS, &[&users]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Groups that a user is a member of, as far as its list says.
pub async fn read_groups(directory: &Directory, user: UserId) -> Result<Vec<ConversationId>, StorageError> {
    let rows = directory.client().await?.query(GROUPS, &[&user]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Groups that a user is or may be a member of.
pub async fn read_joined(directory: &Directory, user: UserId) -> Result<Vec<ConversationId>, StorageError> {
    let rows = directory.client().await?.query(JOINED, &[&user]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Of these users, those whose lists have any of these conversations.
pub async fn find_sharing(
    directory: &Directory,
    users: &[UserId],
    conversations: &[ConversationId],
) -> Result<Vec<UserId>, StorageError> {
    if users.is_empty() || conversations.is_empty() {
        return Ok(Vec::new());
    }
    let rows = directory.client().await?.query(SHARING, &[&users, &conversations]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
