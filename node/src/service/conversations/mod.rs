//! Conversations of either kind as one of their members has them: found, listed, read, set.

pub mod change_settings;
pub mod count_unread;
pub mod list_conversations;
pub mod mark_read;
pub mod read_receipts;
pub mod resolve;
pub mod tell_positions;
