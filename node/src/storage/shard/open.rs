//! Opens all shards: pools, the map of slots, and the writer lanes with their tasks.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tokio::sync::mpsc;

use super::crash::CrashPoint;
use super::lane::{self, Commit, LaneContext};
use super::memory::XminMemory;
use super::slots::{parse_slots, read_map, redirect};
use super::{Shard, ShardId, Shards};
use crate::config::{Config, ShardDatabase};
use crate::domain::BootId;
use crate::domain::ids::SLOT_COUNT;
use crate::domain::settings::Policy;
use crate::domain::topic::Pattern;
use crate::storage::{Database, StorageError};
use crate::tasks::Tasks;

/// Commits that may wait for delivery, per lane; when they do, the lane waits, its queue fills, and senders are told
/// `overloaded`.
const COMMITS_WAITING_MAX: usize = 16;
/// Requests that may wait for the map of slots to be read again.
const MISDIRECTED_MAX: usize = 8_192;

/// What lanes ask anew for every batch.
#[derive(Clone)]
pub struct Providers {
    /// The node's present boot id, written into every entry.
    pub boot: Arc<dyn Fn() -> BootId + Send + Sync>,
    /// The run-time settings that decide inside the write.
    pub policy: Arc<dyn Fn() -> Policy + Send + Sync>,
    /// Patterns of those who want to know of entries, mostly none.
    pub subscribed: Arc<dyn Fn() -> Arc<[Pattern]> + Send + Sync>,
}

/// The shard databases of a configuration: where none is named, the directory's database is the only one.
pub fn shard_databases(config: &Config) -> Vec<ShardDatabase> {
    if !config.shards.is_empty() {
        return config.shards.clone();
    }
    let only = ShardDatabase {
        name: "shard-1".to_owned(),
        url: config.directory.url.clone(),
        url_file: config.directory.url_file.clone(),
        pool_size: config.directory.pool_size,
        slots: format!("0-{}", SLOT_COUNT - 1),
        ..ShardDatabase::default()
    };
    vec![only]
}

/// Opens the shards and starts their lanes. The receivers, one per lane, are for delivery. Does not fail when a shard cannot be
/// reached: it holds what the configuration says until it answers.
pub async fn open(
    config: &Config,
    providers: Providers,
    tasks: &Tasks,
) -> Result<(Shards, Vec<mpsc::Receiver<Commit>>), StorageError> {
    let crash = CrashPoint::from_config(config).map_err(|error| StorageError::Failed(error.into()))?;
    let (misdirected, misdirected_receiver) = mpsc::channel(MISDIRECTED_MAX);
    let mut all = Vec::new();
    let mut lanes = Vec::new();
    let mut believed = vec![None; usize::from(SLOT_COUNT)];
    for (index, database) in shard_databases(config).iter().enumerate() {
        let id = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
        let mut queues = Vec::new();
        for _ in 0..database.lanes.max(1) {
            let (queue, receiver) = mpsc::channel(config.limits.lane_queue_max.max(1));
            queues.push(queue);
            lanes.push((index, receiver));
        }
        let name = if database.name.is_empty() { format!("shard-{}", index + 1) } else { database.name.clone() };
        let slots = parse_slots(&database.slots).ok_or_else(|| StorageError::Failed("bad range of slots".into()))?;
        for slot in slots {
            if let Some(place) = believed.get_mut(usize::from(slot)) {
                *place = Some(id);
            }
        }
        all.push(Arc::new(Shard {
            id,
            database: Database::new(&name, &database.url, database.pool_size, tasks)?,
            name,
            lanes: queues,
            epoch: AtomicI64::new(0),
            shown_epoch: AtomicI64::new(0),
            xmins: XminMemory::default(),
            is_synchronous: database.is_synchronous,
        }));
    }
    let (map, is_complete) = read_map(&all, &believed).await;
    let shards = Shards::new(all, map, crash.clone());
    tasks.spawn("slot-redirect", redirect(shards.clone(), misdirected_receiver, is_complete, tasks.clone()));

    let databases = shard_databases(config);
    let mut commits = Vec::new();
    for (index, queue) in lanes {
        let (Some(shard), Some(database)) = (shards.all().get(index), databases.get(index)) else { continue };
        let (sender, receiver) = mpsc::channel(COMMITS_WAITING_MAX);
        commits.push(receiver);
        let context = LaneContext {
            shard: Arc::clone(shard),
            providers: providers.clone(),
            crash: crash.clone(),
            misdirected: misdirected.clone(),
            commits: sender,
            tasks: tasks.clone(),
        };
        tasks.spawn("lane", lane::run(context, &database.url, queue)?);
    }
    Ok((shards, commits))
}
