//! Ids and rules as types and pure functions. No I/O here.

pub mod account;
pub mod audit;
pub mod bucket;
pub mod command;
pub mod conversation;
pub mod cursor;
pub mod entry;
pub mod entry_event;
pub mod event;
pub mod friend_request;
pub mod gate;
pub mod ids;
pub mod invite;
pub mod judge;
pub mod limits;
pub mod member_set;
pub mod message;
pub mod notification;
pub mod patch;
pub mod profile;
pub mod reactions;
pub mod refusal;
pub mod roles;
pub mod rotation;
pub mod schema;
pub mod search;
pub mod search_name;
pub mod send;
pub mod settings;
pub mod status;
pub mod sync;
pub mod template;
pub mod text;
pub mod timestamp;
pub mod topic;

pub use conversation::{ConversationKind, ConversationRef, Role};
pub use entry::{Body, Entry, EntryKind};
pub use ids::{
    BootId, ConversationId, InviteId, InviteSecret, JoinToken, LoginId, MessageId, NodeId, Seq, SessionId, Slot, UserId,
};
pub use refusal::{FieldError, Refusal};
pub use timestamp::Timestamp;
