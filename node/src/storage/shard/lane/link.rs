//! A lane's own connection, with its settings and its statements, prepared once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::poll_fn;
use futures_util::join;
use tokio_postgres::{AsyncMessage, Client, Statement};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{create, read, recover, write};
use crate::storage::StorageError;
use crate::storage::connect::Address;
use crate::tasks::Tasks;

/// Connecting and preparing, together.
const CONNECT: Duration = Duration::from_secs(1);
/// DESIGN 4.4 and 11: a stopped node holds its locks for a second at most, and nobody waits longer than 300 ms for one. A
/// statement prepared while its tables were empty would keep sequential scans: the plans are forced to the indexes, and made
/// once.
pub const OPTIONS: &str = "-c idle_in_transaction_session_timeout=1000 -c lock_timeout=300 -c statement_timeout=5000 \
    -c synchronous_commit=on -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off \
    -c enable_bitmapscan=off -c plan_cache_mode=force_generic_plan -c jit=off";

pub(super) struct Link {
    pub client: Client,
    pub statements: Statements,
    /// The server warned of something; after COMMIT: it may not be replicated.
    has_warned: Arc<AtomicBool>,
    /// Ends the connection's task with the link.
    _connection: DropGuard,
}

macro_rules! statements {
    ($($name:ident: $sql:expr),* $(,)?) => {
        pub(super) struct Statements {
            $(pub $name: Statement,)*
        }

        impl Statements {
            async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
                let ($($name,)*) = join!($(client.prepare($sql),)*);
                Ok(Self { $($name: $name?,)* })
            }
        }

        /// Statements of the lane, for the test that prepares them all.
        pub const STATEMENTS: &[&str] = &[$($sql,)*];
    };
}

statements!(
    lock: read::LOCK,
    lock_free: read::LOCK_FREE,
    status: read::STATUS,
    existing: read::EXISTING,
    priors: read::PRIORS,
    members: read::MEMBERS,
    targets: read::TARGETS,
    hiders: read::HIDERS,
    reactions: read::REACTIONS,
    pins: read::PINS,
    personals: read::PERSONALS,
    invites: read::INVITES,
    insert_entries: write::ENTRIES,
    update_pairs: write::PAIRS,
    update_groups: write::GROUPS,
    update_details: write::GROUP_DETAILS,
    update_bodies: write::BODIES,
    upsert_joined: write::JOINED,
    update_members: write::MEMBERS,
    upsert_reactions: write::REACTIONS,
    upsert_pins: write::PINS,
    delete_pins: write::UNPINS,
    insert_mentions: write::MENTIONS,
    upsert_personals: write::PERSONALS,
    update_invites: write::INVITES,
    insert_hides: write::HIDES,
    upsert_read_marks: write::READ_MARKS,
    insert_outbox: write::OUTBOX,
    create: create::CREATE,
    raise_epoch: recover::RAISE_EPOCH,
    find_written: recover::FIND_WRITTEN,
    xmin: recover::XMIN,
);

impl Link {
    pub async fn connect(address: &Address, tasks: &Tasks) -> Result<Self, StorageError> {
        let connecting = async {
            let mut address = address.clone();
            address.config.options(OPTIONS).application_name("herald lane");
            let (client, mut connection) = address.connect().await?;
            let has_warned = Arc::new(AtomicBool::new(false));
            let (stop, warned) = (CancellationToken::new(), Arc::clone(&has_warned));
            let stopped = stop.clone();
            tasks.spawn("lane-connection", async move {
                let messages = async {
                    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                        if let AsyncMessage::Notice(notice) = message
                            && notice.severity() == "WARNING"
                        {
                            warned.store(true, Ordering::Release);
                            tracing::warn!(notice = notice.message(), "a lane's server warns");
                        }
                    }
                };
                tokio::select! {
                    () = messages => {}
                    () = stopped.cancelled() => {}
                }
            });
            let guard = stop.drop_guard();
            let statements = Statements::prepare(&client).boxed().await?;
            Ok(Self { client, statements, has_warned, _connection: guard })
        };
        tokio::time::timeout(CONNECT, connecting).await.unwrap_or(Err(StorageError::Unavailable(None)))
    }

    /// Whether a warning came since the last asking.
    pub fn take_warning(&self) -> bool {
        self.has_warned.swap(false, Ordering::AcqRel)
    }
}
