//! The pinned messages of a conversation, as one of it sees them: without those that came before him, and those that he has hidden.

use super::view_messages::{MessageView, view_messages};
use crate::app::App;
use crate::domain::{ConversationId, ConversationRef, Refusal, Seq, Timestamp, UserId};
use crate::error::Result;
use crate::service::conversations::resolve::resolve;
use crate::storage::shard::read_entries::Range;
use crate::storage::shard::read_pins::read_pins;
use crate::storage::shard::read_states::read_states;

/// A pinned message for one reader.
#[derive(Clone, Debug)]
pub struct PinView {
    pub message: MessageView,
    pub pinned_by: UserId,
    pub pinned_at: Timestamp,
    /// Of the entry that pinned it.
    pub seq: Seq,
}

/// The last pinned first, by entries before `before`. Some may have been hidden just now, by another device.
pub async fn list_pins(
    app: &App,
    reader: UserId,
    id: ConversationId,
    before: Option<Seq>,
    limit: usize,
) -> Result<Vec<PinView>> {
    let conversation = resolve(app, reader, id).await?.ok_or(Refusal::NotFound)?;
    let shard = app.shards.of(id)?;
    let states = read_states(shard, reader, &[id]).await?;
    let Some(state) = states.first().filter(|state| !state.is_left()) else {
        // A pair that has never written has no row; a group without a membership is nobody's business.
        return match conversation {
            ConversationRef::Direct { .. } => Ok(Vec::new()),
            ConversationRef::Group { .. } => Err(Refusal::NotFound.into()),
        };
    };
    let visible = Range { conversation: id, low: state.first_seq, high: state.last_seq };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let pins = read_pins(shard, reader, visible, before.unwrap_or(Seq(i64::MAX)), limit).await?;
    let messages = pins.iter().map(|pin| (conversation, pin.message.clone())).collect();
    let views = view_messages(app, reader, messages).await?;
    let with = |(pin, message): (_, MessageView)| {
        let crate::storage::shard::read_pins::Pinned { by, at, seq, .. } = pin;
        PinView { message, pinned_by: by, pinned_at: at, seq }
    };
    Ok(pins.into_iter().zip(views).map(with).collect())
}
