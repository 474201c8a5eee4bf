//! Blocks and friendship: the state of a pair, by which its sends are judged.

use super::model::{Book, Conversation, Detail};
use super::send::{is_low, require_unblocked};
use super::{Asked, Verdict, require_part};
use crate::domain::Refusal;
use crate::domain::command::{Outcome, PairCommand};

/// A change raises the version; what changes nothing is answered with the state as it is.
pub(super) fn change(book: &Book, conversation: &mut Conversation, asked: &Asked<'_>, command: PairCommand) -> Verdict {
    require_part(book, conversation, asked)?;
    let Detail::Pair(pair) = &mut conversation.detail else { return Err(Refusal::NotFound) };
    let is_low = is_low(conversation.reference, asked.actor.id);
    let before = (pair.low.blocks_other, pair.high.blocks_other, pair.is_friends);
    match command {
        PairCommand::Block => {
            pair.sides(is_low).0.blocks_other = true;
            pair.is_friends = false;
        }
        PairCommand::Unblock => pair.sides(is_low).0.blocks_other = false,
        PairCommand::SetFriends { is_friends } => {
            if is_friends {
                require_unblocked(conversation.reference, pair, asked.actor.id)?;
            }
            pair.is_friends = is_friends;
        }
    }
    if before != (pair.low.blocks_other, pair.high.blocks_other, pair.is_friends) {
        pair.version += 1;
        conversation.is_changed = true;
    }
    Ok(Outcome::Pair(pair.state(book.epoch, book.now)))
}
