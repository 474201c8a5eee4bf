//! What a client gets that was away: a sync, or offline delivery.

pub mod answer_sync;
pub mod deliver_offline;
pub mod plan_sync;
pub mod send_pages;
pub mod shown;
