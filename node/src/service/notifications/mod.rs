//! What users are told beside messages, and what they report.

pub mod delete_notification;
pub mod forget_old;
pub mod list_broadcasts;
pub mod list_events;
pub mod list_notifications;
pub mod notify;
pub mod read_all_notifications;
pub mod read_notification;
pub mod report_event;
pub mod send_broadcast;
