//! The writer lane: one connection, one task, the only writer of entries. See `README.md` of the node for its invariants.

use std::fmt;
use std::time::Duration;

use super::ShardId;
use crate::domain::command::{Actor, Command, ConversationCommit, Outcome};
use crate::domain::{ConversationRef, Refusal, SessionId};

/// Told exactly once what came of a request, after its commit and after the bus has taken it (or is known to be down).
pub type Reply = Box<dyn FnOnce(Result<Outcome, Refusal>) + Send>;

/// One command on its way to the log.
pub struct Request {
    pub conversation: ConversationRef,
    pub actor: Actor,
    pub command: Command,
    /// The session that asked and the `id` of its frame: it gets its own recall, edit and reaction as the answer, and no
    /// `new_message` of its own.
    pub origin: Option<Origin>,
    pub reply: Reply,
}

#[derive(Clone, Debug)]
pub struct Origin {
    pub session: SessionId,
    pub frame_id: Option<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("conversation", &self.conversation)
            .field("actor", &self.actor.id)
            .finish_non_exhaustive()
    }
}

/// What a lane hands to delivery after each commit, in order. Delivery calls the replies.
pub struct Commit {
    pub shard: ShardId,
    pub epoch: i64,
    pub conversations: Vec<ConversationCommit>,
    /// One for each request of the batch, in its order.
    pub answers: Vec<Answer>,
    /// From the batch's first statement to the answer of COMMIT.
    pub took: Duration,
}

pub struct Answer {
    pub conversation: ConversationRef,
    pub actor: Actor,
    pub origin: Option<Origin>,
    pub result: Result<Outcome, Refusal>,
    pub reply: Reply,
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("shard", &self.shard)
            .field("conversations", &self.conversations.len())
            .finish_non_exhaustive()
    }
}
