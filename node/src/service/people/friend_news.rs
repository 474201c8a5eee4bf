//! What a user is told of what another did about their friendship: a notification of type `friend`.

use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::domain::ConversationRef;
use crate::domain::command::PairState;
use crate::domain::friend_request::FriendAction;
use crate::domain::ids::NotificationId;
use crate::domain::notification::{NewNotification, NotificationKind};
use crate::error::Result;
use crate::service::carry_through::retry;
use crate::storage::directory::pairs::{News, PendingPair, TellWhen};
use crate::storage::directory::profiles;

/// `None`: nobody is told, or the state is not what the change makes, so that it came to nothing or something else came after it.
pub(super) async fn news_of(
    app: &App,
    pending: &PendingPair,
    state: &PairState,
    when: TellWhen,
) -> Result<Option<News>> {
    let Some(telling) = &pending.telling else { return Ok(None) };
    let actor = telling.actor;
    let asker = state.asker(pending.low, pending.high);
    let is_friends = state.is_friends;
    let is_so = match telling.action {
        FriendAction::Ask => is_friends || asker == Some(actor),
        FriendAction::Accept => is_friends,
        FriendAction::Reject => !is_friends && asker.is_none(),
    };
    if !is_so {
        return Ok(None);
    }
    let actors = [actor];
    let Some(profile) = retry(|| profiles::read_profiles(&app.directory, &actors)).await?.remove(&actor) else {
        return Ok(None);
    };
    let name = &profile.display_name;
    let (event, title, content, message) = match telling.action {
        FriendAction::Ask if !is_friends => {
            let content = telling.message.clone().unwrap_or_else(|| format!("{name} would like to be your friend"));
            ("request", "Friend request", content, telling.message.as_ref())
        }
        FriendAction::Ask | FriendAction::Accept => {
            ("accepted", "Friend request accepted", format!("{name} is your friend now"), None)
        }
        FriendAction::Reject => ("rejected", "Friend request declined", format!("{name} declined your request"), None),
    };
    let notification = NewNotification {
        kind: NotificationKind::Friend,
        title: title.to_owned(),
        content,
        data: json!({"event": event, "user_id": actor, "user": profile, "message": message}),
    };
    let receiver = if actor == pending.low { pending.high } else { pending.low };
    // The same for whoever finds this state, so that it is told once.
    let conversation = ConversationRef::direct(pending.low, pending.high).id();
    let id = Uuid::new_v5(&conversation.0, format!("{}:{}", state.epoch, state.version).as_bytes());
    Ok(Some(News { receiver, id: NotificationId(id), notification, when }))
}
