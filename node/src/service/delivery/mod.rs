//! From a commit to every session that is to see it, and signals, which are no entries.

pub mod deliver;
pub mod fill;
pub mod item_of_stored;
pub mod metrics;
pub mod show_entry;
pub mod signal;
