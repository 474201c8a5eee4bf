//! Says how far events are on their way, from the outboxes to the groups that read streams, and keeps streams of programs outside
//! within their bytes.

use std::sync::Arc;
use std::time::Duration;

use herald_router::StreamState;
use metrics::gauge;

use super::outboxes::outboxes;
use crate::app::App;
use crate::domain::topic::OWN_STREAM;
use crate::memory::subscriptions::Outside;
use crate::storage::outbox;

const INTERVAL: Duration = Duration::from_secs(5);
/// Rows that are counted; more are as many.
const ROWS_MAX: i64 = 100_000;
/// Groups of one stream that are shown: programs outside make as many as they like.
const GROUPS_MAX: usize = 20;

/// Until the node stops. While nobody subscribes there is nothing to measure.
pub async fn measure_topics(app: Arc<App>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = app.tasks.stopping() => return,
        }
        if app.subscriptions.has_any() {
            measure(&app).await;
        }
    }
}

/// What cannot be asked keeps the value it had.
async fn measure(app: &App) {
    for database in outboxes(app) {
        if let Ok((rows, oldest_s)) = outbox::measure_waiting(database, ROWS_MAX).await {
            let name = database.name().to_owned();
            gauge!("herald_topics_waiting", "database" => name.clone()).set(as_gauge(rows.unsigned_abs()));
            gauge!("herald_topics_waiting_seconds", "database" => name).set(oldest_s);
        }
    }
    if let Ok(state) = app.router.measure_topics(OWN_STREAM).await {
        show(OWN_STREAM, &state);
    }
    for outside in app.subscriptions.outside() {
        if let Ok(state) = app.router.measure_topics(&outside.name).await {
            show(&outside.name, &state);
            keep_within_bytes(app, outside, &state).await;
        }
    }
}

fn show(stream: &str, state: &StreamState) {
    gauge!("herald_topics_stream_entries", "stream" => stream.to_owned()).set(as_gauge(state.entries));
    gauge!("herald_topics_stream_bytes", "stream" => stream.to_owned()).set(as_gauge(state.bytes));
    for group in state.groups.iter().take(GROUPS_MAX) {
        let labels = [("stream", stream.to_owned()), ("group", group.name.clone())];
        gauge!("herald_topics_group_unread", &labels).set(as_gauge(group.unread));
        gauge!("herald_topics_group_pending", &labels).set(as_gauge(group.pending));
    }
}

/// Entries are taken to be of one size. Between two looks a stream may be larger by what comes in that time.
async fn keep_within_bytes(app: &App, outside: &Outside, state: &StreamState) {
    if state.bytes <= outside.bytes_max {
        return;
    }
    let kept = u128::from(state.entries) * u128::from(outside.bytes_max) / u128::from(state.bytes);
    if let Ok(gone) = app.router.trim_topics(&outside.name, u64::try_from(kept).unwrap_or(0)).await {
        metrics::counter!("herald_topics_trimmed_total", "stream" => outside.name.clone()).increment(gone);
    }
}

fn as_gauge(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
