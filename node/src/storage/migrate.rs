//! The schema: migrations of the directory and of every shard, and the slots that a new shard database holds.

use refinery::{Report, Runner};
use tokio_postgres::Client;

use super::{StorageError, provision};
use crate::config::{Config, ShardDatabase, SlotRange};
use crate::domain::ids::SLOT_COUNT;

mod directory {
    refinery::embed_migrations!("../migrations/directory");
}
mod shard {
    refinery::embed_migrations!("../migrations/shard");
}

/// Two histories, so that one database can be directory and shard.
const DIRECTORY_HISTORY: &str = "herald_directory_history";
const SHARD_HISTORY: &str = "herald_shard_history";

/// refinery takes no lock of its own; this one is of the session and ends with it.
const LOCK: &str = "select pg_advisory_lock(hashtextextended('herald.migrate', 0))";
/// Large tables may take their time; the lanes' limits do not hold here.
const UNLIMITED: &str = "set statement_timeout = 0; set lock_timeout = 0";
const COUNT_SLOTS: &str = "select count(*) from slot";
const SEED_SLOTS: &str = "insert into slot (slot) select generate_series($1::int4, $2::int4)::int2";
const HELD_SLOTS: &str = "select slot from slot where state < 2 order by slot";
const HAS_HISTORY: &str = "select to_regclass($1) is not null";
const DIRECTORY_VERSION: &str = "select coalesce(max(version), 0)::int8 from herald_directory_history";
const SHARD_VERSION: &str = "select coalesce(max(version), 0)::int8 from herald_shard_history";

pub const STATEMENTS_DIRECTORY: &[&str] = &[DIRECTORY_VERSION, HAS_HISTORY];
pub const STATEMENTS_SHARD: &[&str] = &[COUNT_SLOTS, SEED_SLOTS, HELD_SLOTS, SHARD_VERSION];

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("database `{database}`")]
    Storage { database: String, source: StorageError },
    #[error("database `{database}` cannot be migrated")]
    Refinery { database: String, source: Box<refinery::Error> },
    #[error("database `{database}` is at version {found}, this program needs {needed}: run `herald migrate`")]
    Outdated { database: String, found: i64, needed: i64 },
    #[error("slots: {0}")]
    Slots(String),
}

/// What a database holds, for [`Kind::runner`].
#[derive(Clone, Copy)]
enum Kind {
    Directory,
    Shard,
}

impl Kind {
    fn runner(self) -> Runner {
        let (mut runner, history) = match self {
            Self::Directory => (directory::migrations::runner(), DIRECTORY_HISTORY),
            Self::Shard => (shard::migrations::runner(), SHARD_HISTORY),
        };
        runner.set_migration_table_name(history);
        // An older program may meet what a newer one has applied: rolling upgrades.
        runner.set_abort_missing(false)
    }

    fn newest(self) -> i64 {
        let runner = self.runner();
        runner.get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
    }
}

/// Brings directory and shards to this program's schema, and gives slots to new shards. Safe when several do it at once.
pub async fn migrate(config: &Config) -> Result<Vec<String>, MigrateError> {
    let mut done = Vec::new();
    done.extend(migrate_directory(&config.directory.url).await?);
    for shard in &config.shards {
        let range = shard.slot_range().map_err(|error| MigrateError::Slots(error.to_string()))?;
        done.extend(migrate_shard(&shard.name, &shard.url, range).await?);
    }
    check_slots(&config.shards).await?;
    Ok(done)
}

/// The directory's migrations alone; answers what was applied.
pub async fn migrate_directory(url: &str) -> Result<Vec<String>, MigrateError> {
    let (_client, report) = apply(Kind::Directory, "directory", url).await?;
    Ok(applied("directory", &report))
}

/// A shard's migrations, and its slots where it holds none yet.
pub async fn migrate_shard(name: &str, url: &str, slots: SlotRange) -> Result<Vec<String>, MigrateError> {
    let (client, report) = apply(Kind::Shard, name, url).await?;
    let storage =
        |source: tokio_postgres::Error| MigrateError::Storage { database: name.to_owned(), source: source.into() };
    // Still under the lock: two programs do not seed twice.
    let count: i64 = client.query_one(COUNT_SLOTS, &[]).await.map_err(storage)?.get(0);
    if count == 0 {
        client.execute(SEED_SLOTS, &[&i32::from(slots.first), &i32::from(slots.last)]).await.map_err(storage)?;
    }
    Ok(applied(name, &report))
}

async fn apply(kind: Kind, database: &str, url: &str) -> Result<(Client, Report), MigrateError> {
    let storage = |source: StorageError| MigrateError::Storage { database: database.to_owned(), source };
    let mut client = provision::connect(url).await.map_err(storage)?;
    client.batch_execute(UNLIMITED).await.map_err(|error| storage(error.into()))?;
    client.query_one(LOCK, &[]).await.map_err(|error| storage(error.into()))?;
    let report = kind
        .runner()
        .run_async(&mut client)
        .await
        .map_err(|error| MigrateError::Refinery { database: database.to_owned(), source: Box::new(error) })?;
    Ok((client, report))
}

fn applied(database: &str, report: &Report) -> Vec<String> {
    report.applied_migrations().iter().map(|migration| format!("{database}: {migration}")).collect()
}

/// Every slot is held by exactly one shard. Shards that cannot be reached are an error here: nobody knows what they hold.
pub async fn check_slots(shards: &[ShardDatabase]) -> Result<(), MigrateError> {
    let mut holder: Vec<Option<&str>> = vec![None; usize::from(SLOT_COUNT)];
    for shard in shards {
        let storage = |source: StorageError| MigrateError::Storage { database: shard.name.clone(), source };
        let client = provision::connect(&shard.url).await.map_err(storage)?;
        let rows = client.query(HELD_SLOTS, &[]).await.map_err(|error| storage(error.into()))?;
        for row in rows {
            let slot: i16 = row.get(0);
            let Some(place) = usize::try_from(slot).ok().and_then(|slot| holder.get_mut(slot)) else { continue };
            if let Some(other) = place.replace(&shard.name) {
                return Err(MigrateError::Slots(format!("slot {slot} is held by both `{other}` and `{}`", shard.name)));
            }
        }
    }
    match holder.iter().position(Option::is_none) {
        None => Ok(()),
        Some(slot) => Err(MigrateError::Slots(format!("slot {slot} is held by no shard"))),
    }
}

/// Whether directory and shards are at this program's schema. Those that cannot be reached are answered, not refused: a node starts
/// with what there is.
pub async fn check(config: &Config) -> Result<Vec<String>, MigrateError> {
    let mut unreachable = Vec::new();
    let directory = [("directory", config.directory.url.as_str(), Kind::Directory)];
    let shards = config.shards.iter().map(|shard| (shard.name.as_str(), shard.url.as_str(), Kind::Shard));
    for (name, url, kind) in directory.into_iter().chain(shards) {
        match version(url, kind).await {
            Ok(found) if found >= kind.newest() => {}
            Ok(found) => {
                return Err(MigrateError::Outdated { database: name.to_owned(), found, needed: kind.newest() });
            }
            Err(source @ StorageError::Misconfigured(_)) => {
                return Err(MigrateError::Storage { database: name.to_owned(), source });
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(database = name, error = cause, "database cannot be checked");
                unreachable.push(name.to_owned());
            }
        }
    }
    Ok(unreachable)
}

async fn version(url: &str, kind: Kind) -> Result<i64, StorageError> {
    let (history, version) = match kind {
        Kind::Directory => (DIRECTORY_HISTORY, DIRECTORY_VERSION),
        Kind::Shard => (SHARD_HISTORY, SHARD_VERSION),
    };
    let client = provision::connect(url).await?;
    if !client.query_one(HAS_HISTORY, &[&history]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    Ok(client.query_one(version, &[]).await?.get(0))
}
