//! What changes a message that stands already: recall, edit, reaction. Each is an entry of its own and changes the message's row.
//! What would change nothing is answered before any window is looked at, and makes no entry. Hiding a message for oneself makes none
//! either: it is nobody else's business.

use super::model::{Book, Conversation, Detail, ReactionKey, ReactionState};
use super::pin::unpin_recalled;
use super::position::touch_own;
use super::send::require_unblocked;
use super::{Asked, Verdict, require_part};
use crate::domain::command::Outcome;
use crate::domain::entry::{Edit, Reaction, Recall};
use crate::domain::message::{Edited, Message, MessageType, Recalled};
use crate::domain::{Body, MessageId, Refusal, Role, Seq, Timestamp, UserId};

/// The message that a command names, as the actor may see it.
pub(super) struct Seen {
    pub id: MessageId,
    sender: UserId,
    created_at: Timestamp,
    pub message: Message,
}

pub(super) fn find_seen(
    book: &Book,
    conversation: &Conversation,
    asked: &Asked<'_>,
    seq: Seq,
) -> Result<Seen, Refusal> {
    require_part(book, conversation, asked)?;
    let first_seq = book.members.get(&(conversation.id(), asked.actor.id)).map_or(Seq::ZERO, |member| member.first_seq);
    if seq < first_seq || seq > conversation.last_seq {
        return Err(Refusal::NotFound);
    }
    let id = conversation.id().message(seq);
    let target = book.target(id).ok_or(Refusal::NotFound)?;
    let message = target.message.ok_or(Refusal::NotFound)?.clone();
    Ok(Seen { id, sender: target.sender, created_at: target.created_at, message })
}

impl Seen {
    /// The answer when nothing changes: by the entry that made the present state, or by the message itself.
    fn unchanged(self, made_by: Option<(Seq, Timestamp, UserId)>) -> Outcome {
        let (seq, at, by) = made_by.unwrap_or((self.id.seq(), self.created_at, self.sender));
        Outcome::Unchanged { seq, at, by, message: Box::new(self.message) }
    }
}

/// One's own within the window; owner and admins of a group at any time, but an admin not the owner's.
pub(super) fn recall(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, seq: Seq) -> Verdict {
    let seen = find_seen(book, conversation, asked, seq)?;
    let is_own = seen.sender == asked.actor.id;
    let may_any = match &conversation.detail {
        Detail::Pair(_) => false,
        Detail::Group(group) => match book.active_member(conversation.id(), asked.actor.id).map(|member| member.role) {
            Some(Role::Owner) => true,
            Some(Role::Admin) => group.owner != Some(seen.sender),
            Some(Role::Member) | None => false,
        },
    };
    if !is_own && !may_any {
        return Err(Refusal::Forbidden);
    }
    if let Some(recalled) = seen.message.recalled {
        return Ok(seen.unchanged(Some((recalled.seq, recalled.at, recalled.by))));
    }
    if !may_any && book.now.since(seen.created_at) > book.policy.recall_window {
        return Err(Refusal::RecallWindowPassed);
    }
    let fresh = book.append(conversation, asked, Body::Recall(Recall { message_seq: seq }))?;
    let (at, entry_seq) = (fresh.entry.created_at, fresh.entry.seq());
    book.change_message(seen.id, |message| {
        message.content = None;
        message.file_id = None;
        message.metadata = None;
        message.recalled = Some(Recalled { at, by: asked.actor.id, seq: entry_seq });
    });
    unpin_recalled(book, seen.id);
    Ok(Outcome::Wrote { seq: entry_seq, created_at: at })
}

/// One's own text within the window.
pub(super) fn edit(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    seq: Seq,
    content: &str,
) -> Verdict {
    let seen = find_seen(book, conversation, asked, seq)?;
    if seen.sender != asked.actor.id {
        return Err(Refusal::Forbidden);
    }
    if seen.message.message_type != MessageType::Text || seen.message.recalled.is_some() {
        return Err(Refusal::NotEditable);
    }
    if seen.message.content.as_deref() == Some(content) {
        let by = seen.sender;
        let made_by = seen.message.edited.map(|edited| (edited.seq, edited.at, by));
        return Ok(seen.unchanged(made_by));
    }
    if book.now.since(seen.created_at) > book.policy.edit_window {
        return Err(Refusal::EditWindowPassed);
    }
    require_not_blocked(conversation, asked)?;
    let fresh = book.append(conversation, asked, Body::Edit(Edit { message_seq: seq }))?;
    let (at, entry_seq) = (fresh.entry.created_at, fresh.entry.seq());
    book.change_message(seen.id, |message| {
        message.content = Some(content.to_owned());
        message.edited = Some(Edited { at, seq: entry_seq });
    });
    let hidden_by = book.hidden_by(seen.id);
    if let Some(fresh) = book.entries.last_mut() {
        fresh.hidden_by = hidden_by;
    }
    Ok(Outcome::Wrote { seq: entry_seq, created_at: at })
}

pub(super) fn react(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    seq: Seq,
    emoji: &str,
    add: bool,
) -> Verdict {
    let seen = find_seen(book, conversation, asked, seq)?;
    if seen.message.recalled.is_some() {
        return Err(Refusal::NotEditable);
    }
    let key = ReactionKey { message: seen.id, emoji: emoji.to_owned(), user: asked.actor.id };
    let now = book.reactions.get(&key).copied();
    if now.map_or(!add, |now| now.is_present == add) {
        let created_at = seen.created_at;
        return Ok(seen.unchanged(now.map(|now| (now.seq, created_at, asked.actor.id))));
    }
    if add {
        require_not_blocked(conversation, asked)?;
    }
    let body = Body::Reaction(Reaction { message_seq: seq, emoji: emoji.to_owned(), add });
    let fresh = book.append(conversation, asked, body)?;
    let (at, entry_seq) = (fresh.entry.created_at, fresh.entry.seq());
    book.reactions.insert(key, ReactionState { is_present: add, seq: entry_seq, is_changed: true });
    Ok(Outcome::Wrote { seq: entry_seq, created_at: at })
}

/// Any message that one may see, recalled ones too. Hidden twice it stays hidden.
pub(super) fn hide(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, seq: Seq) -> Verdict {
    let seen = find_seen(book, conversation, asked, seq)?;
    book.hides.push((asked.actor.id, seen.id));
    touch_own(book, conversation, asked);
    Ok(Outcome::Nothing)
}

/// A block stops what carries something new to the other: a new text, a reaction or a pin, but not a recall.
pub(super) fn require_not_blocked(conversation: &mut Conversation, asked: &Asked<'_>) -> Result<(), Refusal> {
    match &mut conversation.detail {
        Detail::Pair(pair) => require_unblocked(conversation.reference, pair, asked.actor.id),
        Detail::Group(_) => Ok(()),
    }
}
