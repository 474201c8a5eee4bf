//! Tells a user of what another did about their friendship: a notification of type `friend`.

use serde_json::json;

use crate::app::App;
use crate::domain::UserId;
use crate::domain::command::Actor;
use crate::service::notifications::notify::{NewNotification, NotificationKind, notify};
use crate::storage::directory::profiles;

/// What one did that the other is told.
#[derive(Clone, Debug)]
pub(super) enum News {
    Asked(Option<String>),
    Accepted,
    Rejected,
}

/// Whoever is told learns of it also from the lists: what fails here is logged, and undoes nothing.
pub(super) async fn tell_friend(app: &App, actor: &Actor, other: UserId, news: News) {
    let profile = match profiles::read_profiles(&app.directory, &[actor.id]).await {
        Ok(mut found) => found.remove(&actor.id),
        Err(error) => return log(&error),
    };
    let name = profile.as_ref().map_or(&*actor.name, |profile| profile.display_name.as_str());
    let (event, title, content, message) = match news {
        News::Asked(message) => {
            let content = message.clone().unwrap_or_else(|| format!("{name} would like to be your friend"));
            ("request", "Friend request", content, message)
        }
        News::Accepted => ("accepted", "Friend request accepted", format!("{name} is your friend now"), None),
        News::Rejected => ("rejected", "Friend request declined", format!("{name} declined your request"), None),
    };
    let notification = NewNotification {
        kind: NotificationKind::Friend,
        title: title.to_owned(),
        content,
        data: json!({"event": event, "user_id": actor.id, "user": profile, "message": message}),
    };
    if let Err(error) = notify(app, &[other], notification).await {
        log(&error);
    }
}

fn log(error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error, "a friend was not told");
}
