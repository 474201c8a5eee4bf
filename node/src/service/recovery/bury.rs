//! For a boot that died: what it committed and did not hand on is delivered by one of the survivors, one for each shard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info};

use crate::app::App;
use crate::domain::{BootId, Timestamp};
use crate::memory::burials::Burial;
use crate::service::delivery::deliver::{Prepared, publish};
use crate::service::delivery::fill::show_found;
use crate::service::delivery::item_of_stored::item_of_stored;
use crate::storage::StorageError;
use crate::storage::error::cause;
use crate::storage::shard::Shard;
use crate::storage::shard::read_delivery::{self, Since};
use crate::storage::types::Xid8;

/// Before a lease was last seen all was well; this much earlier is looked at all the same.
const BEFORE_LAST_SEEN: Duration = Duration::from_secs(15);
/// A node that is cut off from Redis goes on writing: it is looked after this often ...
const ROUND_INTERVAL: Duration = Duration::from_secs(2);
/// ... until this long after its last entry.
const QUIET_TIME: Duration = Duration::from_mins(1);
/// The lock of one boot and shard; another survivor goes on where this one stopped.
const LOCK_TIME: Duration = Duration::from_secs(10);
/// Entries read in one round; what is left comes with the next.
const ENTRIES_MAX: i64 = 20_000;

/// A burial that this node takes part in; ends when dropped.
struct Underway {
    app: Arc<App>,
    burial: Burial,
}

impl Underway {
    fn begin(app: &Arc<App>, burial: Burial) -> Self {
        app.burials.begin(burial);
        Self { app: Arc::clone(app), burial }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.app.burials.end(self.burial);
    }
}

/// Starts the burial; returns at once.
pub fn bury(app: &Arc<App>, boot: BootId, last_seen_ago: Duration) {
    let now = Instant::now();
    let since = now.checked_sub(last_seen_ago + BEFORE_LAST_SEEN).unwrap_or(now);
    for shard in app.shards.all() {
        let shard = Arc::clone(shard);
        let underway = Underway::begin(app, Burial { boot, shard: shard.id, since });
        app.tasks.spawn("bury", async move { bury_in_shard(&underway, &shard).await });
    }
}

async fn bury_in_shard(underway: &Underway, shard: &Shard) {
    let Underway { app, burial } = underway;
    let boot = burial.boot;
    let name = format!("bury:{boot}:{}", shard.id.0);
    let mut quiet_since = Instant::now();
    // Everyone tries again while it is quiet: the one that holds the lock may die, too.
    while quiet_since.elapsed() < QUIET_TIME && !app.tasks.is_stopping() {
        let locked = app.router.try_lock(&name, LOCK_TIME).await;
        if locked.is_err() {
            // Redis is away: nobody can say that it is quiet.
            quiet_since = Instant::now();
        }
        if let Ok(Some(lock)) = locked {
            let mut cursor = lock.value.parse().map(Xid8).unwrap_or_default();
            let mut is_held = true;
            while is_held && quiet_since.elapsed() < QUIET_TIME && !app.tasks.is_stopping() {
                match round(app, shard, *burial, cursor).await {
                    Ok((next, count)) => {
                        cursor = next;
                        if count > 0 {
                            quiet_since = Instant::now();
                        }
                    }
                    Err(error) => {
                        debug!(error = cause(&error), "a dead node's entries could not be read");
                        quiet_since = Instant::now();
                    }
                }
                is_held = matches!(app.router.renew_lock(&lock, LOCK_TIME, &cursor.0.to_string()).await, Ok(true));
                pause(app).await;
            }
            if is_held {
                let _ = app.router.unlock(lock).await;
            }
        } else {
            if read_delivery::read_snapshot(shard).await.is_err() {
                // Nor while the shard is away.
                quiet_since = Instant::now();
            }
            pause(app).await;
        }
    }
}

async fn pause(app: &App) {
    tokio::select! {
        () = app.tasks.stopping() => {}
        () = tokio::time::sleep(ROUND_INTERVAL) => {}
    }
}

/// Delivers what the boot has written since `cursor`. Answers the next cursor and how much there was.
async fn round(
    app: &Arc<App>,
    shard: &Shard,
    Burial { boot, since, .. }: Burial,
    cursor: Xid8,
) -> Result<(Xid8, usize), StorageError> {
    // The snapshot first: what commits after it has a number not below, and comes with the next round.
    let (next, now) = read_delivery::read_snapshot(shard).await?;
    let created_at: Timestamp = now.minus(since.elapsed());
    let since = Since { tx: cursor, created_at, boot: Some(boot) };
    let (found, is_cut) = read_delivery::read_since(shard, since, ENTRIES_MAX).await?;
    let mut count = 0;
    for found in &found {
        count += found.entries.len();
        show_found(app, found);
        let prepared: Vec<Prepared> = found
            .entries
            .iter()
            .map(|stored| Prepared {
                item: item_of_stored(
                    &found.conversation,
                    found.epoch,
                    found.members_version,
                    found.member_count,
                    stored,
                ),
                origin: None,
            })
            .collect();
        publish(app, &prepared).await;
    }
    if count > 0 {
        info!(%boot, shard = shard.name, entries = count, "delivered what a dead node had written");
    }
    Ok((if is_cut { cursor } else { next }, count))
}
