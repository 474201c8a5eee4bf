//! Latencies in HDR histograms: three digits, up to a minute.

use crate::numbers::float;
use hdrhistogram::Histogram;
use serde::Serialize;

const LONGEST_NS: u64 = 60_000_000_000;

pub struct Latency {
    histogram: Histogram<u64>,
}

impl Latency {
    pub fn new() -> Result<Self, String> {
        let histogram =
            Histogram::new_with_bounds(1_000, LONGEST_NS, 3).map_err(|error| format!("histogram: {error}"))?;
        Ok(Self { histogram })
    }

    pub fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
    }

    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so this cannot fail.
        let _ = self.histogram.add(&other.histogram);
    }

    pub fn summary(&self) -> LatencySummary {
        let at = |quantile| float(self.histogram.value_at_quantile(quantile)) / 1e6;
        LatencySummary {
            count: self.histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: float(self.histogram.max()) / 1e6,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct LatencySummary {
    pub count: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_row_and_of_two_parts_added() {
        let mut all = Latency::new().unwrap();
        let mut upper = Latency::new().unwrap();
        for ms in 1..=500 {
            all.record(ms * 1_000_000);
            upper.record((ms + 500) * 1_000_000);
        }
        all.add(&upper);
        let summary = all.summary();
        assert_eq!(summary.count, 1000);
        assert!((summary.p50_ms - 500.0).abs() < 1.0, "{summary:?}");
        assert!((summary.p99_ms - 990.0).abs() < 2.0, "{summary:?}");
        assert!((summary.max_ms - 1000.0).abs() < 1.0, "{summary:?}");
        all.record(u64::MAX);
        assert!(all.summary().max_ms >= 60_000.0);
    }
}
