//! After entries may have been lost: reads what was written since all was known well, and shows it through the gates, which know what
//! was shown before. Only where there is far too much of it are sessions told to sync instead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use herald_router::{Moment, RoutesGoneReason};
use tracing::{debug, info, warn};

use crate::app::App;
use crate::domain::BootId;
use crate::memory::presence::{Cause, RECONNECT_TIME};
use crate::protocol::server::ResyncReason;
use crate::service::delivery::fill::show_found;
use crate::service::delivery::metrics::METRICS;
use crate::service::delivery::signal::tell_all_to_sync;
use crate::service::sessions::restore_routes::restore_routes;
use crate::storage::error::cause;
use crate::storage::shard::Shard;
use crate::storage::shard::read_delivery::{self, BRIN_MARGIN, Since};
use crate::storage::types::Xid8;

/// Entries that one repair reads of one shard at most; beyond, sessions are told to sync.
const ENTRIES_MAX: i64 = 20_000;
/// The sign that all was well may itself be a little late: repair begins this much earlier.
const WELL_MARGIN: Duration = Duration::from_secs(5);
/// A new boot is used at the latest so long after it was seen, and nothing is written under the old one.
const LEAVING_TIME: Duration = Duration::from_secs(2);
/// How long a shard that is away is asked again before the sessions are told to sync.
const TRY_TIME_MAX: Duration = Duration::from_mins(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Entries of one peer (`None`: of anyone) since `well_at` may be missing.
pub fn after_loss(app: &Arc<App>, from: Option<BootId>, well_at: Moment) {
    info!(from = ?from, seconds = well_at.ago().as_secs_f64(), "entries may have been lost: repairing");
    repair_shards(app, from, well_at, ResyncReason::BusLost);
    if from.is_some() {
        repair_of_dead(app);
    }
}

/// What a peer sends for a dead node is of that node's boot, and older than what the peer itself has written.
fn repair_of_dead(app: &Arc<App>) {
    if app.hub.is_empty() {
        return;
    }
    for burial in app.burials.underway() {
        let Some(shard) = app.shards.get(burial.shard) else { continue };
        let well_at = Moment::now().back_by(burial.since.elapsed());
        spawn_repair(app, shard, Some(burial.boot), well_at, ResyncReason::BusLost);
    }
}

/// A boot has left. Where it is replaced by another of the same node, it may write for a moment longer, and what it wrote while neither
/// side had a place in Redis was for the place that this node had before.
pub fn after_leaving(app: &Arc<App>, boot: BootId) {
    let (task_app, well_at) = (Arc::clone(app), Moment::now());
    app.tasks.spawn("repair after leaving", async move {
        tokio::select! {
            () = task_app.tasks.stopping() => {}
            () = tokio::time::sleep(LEAVING_TIME) => repair_shards(&task_app, Some(boot), well_at, ResyncReason::BusLost),
        }
    });
}

/// This node's routes were gone: they are put back first, so that what is committed from then on comes by itself, and then what was
/// written since is shown.
pub fn after_routes_gone(app: &Arc<App>, reason: RoutesGoneReason, well_at: Moment) {
    info!(?reason, seconds = well_at.ago().as_secs_f64(), "routes were gone: putting them back");
    let resync = match reason {
        RoutesGoneReason::NewBoot => ResyncReason::NodeFenced,
        RoutesGoneReason::RedisLostData => ResyncReason::BusLost,
    };
    let task_app = Arc::clone(app);
    app.tasks.spawn("routes gone", async move {
        let app = task_app;
        let put_back = restore_routes(&app).await;
        repair_shards(&app, None, well_at, resync);
        if well_at.ago() >= RECONNECT_TIME {
            // By now friends may have been told that these users have gone.
            let now = Instant::now();
            for (user, _) in put_back {
                app.presence.note(user, Cause::Came, now);
            }
        }
    });
}

fn repair_shards(app: &Arc<App>, from: Option<BootId>, well_at: Moment, resync: ResyncReason) {
    if app.hub.is_empty() {
        return;
    }
    METRICS.repairs.increment(1);
    for shard in app.shards.all() {
        spawn_repair(app, shard, from, well_at, resync);
    }
}

fn spawn_repair(app: &Arc<App>, shard: &Arc<Shard>, from: Option<BootId>, well_at: Moment, resync: ResyncReason) {
    let (task_app, shard) = (Arc::clone(app), Arc::clone(shard));
    app.tasks.spawn("repair", async move {
        repair_shard(&task_app, &shard, from, well_at, resync).await;
    });
}

async fn repair_shard(app: &Arc<App>, shard: &Shard, from: Option<BootId>, well_at: Moment, resync: ResyncReason) {
    let started = Instant::now();
    // The cursor is taken now, however long the shard is away: what is read later is only more.
    let well = Instant::now().checked_sub(well_at.ago() + WELL_MARGIN);
    let tx = well.and_then(|moment| shard.cursor_before(moment));
    while started.elapsed() < TRY_TIME_MAX && !app.tasks.is_stopping() {
        match read(shard, from, well_at, tx).await {
            Ok((found, false)) => {
                debug!(shard = shard.name, conversations = found.len(), "repairing");
                return found.iter().for_each(|found| show_found(app, found));
            }
            Ok((_, true)) => break,
            Err(error) => {
                debug!(error = cause(&error), shard = shard.name, "repair could not read");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
    warn!(shard = shard.name, "too much was lost, or the shard is away: telling all sessions to sync");
    tell_all_to_sync(app, resync).await;
}

/// A cursor that this node does not remember (it has just started, or the moment is too long ago) is 0: then only the time limits.
async fn read(
    shard: &Shard,
    from: Option<BootId>,
    well_at: Moment,
    tx: Option<Xid8>,
) -> Result<(Vec<read_delivery::FoundEntries>, bool), crate::storage::StorageError> {
    let (_, now) = read_delivery::read_snapshot(shard).await?;
    let margin = if tx.is_some() { BRIN_MARGIN } else { Duration::from_secs(15) };
    let created_at = now.minus(well_at.ago() + WELL_MARGIN + margin);
    let since = Since { tx: tx.unwrap_or_default(), created_at, boot: from };
    read_delivery::read_since(shard, since, ENTRIES_MAX).await
}
