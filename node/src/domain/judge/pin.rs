//! Messages pinned for all of a conversation: by either of a pair, by owner and admins of a group. What would change nothing makes no
//! entry. A recalled message is pinned no more.

use super::alter::{find_seen, require_not_blocked};
use super::group::require_role;
use super::model::{Book, Conversation, Detail, PinState};
use super::{Asked, Verdict};
use crate::domain::command::Outcome;
use crate::domain::entry::Pin;
use crate::domain::{Body, MessageId, Refusal, Role, Seq};

/// Pinned messages of a conversation. All of them are read with every change.
pub const PINS_MAX: usize = 50;

pub(super) fn pin(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, seq: Seq, add: bool) -> Verdict {
    let seen = find_seen(book, conversation, asked, seq)?;
    if matches!(conversation.detail, Detail::Group(_)) {
        require_role(book, conversation, asked, Role::Admin)?;
    }
    if add && seen.message.recalled.is_some() {
        return Err(Refusal::NotEditable);
    }
    if book.is_pinned(seen.id) == add {
        return Ok(Outcome::Nothing);
    }
    if add {
        require_not_blocked(conversation, asked)?;
        if book.pin_count(conversation.id()) >= PINS_MAX {
            return Err(Refusal::TooManyPins);
        }
    }
    let fresh = book.append(conversation, asked, Body::Pin(Pin { message_seq: seq, add }))?;
    let (at, entry_seq) = (fresh.entry.created_at, fresh.entry.seq());
    let state = PinState { by: asked.actor.id, at, seq: entry_seq, is_present: add, is_changed: true };
    book.pins.insert(seen.id, state);
    Ok(Outcome::Wrote { seq: entry_seq, created_at: at })
}

/// Without an entry of its own: the recall says it.
pub(super) fn unpin_recalled(book: &mut Book, message: MessageId) {
    if let Some(state) = book.pins.get_mut(&message).filter(|state| state.is_present) {
        state.is_present = false;
        state.is_changed = true;
    }
}
