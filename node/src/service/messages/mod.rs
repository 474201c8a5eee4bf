//! Messages: sent, changed, read back. `send_message` answers "where is a message sent?".

mod await_reply;
pub mod change_message;
pub mod edit_message;
pub mod forward_message;
pub mod hide_message;
pub mod index_messages;
pub mod list_pins;
pub mod list_receipts;
pub mod pin_message;
pub mod react;
pub mod read_history;
pub mod read_message;
pub mod recall_message;
pub mod search_messages;
pub mod send_message;
pub mod view_messages;
