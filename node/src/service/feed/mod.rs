//! What all nodes must learn: ended logins, disabled users, settings. It goes through the directory's feed of changes.

pub mod follow_changes;
pub mod load_settings;
pub mod load_subscriptions;
pub mod tell_broadcasts;
mod tell_notified;
