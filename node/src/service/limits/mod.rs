//! How often something may be done, counted over the cluster.

pub mod begin_attempt;
pub mod check_limit;
pub mod check_rate;
