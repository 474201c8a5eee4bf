//! The writer lane: one connection, one task, the only writer of entries. See `README.md` of the node for its invariants.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::crash::CrashPoint;
use super::open::Providers;
use super::{Shard, ShardId};
use crate::domain::command::{Actor, Command, ConversationCommit, Outcome};
use crate::domain::{ConversationRef, Refusal, SessionId};
use crate::storage::StorageError;
use crate::tasks::Tasks;

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

/// A request in a lane's queue.
#[derive(Debug)]
pub struct Queued {
    pub request: Request,
    pub(super) queued_at: Instant,
    /// It was sent to another shard before: the map of slots is not read for it again.
    pub(super) is_redirected: bool,
}

impl Queued {
    pub(super) fn new(request: Request) -> Self {
        Self { request, queued_at: Instant::now(), is_redirected: false }
    }
}

/// What a lane works with.
pub(super) struct LaneContext {
    pub shard: Arc<Shard>,
    pub providers: Providers,
    pub crash: CrashPoint,
    /// Requests whose slot this shard does not hold.
    pub misdirected: mpsc::Sender<Queued>,
    pub commits: mpsc::Sender<Commit>,
    pub tasks: Tasks,
}

/// The lane's task.
pub(super) fn run(
    context: LaneContext,
    url: &str,
    mut queue: mpsc::Receiver<Queued>,
) -> Result<impl Future<Output = ()> + Send + 'static, StorageError> {
    let config = crate::storage::pool::parse_url(url)?;
    Ok(async move {
        let _ = (context, config);
        while let Some(queued) = queue.recv().await {
            (queued.request.reply)(Err(Refusal::Unavailable));
        }
    })
}
