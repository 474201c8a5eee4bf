//! A send as a client asks for it, of the right shape: WebSocket frames and REST bodies both become one of these.

use super::ids::{ConversationId, UserId};
use super::message::NewMessage;

/// Where a message is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendTo {
    /// To the one conversation with this user, which the first message makes.
    User(UserId),
    Conversation(ConversationId),
    Group(ConversationId),
    /// An id that no conversation can have: not found, but only after the rate.
    Nowhere,
}

#[derive(Clone, Debug)]
pub struct SendRequest {
    pub to: SendTo,
    pub message: NewMessage,
}
