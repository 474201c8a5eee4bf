//! The end of a sync.

use std::collections::BTreeSet;

use crate::app::App;
use crate::hub::SessionHandle;
use crate::memory::away::Lost;
use crate::protocol::sync::complete;
use crate::storage::ShardId;

/// Says that it is all, or that some could not be read: then the session hears of it when they can.
pub async fn finish_sync(
    app: &App,
    session: &SessionHandle,
    frame_id: Option<&str>,
    cursor: Option<&str>,
    lost: &BTreeSet<ShardId>,
) {
    if session.send_paced(complete(frame_id, cursor, !lost.is_empty())).await.is_ok() {
        for id in lost {
            app.away.wait_for(Lost::Shard(*id), session.id);
        }
    }
}
