//! Shows to the other members of a pair or a small group that someone is typing. Best effort: nothing is kept or answered.

use crate::app::App;
use crate::domain::{ConversationId, ConversationRef, UserId};
use crate::error::Result;
use crate::protocol::server::{self, TypingData};
use crate::service::conversations::resolve::resolve;
use crate::service::delivery::show_entry::SMALL_GROUP_MAX;
use crate::service::delivery::signal::{present_members, signal_users};
use crate::service::people::look_up_pairs::blocks_of;

/// Where someone is typing, as the frame names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypingIn {
    Receiver(UserId),
    Conversation(ConversationId),
}

/// Who does not know the conversation, blocks the user or is blocked by it sees nothing.
pub async fn show_typing(app: &App, user: UserId, target: TypingIn, is_typing: bool) -> Result<()> {
    let conversation = match target {
        TypingIn::Receiver(peer) if peer == user => return Ok(()),
        TypingIn::Receiver(peer) => ConversationRef::direct(user, peer),
        TypingIn::Conversation(id) => match resolve(app, user, id).await? {
            Some(conversation) => conversation,
            None => return Ok(()),
        },
    };
    let small_max = usize::try_from(SMALL_GROUP_MAX).unwrap_or(0);
    let members = present_members(app, conversation, small_max).await?;
    let Some(members) = members.filter(|members| members.contains(&user)) else { return Ok(()) };
    let blocks = blocks_of(app, user).await?;
    let others: Vec<UserId> = members.into_iter().filter(|member| *member != user && !blocks.hides(*member)).collect();
    let data = TypingData { user_id: user, conversation_id: conversation.id(), is_typing };
    signal_users(app, &others, &server::typing(&data), None).await;
    Ok(())
}
