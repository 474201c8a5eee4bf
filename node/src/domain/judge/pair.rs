//! Blocks and friendship: the state of a pair, by which its sends are judged.

use super::model::{Book, Conversation, Detail, Pair};
use super::position::touch_own;
use super::send::{is_low, require_unblocked};
use super::{Asked, Verdict, require_part};
use crate::domain::command::{Outcome, PairCommand};
use crate::domain::{ConversationRef, Refusal, UserId};

/// A change raises the version; what changes nothing is answered with the state as it is.
pub(super) fn change(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    command: PairCommand,
) -> Verdict {
    require_part(book, conversation, asked)?;
    let Detail::Pair(pair) = &mut conversation.detail else { return Err(Refusal::NotFound) };
    let before = pair.state(book.epoch, book.now);
    let has_changed = change_pair(conversation.reference, pair, asked.actor.id, command)?;
    let state = pair.state(book.epoch, book.now);
    conversation.is_changed |= has_changed;
    if (before.low_blocks_high, before.high_blocks_low) != (state.low_blocks_high, state.high_blocks_low) {
        // A block hides read positions, which are in the pages of both.
        touch_own(book, conversation, asked);
    }
    Ok(Outcome::Pair { before, state, has_changed })
}

/// Also for a look before the write, which spares what would come to nothing. Answers whether anything is different then.
pub fn change_pair(
    reference: ConversationRef,
    pair: &mut Pair,
    actor: UserId,
    command: PairCommand,
) -> Result<bool, Refusal> {
    let is_low = is_low(reference, actor);
    let before = pair.flags();
    match command {
        PairCommand::Block => {
            pair.sides(is_low).0.blocks_other = true;
            pair.settle(false);
        }
        PairCommand::Unblock => pair.sides(is_low).0.blocks_other = false,
        PairCommand::AskFriend => {
            require_unblocked(reference, pair, actor)?;
            if pair.is_friends {
                return Err(Refusal::AlreadyFriends);
            }
            if pair.sides(is_low).1.asks {
                pair.settle(true);
            } else {
                pair.sides(is_low).0.asks = true;
            }
        }
        // A block has ended what was asked.
        PairCommand::AcceptFriend => {
            if !pair.is_friends {
                require_asked(pair, is_low)?;
                pair.settle(true);
            }
        }
        PairCommand::RejectFriend => {
            require_asked(pair, is_low)?;
            pair.settle(false);
        }
        PairCommand::EndFriend => {
            if !pair.is_friends && !pair.sides(is_low).0.asks {
                return Err(Refusal::NotFound);
            }
            pair.settle(false);
        }
        PairCommand::SetFriends { is_friends } => {
            if is_friends {
                require_unblocked(reference, pair, actor)?;
            }
            pair.settle(is_friends);
        }
    }
    let has_changed = before != pair.flags();
    pair.version += i64::from(has_changed);
    Ok(has_changed)
}

/// There is a request of the other's to answer.
fn require_asked(pair: &mut Pair, is_low: bool) -> Result<(), Refusal> {
    if pair.sides(is_low).1.asks { Ok(()) } else { Err(Refusal::NotFound) }
}
