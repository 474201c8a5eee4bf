//! Sending a message: a repeat first, then the reasons to refuse in the contract's order.

use super::model::{Book, Conversation, Detail, Pair, Prior};
use super::{Asked, Verdict, require_part};
use crate::domain::command::Outcome;
use crate::domain::message::{Mentions, NewMessage};
use crate::domain::{Body, ConversationRef, Refusal, Role, UserId};

pub(super) fn send(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    new: &NewMessage,
    over_rate_ms: Option<u64>,
) -> Verdict {
    let sent_hash = new.sent_hash();
    if let Some(first) = find_first(book, conversation, asked, &new.temp_id, sent_hash) {
        return first;
    }
    if let Some(retry_after_ms) = over_rate_ms {
        return Err(Refusal::RateLimited { retry_after_ms });
    }
    require_part(book, conversation, asked)?;
    require_references(book, conversation, asked, new)?;
    require_permission(book, conversation, asked)?;

    let body = Body::Message(Box::new(new.message.clone()));
    let fresh = book.append(conversation, asked, body)?;
    fresh.entry.temp_id = Some(new.temp_id.clone());
    fresh.sent_hash = sent_hash;
    let (id, created_at, ordinal) = (fresh.entry.id, fresh.entry.created_at, fresh.entry.ordinal);
    let place = book.entries.len() - 1;
    book.priors.entry(asked.client_key).or_default().push(Prior::Fresh(place));

    // One's own message is read by oneself, and all before it.
    match &mut conversation.detail {
        Detail::Pair(pair) => {
            let (own, _) = pair.sides(is_low(conversation.reference, asked.actor.id));
            own.has_written = true;
            own.read_seq = id.seq();
            own.read_ordinal = ordinal;
            own.has_moved = true;
        }
        Detail::Group(_) => {
            if let Some(member) = book.active_member_mut(conversation.id(), asked.actor.id) {
                member.read_seq = id.seq();
                member.read_ordinal = ordinal;
                member.is_changed = true;
                member.has_moved = true;
            }
        }
    }
    note_mentions(book, conversation, asked, &new.message.mentions);
    Ok(Outcome::Sent { seq: id.seq(), created_at, is_repeat: false })
}

/// What [`send`] would say, without sending.
pub(super) fn check(book: &Book, conversation: &mut Conversation, asked: &Asked<'_>, new: &NewMessage) -> Verdict {
    if let Some(first) = find_first(book, conversation, asked, &new.temp_id, new.sent_hash()) {
        return first;
    }
    require_part(book, conversation, asked)?;
    require_references(book, conversation, asked, new)?;
    require_permission(book, conversation, asked)?;
    Ok(Outcome::Nothing)
}

/// The first answer to this `temp_id`, whatever has changed since; `temp_id_reused` where something else was sent with it.
fn find_first(
    book: &Book,
    conversation: &Conversation,
    asked: &Asked<'_>,
    temp_id: &str,
    sent_hash: i64,
) -> Option<Verdict> {
    let (seq, created_at, first_hash) = book.priors.get(&asked.client_key)?.iter().find_map(|prior| match prior {
        Prior::Stored { id, sender, temp_id: first, sent_hash, created_at } => {
            let is_it = *sender == asked.actor.id && first == temp_id && id.conversation() == conversation.id();
            is_it.then_some((id.seq(), *created_at, *sent_hash))
        }
        Prior::Fresh(place) => {
            let fresh = book.entries.get(*place)?;
            let entry = &fresh.entry;
            let is_it = entry.sender_id == asked.actor.id
                && entry.temp_id.as_deref() == Some(temp_id)
                && entry.id.conversation() == conversation.id();
            is_it.then_some((entry.seq(), entry.created_at, fresh.sent_hash))
        }
    })?;
    Some(if first_hash == sent_hash {
        Ok(Outcome::Sent { seq, created_at, is_repeat: true })
    } else {
        Err(Refusal::TempIdReused)
    })
}

/// A quoted message is one of this conversation that the sender may see. There are no files yet.
fn require_references(
    book: &Book,
    conversation: &Conversation,
    asked: &Asked<'_>,
    new: &NewMessage,
) -> Result<(), Refusal> {
    if new.message.file_id.is_some() {
        return Err(Refusal::NotFound);
    }
    let Some(quoted) = new.message.reply_to else { return Ok(()) };
    let is_seen = quoted.conversation() == conversation.id()
        && book.target(quoted).is_some_and(|target| target.message.is_some())
        && book.members.get(&(conversation.id(), asked.actor.id)).is_none_or(|member| member.first_seq <= quoted.seq());
    if is_seen { Ok(()) } else { Err(Refusal::NotFound) }
}

/// Blocks, friendship, the limit of first messages; mutes.
fn require_permission(book: &Book, conversation: &mut Conversation, asked: &Asked<'_>) -> Result<(), Refusal> {
    let policy = book.policy;
    let id = conversation.id();
    match &mut conversation.detail {
        Detail::Pair(pair) => {
            let is_friends = pair.is_friends;
            require_unblocked(conversation.reference, pair, asked.actor.id)?;
            let (own, other) = pair.sides(is_low(conversation.reference, asked.actor.id));
            if policy.require_friendship && !is_friends {
                return Err(Refusal::NotFriends);
            }
            if policy.enable_first_message_limit && !is_friends && own.has_written && !other.has_written {
                return Err(Refusal::FirstMessageLimit);
            }
            Ok(())
        }
        Detail::Group(group) => {
            let member = book.active_member(id, asked.actor.id).ok_or(Refusal::NotFound)?;
            let is_silenced = member.muted_until.is_some_and(|until| until > book.now)
                || (group.is_muted && member.role == Role::Member);
            if is_silenced { Err(Refusal::Muted) } else { Ok(()) }
        }
    }
}

/// Neither of a pair blocks the other; the actor's own block is named first.
pub(super) fn require_unblocked(reference: ConversationRef, pair: &mut Pair, actor: UserId) -> Result<(), Refusal> {
    let (own, other) = pair.sides(is_low(reference, actor));
    if own.blocks_other {
        return Err(Refusal::Blocking);
    }
    if other.blocks_other {
        return Err(Refusal::Blocked);
    }
    Ok(())
}

pub(super) fn is_low(reference: ConversationRef, user: UserId) -> bool {
    matches!(reference, ConversationRef::Direct { low, .. } if low == user)
}

/// Rows by which mentions are counted. In a pair only the other can be mentioned; oneself never counts.
fn note_mentions(book: &mut Book, conversation: &Conversation, asked: &Asked<'_>, mentions: &Mentions) {
    let id = conversation.id().message(conversation.last_seq);
    let users: &[UserId] = match mentions {
        Mentions::None => return,
        Mentions::All => &[UserId::ALL],
        Mentions::Users(users) => users,
    };
    let peer = conversation.reference.peer_of(asked.actor.id);
    let first = book.mentions.len();
    for user in users {
        let counts = *user != asked.actor.id && (peer.is_none_or(|peer| peer == *user) || *user == UserId::ALL);
        if counts {
            book.mentions.push((id, *user));
        }
    }
    // A list may name a user twice; the table's key does not take that.
    let mut of_this = book.mentions.split_off(first);
    of_this.sort_unstable();
    of_this.dedup();
    book.mentions.append(&mut of_this);
}
