//! What the router counts. The handles are looked up once, since the hot path uses them.

use metrics::{Counter, Gauge, Histogram};

pub(crate) struct RouterMetrics {
    pub published: Counter,
    pub lag_seconds: Histogram,
    pub queue_bytes: Gauge,
    pub queue_dropped: Counter,
    pub lost: Counter,
    pub stale: Counter,
    pub refused: Counter,
    pub received: Counter,
    pub is_up: Gauge,
    pub round_trip_seconds: Histogram,
    pub new_boots: Counter,
    pub routes_gone: Counter,
}

impl RouterMetrics {
    pub(crate) fn new() -> Self {
        Self {
            published: metrics::counter!("herald_bus_published_total"),
            lag_seconds: metrics::histogram!("herald_bus_lag_seconds"),
            queue_bytes: metrics::gauge!("herald_bus_queue_bytes"),
            queue_dropped: metrics::counter!("herald_bus_queue_dropped_total"),
            lost: metrics::counter!("herald_bus_lost_total"),
            stale: metrics::counter!("herald_bus_stale_total"),
            refused: metrics::counter!("herald_redis_refused_total"),
            received: metrics::counter!("herald_bus_received_total"),
            is_up: metrics::gauge!("herald_redis_up"),
            round_trip_seconds: metrics::histogram!("herald_redis_round_trip_seconds"),
            new_boots: metrics::counter!("herald_router_new_boots_total"),
            routes_gone: metrics::counter!("herald_router_routes_gone_total"),
        }
    }
}
