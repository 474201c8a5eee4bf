//! Links into groups: made, listed, withdrawn. Whom one lets in is the lane's to decide. Who makes or withdraws one is looked at under
//! the lock of the group, so that he does it before he is demoted, or not at all.

use tokio_postgres::Row;
use uuid::Uuid;

use super::Shard;
use crate::domain::{ConversationId, InviteId, InviteSecret, Role, Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::pool::Transaction;

pub const STATEMENTS: &[&str] =
    &[LOCK_GROUP, ROLE, DELETE_DEAD, INSERT_INVITE, READ_INVITES, DELETE_INVITE, FIND_INVITE];

/// A link as owner and admins see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invite {
    pub id: InviteId,
    pub secret: InviteSecret,
    pub created_by: UserId,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub max_uses: Option<i32>,
    pub uses: i32,
}

/// What a new one begins with.
#[derive(Clone, Copy, Debug)]
pub struct NewInvite {
    pub id: InviteId,
    pub secret: InviteSecret,
    pub created_by: UserId,
    pub expires_at: Option<Timestamp>,
    pub max_uses: Option<i32>,
}

/// The lane locks it with every change of a role.
const LOCK_GROUP: &str = "select 1 from conversation where id = $1 and not is_dissolved for update";

const ROLE: &str = "select role from member where conversation_id = $1 and user_id = $2 and left_seq is null";

/// What came of making or withdrawing a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt<T> {
    Done(T),
    /// The user is neither owner nor admin of a group that stands.
    NoAdmin,
}

/// Locks the group until the transaction ends. The role is read in a statement of its own, as it is then.
async fn lock_as_admin(
    transaction: &Transaction<'_>,
    group: ConversationId,
    user: UserId,
) -> Result<bool, StorageError> {
    if transaction.query_opt(LOCK_GROUP, &[&group]).await?.is_none() {
        return Ok(false);
    }
    let row = transaction.query_opt(ROLE, &[&group, &user]).await?;
    let role = row.map(|row| row.try_get::<_, i16>(0)).transpose()?.and_then(Role::from_code);
    Ok(role.is_some_and(|role| role >= Role::Admin))
}

const DELETE_DEAD: &str = "\
delete from invite where conversation_id = $1 and (expires_at <= clock_timestamp() or uses >= max_uses)
  and (select count(*) from invite where conversation_id = $1) >= $2";

const INSERT_INVITE: &str = "\
insert into invite (conversation_id, id, secret, created_by, expires_at, max_uses)
select $1, $2, $3, $4, $5, $6 where (select count(*) from invite where conversation_id = $1) < $7
returning id, secret, created_by, created_at, expires_at, max_uses, uses";

/// Makes a link, by the user it names. `None`: the group has too many, and none of them has ended.
pub async fn insert_invite(
    shard: &Shard,
    group: ConversationId,
    new: &NewInvite,
    invites_max: i64,
) -> Result<Attempt<Option<Invite>>, StorageError> {
    let mut client = shard.client().await?;
    let transaction = client.transaction().await?;
    if !lock_as_admin(&transaction, group, new.created_by).await? {
        transaction.commit().await?;
        return Ok(Attempt::NoAdmin);
    }
    transaction.execute(DELETE_DEAD, &[&group, &invites_max]).await?;
    let row = transaction
        .query_opt(
            INSERT_INVITE,
            &[&group, &new.id, &new.secret, &new.created_by, &new.expires_at, &new.max_uses, &invites_max],
        )
        .await?;
    let made = row.as_ref().map(invite_of).transpose()?;
    transaction.commit().await?;
    Ok(Attempt::Done(made))
}

const READ_INVITES: &str = "\
select id, secret, created_by, created_at, expires_at, max_uses, uses from invite
where conversation_id = $1 and id < $2 order by id desc limit $3";

/// A group's links, newest first, before `before`.
pub async fn read_invites(
    shard: &Shard,
    group: ConversationId,
    before: Option<InviteId>,
    limit: i64,
) -> Result<Vec<Invite>, StorageError> {
    let before = before.unwrap_or(InviteId(Uuid::max()));
    let rows = shard.client().await?.query(READ_INVITES, &[&group, &before, &limit]).await?;
    rows.iter().map(invite_of).collect()
}

const DELETE_INVITE: &str = "delete from invite where conversation_id = $1 and id = $2";

/// Withdraws a link; waits for a joining that is just being committed. False: there is none.
pub async fn delete_invite(
    shard: &Shard,
    group: ConversationId,
    by: UserId,
    id: InviteId,
) -> Result<Attempt<bool>, StorageError> {
    let mut client = shard.client().await?;
    let transaction = client.transaction().await?;
    if !lock_as_admin(&transaction, group, by).await? {
        transaction.commit().await?;
        return Ok(Attempt::NoAdmin);
    }
    let deleted = transaction.execute(DELETE_INVITE, &[&group, &id]).await?;
    transaction.commit().await?;
    Ok(Attempt::Done(deleted == 1))
}

/// What the joining of one user has to go by, before the lane decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub created_by: UserId,
    pub is_member: bool,
    /// Neither expired nor used up.
    pub is_good: bool,
}

const FIND_INVITE: &str = "\
select i.created_by, m.user_id is not null,
       (i.expires_at is null or i.expires_at > clock_timestamp()) and (i.max_uses is null or i.uses < i.max_uses)
from invite i join conversation c on c.id = i.conversation_id
left join member m on m.conversation_id = i.conversation_id and m.user_id = $3 and m.left_seq is null
where i.conversation_id = $1 and i.secret = $2 and not c.is_dissolved";

/// A link of a group that stands, and whether this user is a member of it.
pub async fn find_invite(
    shard: &Shard,
    group: ConversationId,
    secret: InviteSecret,
    user: UserId,
) -> Result<Option<Found>, StorageError> {
    let row = shard.client().await?.query_opt(FIND_INVITE, &[&group, &secret, &user]).await?;
    row.map(|row| Ok(Found { created_by: row.try_get(0)?, is_member: row.try_get(1)?, is_good: row.try_get(2)? }))
        .transpose()
}

fn invite_of(row: &Row) -> Result<Invite, StorageError> {
    Ok(Invite {
        id: row.try_get(0)?,
        secret: row.try_get(1)?,
        created_by: row.try_get(2)?,
        created_at: row.try_get(3)?,
        expires_at: row.try_get(4)?,
        max_uses: row.try_get(5)?,
        uses: row.try_get(6)?,
    })
}
