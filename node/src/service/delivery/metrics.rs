//! Handles of the metrics that delivery moves; made once, so that counting costs a few nanoseconds.

use std::sync::LazyLock;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub struct DeliveryMetrics {
    /// Frames of entries handed to sessions.
    pub delivered: Counter,
    /// From the commit's time to the handing to sessions of this node.
    pub delivery_seconds: Histogram,
    /// Requests answered, from their batch's start to the reply.
    pub accepted: Counter,
    pub batch_requests: Histogram,
    pub gate_fills: Counter,
    pub repairs: Counter,
    pub resyncs: Counter,
    pub gates: Gauge,
    pub route_seconds: Histogram,
}

pub static METRICS: LazyLock<DeliveryMetrics> = LazyLock::new(|| DeliveryMetrics {
    delivered: counter!("herald_deliveries_total"),
    delivery_seconds: histogram!("herald_delivery_seconds"),
    accepted: counter!("herald_requests_accepted_total"),
    batch_requests: histogram!("herald_batch_requests"),
    gate_fills: counter!("herald_gate_fills_total"),
    repairs: counter!("herald_repairs_total"),
    resyncs: counter!("herald_resyncs_total"),
    gates: gauge!("herald_gates"),
    route_seconds: histogram!("herald_route_lookup_seconds"),
});
