//! Sends a message on to other conversations, with its origin. Each of them is judged as a send, and all are judged before any is
//! sent. What fails between the two (a block that comes meanwhile, a database that goes away) leaves some sent; the same `temp_id`
//! again sends the rest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::send_message::{meet_receiver, send_admitted};
use super::view_messages::{MessageView, view_messages};
use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome};
use crate::domain::message::{ForwardedFrom, Mentions, Message, MessageType, NewMessage};
use crate::domain::{Body, ConversationId, ConversationRef, Entry, MessageId, Refusal, UserId};
use crate::error::{Error, Result};
use crate::service::conversations::resolve::resolve;
use crate::service::limits::check_rate::{self, Rate, SendToken};
use crate::storage::ShardId;
use crate::storage::shard::lane::Request;
use crate::storage::shard::read_entries::read_by_ids;
use crate::storage::shard::read_message::read_message;

/// What a target says to the forwarding.
enum Standing {
    /// It was forwarded there before, as this.
    Sent(MessageId),
    MaySend,
    Refused(Refusal),
}

/// Forwards a message to these conversations, each named once. Answers the new messages, in their order.
pub async fn forward_message(
    app: &Arc<App>,
    actor: Actor,
    message: MessageId,
    targets: &[ConversationId],
    temp_id: String,
) -> Result<Vec<MessageView>> {
    let mut tokens = take_tokens(app, actor.id, targets.len()).await?;
    let outcome = forward_with(app, &actor, message, targets, temp_id, &mut tokens).await;
    tokens.taken.into_iter().for_each(SendToken::give_back);
    view(app, actor.id, &outcome?).await
}

/// One token for each target, as far as there are any.
struct Tokens {
    taken: Vec<SendToken>,
    missing: Option<Refusal>,
}

async fn take_tokens(app: &Arc<App>, user: UserId, wanted: usize) -> Result<Tokens> {
    let mut taken = Vec::with_capacity(wanted);
    while taken.len() < wanted {
        match check_rate::check_send_now(app, user).await {
            Rate::Allowed(one) => taken.push(one),
            Rate::Over { retry_after_ms } => {
                return Ok(Tokens { taken, missing: Some(Refusal::RateLimited { retry_after_ms }) });
            }
            Rate::Refused { retry_after_ms } => {
                taken.into_iter().for_each(SendToken::give_back);
                return Err(Refusal::RateLimited { retry_after_ms }.into());
            }
        }
    }
    Ok(Tokens { taken, missing: None })
}

type SentTo = (ConversationRef, MessageId);

/// The messages made, or made before. Tokens that this did not need are left.
async fn forward_with(
    app: &Arc<App>,
    actor: &Actor,
    message: MessageId,
    targets: &[ConversationId],
    temp_id: String,
    tokens: &mut Tokens,
) -> Result<Vec<SentTo>> {
    let (new, refused) = match read_source(app, actor.id, message).await {
        Ok(body) => (NewMessage { temp_id, message: body }, None),
        // Forwarded before it was recalled or left, it is answered all the same: a repeat goes by the origin alone.
        Err(Error::Refused(refusal)) => (NewMessage { temp_id, message: only_origin(message) }, Some(refusal)),
        Err(error) => return Err(error),
    };
    let checks = targets.iter().map(|target| check(app, actor, *target, &new));
    let standings = try_join_all(checks).await?;
    let is_repeat = standings.iter().all(|(_, standing)| matches!(standing, Standing::Sent(_)));
    if !is_repeat {
        if let Some(refusal) = tokens.missing.clone().or(refused) {
            return Err(refusal.into());
        }
        for (_, standing) in &standings {
            if let Standing::Refused(refusal) = standing {
                return Err(refusal.clone().into());
            }
        }
    }
    if is_repeat && tokens.missing.is_some() {
        check_rate::count_repeat(app, actor.id).map_err(|retry_after_ms| Refusal::RateLimited { retry_after_ms })?;
    }
    let sends: Vec<_> = standings
        .into_iter()
        .map(|(conversation, standing)| {
            let token = if matches!(standing, Standing::Sent(_)) { None } else { tokens.taken.pop() };
            let new = &new;
            async move {
                match (conversation, standing, token) {
                    (Some(conversation), Standing::Sent(id), _) => Ok((conversation, id)),
                    (Some(conversation), _, Some(token)) => {
                        let sent = send_admitted(app, actor.clone(), conversation, new.clone(), token).await?;
                        Ok((conversation, sent.message_id()))
                    }
                    _ => Err(Error::from(Refusal::NotFound)),
                }
            }
        })
        .collect();
    // All of them come to their end before one that failed is told.
    join_all(sends).await.into_iter().collect()
}

/// What is sent on of a message: all that it says, but nobody whom it mentions and nothing that it quotes.
async fn read_source(app: &App, reader: UserId, message: MessageId) -> Result<Message> {
    let shard = app.shards.of(message.conversation())?;
    let (_, entry) = read_message(shard, message, reader, false).await?.ok_or(Refusal::NotFound)?;
    let Body::Message(body) = entry.body else { return Err(Refusal::NotFound.into()) };
    if body.recalled.is_some() {
        return Err(Refusal::NotEditable.into());
    }
    let origin = ForwardedFrom { message_id: message, sender_id: entry.sender_id, sender_name: entry.sender_name };
    Ok(Message {
        message_type: body.message_type,
        content: body.content,
        file_id: body.file_id,
        metadata: body.metadata,
        forwarded_from: Some(origin),
        ..only_origin(message)
    })
}

fn only_origin(message: MessageId) -> Message {
    let origin = ForwardedFrom { message_id: message, sender_id: UserId::ALL, sender_name: String::new() };
    Message {
        message_type: MessageType::Text,
        content: None,
        file_id: None,
        reply_to: None,
        forwarded_from: Some(origin),
        mentions: Mentions::None,
        metadata: None,
        edited: None,
        recalled: None,
    }
}

/// Asks a target's lane whether the message may be sent there, or was.
async fn check(
    app: &Arc<App>,
    actor: &Actor,
    target: ConversationId,
    new: &NewMessage,
) -> Result<(Option<ConversationRef>, Standing)> {
    let Some(conversation) = resolve(app, actor.id, target).await? else {
        return Ok((None, Standing::Refused(Refusal::NotFound)));
    };
    let receiver = match meet_receiver(app, actor.id, &conversation).await {
        Ok(refusal) => refusal,
        Err(Error::Refused(refusal)) => Some(refusal),
        Err(error) => return Err(error),
    };
    let command = Command::CheckSend { message: new.clone() };
    let request = Request { conversation, actor: actor.clone(), command, origin: None, reply: Box::new(|_| {}) };
    let standing = match (app.shards.run(request).await, receiver) {
        (Ok(Outcome::Sent { seq, .. }), _) => Standing::Sent(target.message(seq)),
        (Ok(_), None) => Standing::MaySend,
        (_, Some(refusal)) | (Err(refusal), None) => Standing::Refused(refusal),
    };
    Ok((Some(conversation), standing))
}

/// The messages made, as their sender sees them.
async fn view(app: &App, sender: UserId, sent: &[SentTo]) -> Result<Vec<MessageView>> {
    let mut by_shard: BTreeMap<ShardId, Vec<MessageId>> = BTreeMap::new();
    for (conversation, id) in sent {
        by_shard.entry(app.shards.of(conversation.id())?.id).or_default().push(*id);
    }
    let reads = by_shard.iter().filter_map(|(id, ids)| Some((app.shards.get(*id)?, ids)));
    let reads = reads.map(async |(shard, ids)| read_by_ids(shard, ids).await);
    let entries = try_join_all(reads).await?.into_iter().flatten();
    let conversations: HashMap<_, _> =
        sent.iter().map(|(conversation, _)| (conversation.id(), *conversation)).collect();
    let with = |entry: Entry| Some((*conversations.get(&entry.id.conversation())?, entry));
    let mut views = view_messages(app, sender, entries.filter_map(with).collect()).await?;
    views.sort_by_key(|view| sent.iter().position(|(_, id)| *id == view.entry.id));
    Ok(views)
}
