//! The scenarios: each makes its plan, runs it and reports.

mod connect;
mod direct;
mod group;
mod idle;
mod opened;
mod storm;

pub use connect::{ConnectReport, connect};
pub use direct::direct;
pub use group::group;
pub use idle::{IdleReport, idle};
pub use opened::opening_of;
pub use storm::{StormReport, storm};
