//! How often something may be done, counted over the cluster.

pub mod check_rate;
pub mod login_failures;
