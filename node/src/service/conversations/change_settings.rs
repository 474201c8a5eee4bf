//! Changes what a user has set for one conversation: no entry, told only to the user's own devices.

use std::sync::Arc;

use super::resolve::resolve;
use super::tell_positions::tell_positions;
use crate::app::App;
use crate::domain::command::{Actor, Command, Outcome};
use crate::domain::{ConversationId, Refusal, Timestamp};
use crate::error::{Error, Result};
use crate::protocol::server::{SettingsData, conversation_settings};
use crate::service::delivery::signal;
use crate::storage::shard::lane::Request;

/// `None`: unchanged. An inner `None`: as it is for all conversations, or not muted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    pub is_pinned: Option<bool>,
    pub muted_until: Option<Option<Timestamp>>,
    pub read_receipts: Option<Option<bool>>,
}

pub async fn change_settings(
    app: &Arc<App>,
    actor: Actor,
    conversation: ConversationId,
    change: SettingsChange,
) -> Result<()> {
    let user = actor.id;
    let conversation = resolve(app, user, conversation).await?.ok_or(Refusal::NotFound)?;
    let SettingsChange { is_pinned, muted_until, read_receipts } = change;
    let request = Request {
        conversation,
        actor,
        command: Command::Settings { is_pinned, muted_until, read_receipts },
        origin: None,
        reply: Box::new(|_| {}),
    };
    let data = match app.shards.run(request).await? {
        Outcome::Settings { is_pinned, muted_until, read_receipts } => {
            SettingsData { conversation_id: conversation.id(), pinned: is_pinned, muted_until, read_receipts }
        }
        other => return Err(Error::internal(format!("settings came out as {other:?}"))),
    };
    signal::signal_users(app, &[user], &conversation_settings(&data), None).await;
    if read_receipts.is_some()
        && let Err(error) = tell_positions(app, user, conversation).await
    {
        tracing::debug!(%error, "nobody is told of positions that may be seen again");
    }
    Ok(())
}
