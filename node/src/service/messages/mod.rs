//! Messages: sent, changed, read back. `send_message` answers "where is a message sent?".

pub mod change_message;
pub mod edit_message;
pub mod react;
pub mod read_history;
pub mod read_message;
pub mod recall_message;
pub mod send_message;
