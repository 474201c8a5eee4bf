//! All that is a user's: given out, and deleted.

pub mod delete_account;
pub mod export_account;
pub mod finish_deletion;
