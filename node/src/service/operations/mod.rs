//! What operators see of a node, and the sweeps over what dead nodes left.

pub mod check_health;
pub mod measure_queues;
pub mod sweep;
