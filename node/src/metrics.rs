//! Figures of this process: one recorder for all, rendered on the internal port. Names begin with `herald_`, labels come from
//! closed sets.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::tasks::Tasks;

/// Bounds of all histograms of times, in seconds: from a lane's round trip to a client's patience.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Bounds of histograms of numbers: batch sizes, recipients.
const COUNTS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0];
/// Histograms keep raw samples until they are tidied up.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder where none is; before it, figures are counted nowhere.
pub fn install() -> Option<&'static PrometheusHandle> {
    RECORDER
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
                .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), COUNTS))
                .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_requests".to_owned()), COUNTS));
            match builder.map(PrometheusBuilder::install_recorder) {
                Ok(Ok(handle)) => Some(handle),
                Ok(Err(error)) | Err(error) => {
                    tracing::error!(%error, "no metrics");
                    None
                }
            }
        })
        .as_ref()
}

/// All figures as text for Prometheus.
pub fn render() -> String {
    install().map(PrometheusHandle::render).unwrap_or_default()
}

/// Tidies up until the node stops.
pub async fn keep_up(tasks: Tasks) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_INTERVAL) => {}
            () = tasks.stopping() => return,
        }
        if let Some(handle) = install() {
            handle.run_upkeep();
        }
    }
}
