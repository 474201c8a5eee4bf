//! All that is a user's: the profile shown and changed, everything given out, and deleted.

pub mod change_profile;
pub mod delete_account;
pub mod export_account;
pub mod finish_deletion;
