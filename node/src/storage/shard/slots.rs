//! Which shard holds which slot: read from the slot tables of all shards, and anew when a lane finds a slot not held.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::lane::Queued;
use super::{Shard, ShardId, Shards};
use crate::domain::Refusal;
use crate::domain::ids::SLOT_COUNT;
use crate::storage::StorageError;
use crate::storage::error::cause;
use crate::tasks::Tasks;

const HELD_SLOTS: &str = "select slot from slot where state = 0";

/// Statements of this file, for the test that prepares them all.
pub const STATEMENTS: &[&str] = &[HELD_SLOTS];

/// How often the map is read again while some shard could not be asked, or some slot is held by nobody.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two readings for misdirected requests: a slot on the move is not asked after a thousand times a second.
const REREAD_PAUSE: Duration = Duration::from_millis(100);

/// Slots that a shard says it holds.
async fn read_held_slots(shard: &Shard) -> Result<Vec<u16>, StorageError> {
    let rows = shard.client().await?.query(HELD_SLOTS, &[]).await?;
    rows.iter().map(|row| Ok(u16::try_from(row.try_get::<_, i16>(0)?).unwrap_or(SLOT_COUNT))).collect()
}

/// Asks all shards at once. Slots of a shard that does not answer stay as `before` has them. The second part says whether all
/// answered and every slot is held.
pub(super) async fn read_map(all: &[Arc<Shard>], before: &[Option<ShardId>]) -> (Vec<Option<ShardId>>, bool) {
    let answers = join_all(all.iter().map(|shard| read_held_slots(shard))).await;
    let mut map = vec![None; usize::from(SLOT_COUNT)];
    let mut is_complete = true;
    // First what is only believed, so that what is known wins.
    for (shard, answer) in all.iter().zip(&answers) {
        if let Err(error) = answer {
            is_complete = false;
            tracing::warn!(shard = shard.name, error = cause(error), "slots could not be read");
            for (slot, held_by) in map.iter_mut().zip(before) {
                if *held_by == Some(shard.id) {
                    *slot = Some(shard.id);
                }
            }
        }
    }
    for (shard, answer) in all.iter().zip(&answers) {
        for slot in answer.iter().flatten() {
            if let Some(place) = map.get_mut(usize::from(*slot)) {
                *place = Some(shard.id);
            }
        }
    }
    // A slot on its way is held by nobody for a moment.
    let is_complete = is_complete && map.iter().all(Option::is_some);
    (map, is_complete)
}

/// `FIRST-LAST` or `SLOT`, several with commas, as the configuration has them.
pub fn parse_slots(text: &str) -> Option<Vec<u16>> {
    let mut slots = Vec::new();
    for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= SLOT_COUNT {
            return None;
        }
        slots.extend(first..=last);
    }
    Some(slots)
}

/// Takes the requests whose slot their lane did not hold: reads the map anew and queues each again, once.
pub(super) async fn redirect(
    shards: Shards,
    mut misdirected: mpsc::Receiver<Queued>,
    mut is_complete: bool,
    tasks: Tasks,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(REREAD_INTERVAL), if !is_complete => {}
            count = misdirected.recv_many(&mut batch, 1_024) => if count == 0 { return },
        }
        let before = shards.inner.map.load_full();
        let (map, has_all) = read_map(&shards.inner.all, &before).await;
        is_complete = has_all;
        shards.set_map(map);
        for mut queued in batch.drain(..) {
            if queued.is_redirected {
                (queued.request.reply)(Err(Refusal::Unavailable));
            } else {
                queued.is_redirected = true;
                shards.queue(queued);
            }
        }
        tokio::time::sleep(REREAD_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_ranges() {
        assert_eq!(parse_slots("0-2, 7"), Some(vec![0, 1, 2, 7]));
        assert_eq!(parse_slots(""), Some(vec![]));
        assert_eq!(parse_slots("3-1"), None);
        assert_eq!(parse_slots("1000-1024"), None);
    }
}
