//! After a connection was lost while a COMMIT was out: under the locks it is found out whether the batch is there, before the
//! lane takes anything else. And what else a lane does beside its batches: the epoch, the memory of xmin.

use std::time::Instant;

use futures_util::join;
use uuid::Uuid;

use super::link::Link;
use crate::domain::judge::Verdict;
use crate::domain::judge::model::Model;
use crate::domain::{BootId, ConversationId, MessageId};
use crate::storage::StorageError;
use crate::storage::types::Xid8;

use super::Queued;

/// Another timeline: the log may have lost its end. `$1` is 0 where a standby had confirmed every commit.
pub(super) const RAISE_EPOCH: &str =
    "update epoch set epoch = epoch + $1::int8, timeline = $2 where is_only and timeline = $3";

/// Entries are there all or none: they were one transaction. Key and boot tell them from others of the same seq: a client that got
/// no answer may have sent again through another node, which may have given the same seqs out.
pub(super) const FIND_WRITTEN: &str = "\
    select count(*) from unnest($1::uuid[], $2::uuid[]) k(id, client_key)
    join entry e on e.id = k.id where e.client_key = k.client_key and e.boot = $3";

pub(super) const XMIN: &str = "select pg_snapshot_xmin(pg_current_snapshot()), epoch from epoch where is_only";

/// A judged batch whose COMMIT was sent and not answered.
pub(super) struct Unclear {
    pub batch: Vec<Queued>,
    pub verdicts: Vec<Verdict>,
    pub model: Model,
    /// Under which it was written.
    pub boot: BootId,
    pub begun: Instant,
}

/// Whether the batch's entries are in the log. Takes the locks of its conversations, so a server process that still works on
/// the COMMIT is waited for; then commits itself, so that an answer "there" is on disk, and on the standby. Gives the epoch under
/// which they are there; `None`: they are not.
pub(super) async fn find_written(
    link: &Link,
    model: &Model,
    boot: BootId,
    is_synchronous: bool,
) -> Result<Option<i64>, StorageError> {
    let entries = &model.book.entries;
    let ids: Vec<MessageId> = entries.iter().map(|fresh| fresh.entry.id).collect();
    let keys: Vec<Uuid> = entries.iter().map(|fresh| fresh.client_key).collect();
    let mut conversations: Vec<ConversationId> = ids.iter().map(|id| id.conversation()).collect();
    conversations.sort_unstable();
    conversations.dedup();
    let (client, statements) = (&link.client, &link.statements);
    link.take_warning();
    let read = async {
        let (begun, locked, found, status) = join!(
            client.batch_execute("BEGIN"),
            async { client.query(&statements.lock, &[&conversations]).await },
            async { client.query_one(&statements.find_written, &[&ids, &keys, &boot.0]).await },
            async { client.query_one(&statements.status, &[&Vec::<i16>::new()]).await },
        );
        begun?;
        locked?;
        let found: i64 = found?.try_get(0)?;
        let status = status?;
        let (epoch, known, present): (i64, String, String) =
            (status.try_get(2)?, status.try_get(3)?, status.try_get(4)?);
        client.batch_execute("COMMIT").await?;
        Ok((found, epoch, known, present))
    };
    let (found, epoch, known, present) = match read.await {
        Ok(found) => found,
        Err(error) => {
            let error: tokio_postgres::Error = error;
            if !client.is_closed() {
                let _ = client.batch_execute("ROLLBACK").await;
            }
            return Err(error.into());
        }
    };
    if link.take_warning() {
        return Err(StorageError::Unavailable(None));
    }
    if known != present {
        // The connection was lost by a failover: what is there belongs to the new epoch, and is looked for again.
        raise_epoch(link, is_synchronous, &known, &present).await?;
        return Err(StorageError::Overloaded(None));
    }
    let found = usize::try_from(found).unwrap_or(0);
    if found != 0 && found != entries.len() {
        tracing::error!(found, written = entries.len(), "a part of a transaction is there");
    }
    Ok((found != 0 && found == entries.len()).then_some(epoch))
}

/// Raises the epoch for a timeline that its row does not know.
pub(super) async fn raise_epoch(
    link: &Link,
    is_synchronous: bool,
    known: &str,
    present: &str,
) -> Result<(), tokio_postgres::Error> {
    let step = i64::from(!is_synchronous);
    link.client.execute(&link.statements.raise_epoch, &[&step, &present, &known]).await.map(|_| ())
}

/// The shard's xmin, and its epoch.
pub(super) async fn read_xmin(link: &Link) -> Result<(Xid8, i64), StorageError> {
    let row = link.client.query_one(&link.statements.xmin, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
