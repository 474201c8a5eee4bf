//! The feed of changes: what all nodes must learn, in the order of its ids. Read by a cursor of transaction numbers, since ids become
//! visible out of order.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::Directory;
use crate::domain::ids::NotificationId;
use crate::domain::{Timestamp, UserId};
use crate::storage::StorageError;
use crate::storage::types::Xid8;

pub const STATEMENTS: &[&str] = &[READ_CHANGES, READ_SNAPSHOT, READ_RECENT_CHANGES, TELL_NOTIFIED, FORGET_CHANGES];

/// Numbers of transactions that ended without a flush are given out again after a crash: so far back a cursor reaches.
const REUSED_MAX: u64 = 1_000;

/// One row of the feed. What `subject` and `value` are depends on the kind.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: i64,
    pub kind: String,
    pub subject: String,
    pub value: Option<String>,
    pub created_at: Timestamp,
}

/// Up to where the feed was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedCursor(Xid8);

impl FeedCursor {
    /// Of what was committed when `xmin` was the oldest running transaction, all lies below this.
    const fn at(xmin: Xid8) -> Self {
        Self(Xid8(xmin.0.saturating_sub(REUSED_MAX)))
    }
}

const READ_CHANGES: &str = "\
select s.xmin, c.id, c.kind, c.subject, c.value, c.created_at
from (select pg_snapshot_xmin(pg_current_snapshot()) as xmin) s left join change c on c.tx >= $1
order by c.id";

/// What is new since the cursor (and some of what is not), in the order of ids, and the next cursor.
pub async fn read_changes(
    directory: &Directory,
    cursor: FeedCursor,
) -> Result<(Vec<Change>, FeedCursor), StorageError> {
    let client = directory.client().await?;
    let rows = client.query(READ_CHANGES, &[&cursor.0]).await?;
    let next = match rows.first() {
        Some(row) => FeedCursor::at(row.try_get(0)?),
        None => cursor,
    };
    let changes = rows.iter().filter_map(|row| change_of(row, 1).transpose()).collect::<Result<_, _>>()?;
    Ok((changes, next))
}

const READ_SNAPSHOT: &str = "select pg_snapshot_xmin(pg_current_snapshot())";

const READ_RECENT_CHANGES: &str = "select id, kind, subject, value, created_at from change where created_at >= clock_timestamp() - $1::float8 * interval '1 second' order by id";

/// All that a node needs which remembers nothing: the changes of the last `back`, who is out, and where to read on.
#[derive(Clone, Debug)]
pub struct Beginning {
    pub changes: Vec<Change>,
    pub out_users: Vec<UserId>,
    pub cursor: FeedCursor,
}

pub async fn read_beginning(directory: &Directory, back: Duration) -> Result<Beginning, StorageError> {
    let client = directory.client().await?;
    // First of all: whatever commits later is found by the cursor.
    let cursor = FeedCursor::at(client.query_one(READ_SNAPSHOT, &[]).await?.try_get(0)?);
    let rows = client.query(READ_RECENT_CHANGES, &[&back.as_secs_f64()]).await?;
    let changes = rows.iter().filter_map(|row| change_of(row, 0).transpose()).collect::<Result<_, _>>()?;
    drop(client);
    let out_users = super::accounts::read_out_users(directory).await?;
    Ok(Beginning { changes, out_users, cursor })
}

/// Who has a notification that could not be shown on other nodes, and which node has shown it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notified {
    pub node: String,
    pub users: Vec<UserId>,
}

const TELL_NOTIFIED: &str = "insert into change (kind, subject, value) values ('notified', $1, $2)";

/// Lets all other nodes show a notification to those of these users that they have.
pub async fn tell_notified(
    directory: &Directory,
    id: NotificationId,
    node: &str,
    users: &[UserId],
) -> Result<(), StorageError> {
    let notified = Notified { node: node.to_owned(), users: users.to_vec() };
    let value = serde_json::to_string(&notified).map_err(|error| StorageError::Failed(Box::new(error)))?;
    directory.client().await?.execute(TELL_NOTIFIED, &[&id.to_string(), &value]).await?;
    Ok(())
}

const FORGET_CHANGES: &str =
    "delete from change where created_at < clock_timestamp() - $1::float8 * interval '1 second'";

/// Removes rows that every node has read long ago.
pub async fn forget_changes(directory: &Directory, older_than: Duration) -> Result<(), StorageError> {
    let client = directory.client().await?;
    client.execute(FORGET_CHANGES, &[&older_than.as_secs_f64()]).await?;
    Ok(())
}

/// `None`: the row that only brings the snapshot.
fn change_of(row: &Row, first: usize) -> Result<Option<Change>, StorageError> {
    let Some(id) = row.try_get::<_, Option<i64>>(first)? else {
        return Ok(None);
    };
    Ok(Some(Change {
        id,
        kind: row.try_get(first + 1)?,
        subject: row.try_get(first + 2)?,
        value: row.try_get(first + 3)?,
        created_at: row.try_get(first + 4)?,
    }))
}
