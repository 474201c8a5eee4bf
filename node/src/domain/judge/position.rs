//! What is a member's own and no entry: the read position, and settings of one conversation.

use super::model::{Book, Conversation, Detail, Personal};
use super::send::is_low;
use super::{Asked, Verdict, require_part};
use crate::domain::command::{Outcome, Position};
use crate::domain::{Refusal, Seq, Timestamp};

/// Read positions only move forward; beyond the newest is the newest.
pub(super) fn read(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, position: Position) -> Verdict {
    require_part(book, conversation, asked)?;
    let (last_seq, last_ordinal) = (conversation.last_seq, conversation.last_ordinal);
    let wanted = match position {
        Position::Newest => last_seq,
        Position::At(seq) => seq.min(last_seq),
        Position::Message(seq) => {
            require_seen_message(book, conversation, asked, seq)?;
            seq
        }
    };
    let ordinal =
        if wanted == last_seq { Some(last_ordinal) } else { book.ordinal_at(conversation.id().message(wanted)) };
    let id = conversation.id();
    // Where the entry cannot be read there is nothing to move to.
    let (read_seq, read_ordinal, has_moved) = match &mut conversation.detail {
        Detail::Pair(pair) => {
            let (own, _) = pair.sides(is_low(conversation.reference, asked.actor.id));
            let has_moved = wanted > own.read_seq && ordinal.is_some();
            if let (true, Some(ordinal)) = (has_moved, ordinal) {
                own.read_seq = wanted;
                own.read_ordinal = own.read_ordinal.max(ordinal);
                own.received_seq = own.received_seq.max(wanted);
                own.has_moved = true;
                conversation.is_changed = true;
            }
            (own.read_seq, own.read_ordinal, has_moved)
        }
        Detail::Group(_) => {
            let Some(member) = book.active_member_mut(id, asked.actor.id) else {
                return Err(Refusal::NotFound);
            };
            let has_moved = wanted > member.read_seq && wanted >= member.first_seq && ordinal.is_some();
            if let (true, Some(ordinal)) = (has_moved, ordinal) {
                member.read_seq = wanted;
                member.read_ordinal = member.read_ordinal.max(ordinal);
                member.received_seq = member.received_seq.max(wanted);
                member.is_changed = true;
                member.has_moved = true;
            }
            (member.read_seq, member.read_ordinal.max(member.first_ordinal), has_moved)
        }
    };
    if has_moved {
        book.read_marks.insert((id, asked.actor.id), read_seq);
    }
    let unread_count = (last_ordinal - read_ordinal).max(0);
    Ok(Outcome::Read { read_seq, unread_count, last_ordinal, read_ordinal, has_moved })
}

/// Whether the entry is a message, and one that the actor, who takes part, sees.
fn require_seen_message(book: &Book, conversation: &Conversation, asked: &Asked<'_>, seq: Seq) -> Result<(), Refusal> {
    let is_message = book.target(conversation.id().message(seq)).is_some_and(|target| target.message.is_some());
    let is_seen = match conversation.detail {
        Detail::Pair(_) => true,
        Detail::Group(_) => {
            book.active_member(conversation.id(), asked.actor.id).is_some_and(|member| member.first_seq <= seq)
        }
    };
    if is_message && is_seen { Ok(()) } else { Err(Refusal::NotFound) }
}

/// Nothing changes but what syncs by a cursor go by.
pub(super) fn show_anew(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>) -> Verdict {
    require_part(book, conversation, asked)?;
    touch_own(book, conversation, asked);
    Ok(Outcome::Nothing)
}

/// `None` leaves a setting as it is.
#[expect(clippy::option_option, reason = "unchanged, taken away and set are three things")]
pub(super) fn set_personal(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    is_pinned: Option<bool>,
    muted_until: Option<Option<Timestamp>>,
    read_receipts: Option<Option<bool>>,
) -> Verdict {
    require_part(book, conversation, asked)?;
    let key = (conversation.id(), asked.actor.id);
    let before = book.personals.get(&key).copied().unwrap_or_default();
    let mut after = before;
    after.is_pinned = is_pinned.unwrap_or(before.is_pinned);
    after.muted_until = muted_until.unwrap_or(before.muted_until);
    after.read_receipts = read_receipts.unwrap_or(before.read_receipts);
    if after != before {
        after.is_changed = true;
        book.personals.insert(key, after);
        touch_own(book, conversation, asked);
    }
    let Personal { is_pinned, muted_until, read_receipts, .. } = after;
    Ok(Outcome::Settings { is_pinned, muted_until, read_receipts })
}

/// Something of the actor's own has changed without an entry: `own_tx` moves, so that syncs see it, of a pair those of both.
pub(super) fn touch_own(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>) {
    match &mut conversation.detail {
        Detail::Pair(pair) => {
            pair.sides(is_low(conversation.reference, asked.actor.id)).0.has_moved = true;
            conversation.is_changed = true;
        }
        Detail::Group(_) => {
            if let Some(member) = book.active_member_mut(conversation.id(), asked.actor.id) {
                member.is_changed = true;
                member.has_moved = true;
            }
        }
    }
}
