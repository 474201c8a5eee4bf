//! The judge: decides what comes of each command of a batch, in the lane's order, against what was read under the locks and
//! against the batch itself. No I/O, no clock, no randomness: everything it goes by is in the [`Model`] and in the requests, and
//! everything that is to be written is in the model afterwards.

mod alter;
mod group;
mod members;
pub mod model;
pub mod pair;
mod pin;
mod position;
mod send;

use uuid::Uuid;

use super::command::{Actor, Command, Outcome};
use super::conversation::ConversationRef;
use super::refusal::Refusal;
use model::{Book, Conversation, Detail, Model};

/// One request as the judge sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub conversation: ConversationRef,
    pub actor: &'a Actor,
    pub command: &'a Command,
    /// Of a send: made of sender and `temp_id`. Of others: a random operation id, the same when the request is run again.
    pub client_key: Uuid,
    /// Its index in the batch.
    pub index: usize,
}

pub type Verdict = Result<Outcome, Refusal>;

/// Judges a batch in its order; one verdict for each request. What is to be written stands in `model` then.
pub fn judge<'a>(model: &mut Model, requests: impl IntoIterator<Item = Asked<'a>>) -> Vec<Verdict> {
    let Model { conversations, book } = model;
    requests
        .into_iter()
        .map(|asked| match conversations.get_mut(&asked.conversation.id()) {
            Some(conversation) => judge_one(book, conversation, &asked),
            None => Err(Refusal::NotFound),
        })
        .collect()
}

fn judge_one(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>) -> Verdict {
    match asked.command {
        Command::Send { message, over_rate_ms } => send::send(book, conversation, asked, message, *over_rate_ms),
        Command::CheckSend { message } => send::check(book, conversation, asked, message),
        Command::Recall { message } => alter::recall(book, conversation, asked, *message),
        Command::Edit { message, content } => alter::edit(book, conversation, asked, *message, content),
        Command::React { message, emoji, add } => alter::react(book, conversation, asked, *message, emoji, *add),
        Command::Pin { message, add } => pin::pin(book, conversation, asked, *message, *add),
        Command::Hide { message } => alter::hide(book, conversation, asked, *message),
        Command::Read { position } => position::read(book, conversation, asked, *position),
        Command::Settings { is_pinned, muted_until, read_receipts } => {
            position::set_personal(book, conversation, asked, *is_pinned, *muted_until, *read_receipts)
        }
        Command::ShowAnew => position::show_anew(book, conversation, asked),
        Command::Pair(command) => pair::change(book, conversation, asked, *command),
        Command::Group(command) => group::change(book, conversation, asked, command),
    }
}

/// Whether the actor takes part in the conversation now: one of the pair, or a member of the group that stands.
fn require_part(book: &Book, conversation: &Conversation, asked: &Asked<'_>) -> Result<(), Refusal> {
    let takes_part = match (&conversation.detail, conversation.reference) {
        (Detail::Pair(_), ConversationRef::Direct { low, high, .. }) => asked.actor.id == low || asked.actor.id == high,
        (Detail::Group(group), _) => {
            group.stands(conversation.last_seq) && book.active_member(conversation.id(), asked.actor.id).is_some()
        }
        (Detail::Pair(_), ConversationRef::Group { .. }) => false,
    };
    if takes_part { Ok(()) } else { Err(Refusal::NotFound) }
}

#[cfg(test)]
mod tests;
