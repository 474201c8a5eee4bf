//! Where a message is sent, by frame or by REST: its place is found, the rate asked, a first message looked up, and the rest is the
//! writer lane's: it decides under the conversation's lock, commits, hands over to delivery, and then the reply is called.

use std::sync::{Arc, LazyLock};

use metrics::{Counter, counter};

use super::await_reply::await_reply;
use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome};
use crate::domain::ids::SEQ_MAX;
use crate::domain::limits::{Limit, LimitKey};
use crate::domain::message::NewMessage;
use crate::domain::send::{SendRequest, SendTo};
use crate::domain::{ConversationId, ConversationKind, ConversationRef, MessageId, Refusal, Seq, Timestamp, UserId};
use crate::error::{Error, Result};
use crate::protocol::codes::problem_of;
use crate::service::conversations::resolve::resolve;
use crate::service::limits::check_limit::check_limit;
use crate::service::limits::check_rate::{self, Rate, SendToken};
use crate::storage::directory::listing::{self, Receiver};
pub use crate::storage::shard::lane::Origin;
use crate::storage::shard::lane::Request;
use crate::storage::shard::read_members::read_some_members;

/// A message that is durable.
#[derive(Clone, Debug)]
pub struct Sent {
    pub temp_id: String,
    pub conversation: ConversationRef,
    pub seq: Seq,
    pub created_at: Timestamp,
    /// This `temp_id` was sent before, and this is its first answer.
    pub is_repeat: bool,
}

impl Sent {
    pub fn message_id(&self) -> MessageId {
        self.conversation.id().message(self.seq)
    }
}

struct SendMetrics {
    accepted: Counter,
    repeated: Counter,
}

static METRICS: LazyLock<SendMetrics> = LazyLock::new(|| SendMetrics {
    accepted: counter!("herald_messages_accepted_total"),
    repeated: counter!("herald_messages_repeated_total"),
});

fn count(result: &Result<Sent, Refusal>) {
    match result {
        Ok(sent) if sent.is_repeat => METRICS.repeated.increment(1),
        Ok(_) => METRICS.accepted.increment(1),
        Err(refusal) => {
            counter!("herald_messages_rejected_total", "reason" => problem_of(refusal).code).increment(1);
        }
    }
}

/// What becomes of a send that has been let through to the lane.
struct Admitted {
    conversation: ConversationRef,
    /// Only a repeat is answered, everything else is refused with this.
    unless_repeat: Option<Refusal>,
    /// To be given back for a repeat. None: over the rate.
    token: Option<SendToken>,
}

/// Sends a message. Returns when it is queued, so that one connection's sends keep their order; `reply` is called exactly once, when
/// it is durable or refused.
pub async fn send_message(
    app: &Arc<App>,
    sender: Actor,
    request: SendRequest,
    origin: Option<Origin>,
    reply: impl FnOnce(Result<Sent, Refusal>) + Send + 'static,
) {
    let reply = |result: Result<Sent, Refusal>| {
        count(&result);
        reply(result);
    };
    match admit(app, sender.id, request.to).await {
        Ok(admitted) => submit(app, sender, request.message, admitted, origin, reply),
        Err(error) => reply(Err(error.into_refusal())),
    }
}

/// The same, waiting for the answer.
pub async fn send_and_wait(app: &Arc<App>, sender: Actor, request: SendRequest) -> Result<Sent> {
    let (reply, answer) = await_reply();
    send_message(app, sender, request, None, reply).await;
    answer.await
}

/// Sends what was let through before, with the token that was taken for it, and waits.
pub(super) async fn send_admitted(
    app: &Arc<App>,
    sender: Actor,
    conversation: ConversationRef,
    message: NewMessage,
    token: SendToken,
) -> Result<Sent> {
    let (reply, answer) = await_reply();
    let admitted = Admitted { conversation, unless_repeat: None, token: Some(token) };
    submit(app, sender, message, admitted, None, move |result| {
        count(&result);
        reply(result);
    });
    answer.await
}

/// Everything that is decided before the lane. What is refused here for good is still looked up as a repeat, where there can be one.
async fn admit(app: &Arc<App>, sender: UserId, to: SendTo) -> Result<Admitted> {
    let place = find(app, sender, to).await?;
    let rate = check_rate::check_send(app, sender).await;
    match (place, rate) {
        (_, Rate::Refused { retry_after_ms }) | (None, Rate::Over { retry_after_ms }) => {
            Err(Refusal::RateLimited { retry_after_ms }.into())
        }
        (None, Rate::Allowed(_)) => Err(Refusal::NotFound.into()),
        (Some(conversation), Rate::Over { retry_after_ms }) => {
            let unless_repeat = Some(Refusal::RateLimited { retry_after_ms });
            Ok(Admitted { conversation, unless_repeat, token: None })
        }
        (Some(conversation), Rate::Allowed(token)) => {
            let unless_repeat = match conversation.kind() {
                ConversationKind::Direct => meet_receiver(app, sender, &conversation).await?,
                ConversationKind::Group => check_group(app, sender, conversation.id()).await?,
            };
            Ok(Admitted { conversation, unless_repeat, token: Some(token) })
        }
    }
}

/// The conversation that is meant; none where it cannot exist or is not the sender's to know.
async fn find(app: &Arc<App>, sender: UserId, to: SendTo) -> Result<Option<ConversationRef>> {
    match to {
        SendTo::User(receiver) if receiver == sender => Err(Refusal::field("receiver_id", "is yourself").into()),
        SendTo::User(receiver) => Ok(Some(ConversationRef::direct(sender, receiver))),
        // Looked up, not believed: an id that a client says is a group's may be nobody's, or that of a pair.
        SendTo::Group(id) => {
            let found = resolve(app, sender, id).await?;
            Ok(found.filter(|found| found.kind() == ConversationKind::Group))
        }
        SendTo::Conversation(id) => resolve(app, sender, id).await,
        SendTo::Nowhere => Ok(None),
    }
}

/// Before what may be the first message of a pair: is there somebody to receive it, and is it listed for both? Answers why not.
pub(super) async fn meet_receiver(
    app: &App,
    sender: UserId,
    conversation: &ConversationRef,
) -> Result<Option<Refusal>> {
    let Some(receiver) = conversation.peer_of(sender) else { return Ok(None) };
    if app.standing.is_out(receiver) {
        return Ok(Some(Refusal::NotFound));
    }
    if app.known_conversations.contains(conversation.id()) {
        return Ok(None);
    }
    match listing::list_pair(&app.directory, sender, receiver, conversation.id()).await? {
        Receiver::Listed => Ok(None),
        Receiver::Out => Ok(Some(Refusal::NotFound)),
        Receiver::Unknown => Err(Refusal::NotFound.into()),
    }
}

/// Where a group takes no more messages just now: why a send is refused unless it is a repeat. Who is no member does not count, so that
/// strangers cannot silence a group.
async fn check_group(app: &App, sender: UserId, group: ConversationId) -> Result<Option<Refusal>> {
    if Limit::MessagesPerGroup.count(&app.settings.load()) == 0 {
        return Ok(None);
    }
    let is_known = app.members.get(group).is_some_and(|set| set.read().sees(sender, Seq(SEQ_MAX)));
    if !is_known && read_some_members(app.shards.of(group)?, group, &[sender]).await?.is_empty() {
        return Ok(None);
    }
    Ok(check_limit(app, Limit::MessagesPerGroup, LimitKey::Group(group)).await.err())
}

fn submit(
    app: &Arc<App>,
    sender: Actor,
    message: NewMessage,
    admitted: Admitted,
    origin: Option<Origin>,
    reply: impl FnOnce(Result<Sent, Refusal>) + Send + 'static,
) {
    let Admitted { conversation, unless_repeat, token } = admitted;
    let over_rate_ms = unless_repeat.as_ref().map(|refusal| match refusal {
        Refusal::RateLimited { retry_after_ms } => *retry_after_ms,
        _ => 0,
    });
    let (user, temp_id, app_then) = (sender.id, message.temp_id.clone(), Arc::clone(app));
    let then = move |result| match result {
        Ok(Outcome::Sent { seq, created_at, is_repeat }) => {
            if conversation.kind() == ConversationKind::Direct {
                app_then.known_conversations.add(conversation.id());
            }
            if is_repeat {
                match token {
                    Some(token) => token.give_back(),
                    None => {
                        if let Err(retry_after_ms) = check_rate::count_repeat(&app_then, user) {
                            return reply(Err(Refusal::RateLimited { retry_after_ms }));
                        }
                    }
                }
            }
            reply(Ok(Sent { temp_id, conversation, seq, created_at, is_repeat }));
        }
        Ok(other) => reply(Err(Error::internal(format!("a send came out as {other:?}")).into_refusal())),
        Err(Refusal::RateLimited { retry_after_ms }) => {
            reply(Err(unless_repeat.unwrap_or(Refusal::RateLimited { retry_after_ms })));
        }
        Err(refusal) => reply(Err(refusal)),
    };
    let command = Command::Send { message, over_rate_ms };
    app.shards.submit(Request { conversation, actor: sender, command, origin, reply: Box::new(then) });
}
