//! What this node remembers and its services share: bounded, without I/O, and all of it may be lost. What a memory lacks is read
//! again, or asked of the one who knows.

pub mod away;
pub mod burials;
pub mod foreign_users;
pub mod gates;
pub mod health;
pub mod known_conversations;
pub mod limits;
pub mod login_failures;
pub mod members;
pub mod pairs;
pub mod presence;
pub mod rates;
pub mod search_notes;
pub mod sessions;
pub mod standing;
pub mod subscriptions;
pub mod told_broadcasts;
pub mod unread;
pub mod used_tokens;
