//! One user asks another to be friends. Who has been asked already, and asks back, is a friend at once.

use std::sync::Arc;

use super::list_friends::{FriendView, RequestView, view_friend};
use crate::app::App;
use crate::domain::command::{Actor, PairCommand};
use crate::domain::friend_request::Direction;
use crate::domain::text::{REQUEST_MESSAGE_MAX, check_length};
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::carry_through::carry_through;
use crate::service::people::change_pair::{Changed, find_other, look_ahead, write_pair};
use crate::storage::directory::{friend_budget, pairs};

/// What came of asking.
#[derive(Clone, Debug)]
pub enum Asked {
    Waits {
        request: RequestView,
        is_new: bool,
    },
    /// Both have asked.
    Friends(FriendView),
}

/// Asks, or finds that this was asked before and waits. Only what is new counts for the hour.
pub async fn ask_friend(app: &Arc<App>, actor: Actor, other: UserId, message: Option<String>) -> Result<Asked> {
    if let Some(message) = &message {
        check_length("message", message, 0, REQUEST_MESSAGE_MAX)?;
    }
    let message = message.filter(|message| !message.is_empty());
    let profile = find_other(app, actor.id, other).await?;
    if profile.is_out {
        return Err(Refusal::NotFound.into());
    }
    let user = actor.id;
    let (pair, is_news) = look_ahead(app, user, other, PairCommand::AskFriend).await?;
    let asked_at = if is_news {
        let is_counted = !pair.is_friends;
        if is_counted {
            count_request(app, user).await?;
        }
        let then = Arc::clone(app);
        let asked = carry_through(app, "ask_friend", ask(then, actor, other, message.clone(), is_counted)).await?;
        if asked.state.is_friends {
            return Ok(Asked::Friends(view_friend(app, user, profile, asked.state.at).await?));
        }
        Some(asked.state.at).filter(|_| asked.has_changed)
    } else {
        None
    };
    let found = pairs::find_request(&app.directory, user, other).await?;
    // A list that is behind, after a crash, does not know of it yet.
    let (message, created_at) = match found {
        Some(row) => (row.message, row.since),
        None => (message, asked_at.unwrap_or_else(|| app.clock.now())),
    };
    let request = RequestView { user: profile, direction: Direction::Outgoing, message, created_at };
    Ok(Asked::Waits { request, is_new: asked_at.is_some() })
}

async fn ask(app: Arc<App>, actor: Actor, other: UserId, message: Option<String>, is_counted: bool) -> Result<Changed> {
    let user = actor.id;
    let changed = write_pair(&app, actor, other, PairCommand::AskFriend, message).await;
    let is_waiting = changed.as_ref().is_ok_and(|changed| changed.has_changed && !changed.state.is_friends);
    if is_counted && !is_waiting {
        friend_budget::give_back(&app.directory, user, per_hour(&app)).await?;
    }
    changed
}

fn per_hour(app: &App) -> u32 {
    app.settings.load().friend_requests_per_hour
}

/// Takes one request from the user's hour, which all nodes share.
async fn count_request(app: &App, user: UserId) -> Result<()> {
    match friend_budget::take(&app.directory, user, per_hour(app), app.clock.now()).await? {
        Ok(()) => Ok(()),
        Err(wait) => {
            let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            Err(Refusal::RateLimited { retry_after_ms }.into())
        }
    }
}
