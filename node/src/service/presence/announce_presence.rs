//! Tells a user's friends who are online that the user has come, left, or chosen another status.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use herald_router::{BootId, Route};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tracing::debug;

use crate::app::App;
use crate::domain::status::ChosenStatus;
use crate::domain::topic::Topic;
use crate::domain::{Timestamp, UserId};
use crate::memory::presence::{Cause, RECONNECT_TIME};
use crate::protocol::server::{self, StatusData};
use crate::service::delivery::signal::signal_users;
use crate::service::events::emit::emit_unkept;
use crate::service::people::look_up_pairs::friends_of;
use crate::storage::error::cause;

const TICK: Duration = Duration::from_millis(200);
/// Users looked up together.
const USERS_AT_ONCE: usize = 200;
/// The lock of a dead boot's users; renewed with each part.
const LOCK_TIME: Duration = Duration::from_secs(10);

/// Tells what is due until the node stops.
pub fn start(app: &Arc<App>) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("presence", async move {
        let app = task_app;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = app.tasks.stopping() => return,
                _ = tick.tick() => {}
            }
            loop {
                let due = app.presence.take_due(Instant::now(), USERS_AT_ONCE);
                if due.is_empty() {
                    break;
                }
                announce(&app, &due).await;
            }
        }
    });
}

/// A user's presence as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Seen {
    /// `online`, `away`, `busy` or `offline`.
    #[schemars(extend("enum" = ["online", "away", "busy", "offline"]))]
    pub status: &'static str,
    pub last_seen_at: Option<Timestamp>,
}

/// The presence of each user: what live routes say, with the chosen status over it. Offline for all while Redis is away, but for
/// those who are here.
pub async fn presence_of(app: &App, users: &[UserId]) -> Vec<Seen> {
    presence_with(app, users, chosen_by(app, users)).await
}

/// The statuses that these users have chosen.
async fn chosen_by(app: &App, users: &[UserId]) -> Vec<Option<String>> {
    let ids: Vec<_> = users.iter().map(|user| user.0).collect();
    app.router.get_status(&ids).await.unwrap_or_default()
}

async fn presence_with(app: &App, users: &[UserId], chosen: impl Future<Output = Vec<Option<String>>>) -> Vec<Seen> {
    let ids: Vec<_> = users.iter().map(|user| user.0).collect();
    let (routes, chosen, last_seen) = tokio::join!(app.router.routes(&ids), chosen, app.router.get_last_seen(&ids));
    let (routes, last_seen) = (routes.unwrap_or_default(), last_seen.unwrap_or_default());
    let live = live_boots(app);
    let seen = |(index, user): (usize, &UserId)| {
        let is_routed = routes.get(index).is_some_and(|routes| is_live(routes, &live));
        let is_here = is_routed || app.hub.has_user(*user);
        let status = match chosen.get(index).and_then(Option::as_deref) {
            _ if !is_here => "offline",
            Some("invisible") => "offline",
            Some("away") => "away",
            Some("busy") => "busy",
            _ => "online",
        };
        let last = last_seen.get(index).copied().flatten().map(Timestamp::from_millis);
        Seen { status, last_seen_at: if status == "offline" { last } else { None } }
    };
    users.iter().enumerate().map(seen).collect()
}

fn live_boots(app: &App) -> HashSet<BootId> {
    let mut live: HashSet<BootId> = app.router.last_known_boots().iter().map(|(_, boot)| *boot).collect();
    live.insert(app.router.boot());
    live
}

fn is_live(routes: &[Route], live: &HashSet<BootId>) -> bool {
    routes.iter().any(|route| live.contains(&route.boot))
}

async fn announce(app: &App, due: &[(UserId, Cause)]) {
    let users: Vec<UserId> = due.iter().map(|(user, _)| *user).collect();
    let now = app.clock.now();
    // Whoever is invisible has left long ago, for others.
    let chosen = chosen_by(app, &users).await;
    let is_invisible =
        |index: usize| chosen.get(index).and_then(Option::as_deref) == Some(ChosenStatus::Invisible.as_str());
    let gone: Vec<_> = due
        .iter()
        .enumerate()
        .filter(|(index, (user, cause))| *cause == Cause::Left && !app.hub.has_user(*user) && !is_invisible(*index))
        .map(|(_, (user, _))| (user.0, now.as_millis() - i64::try_from(RECONNECT_TIME.as_millis()).unwrap_or(0)))
        .collect();
    if !gone.is_empty() {
        let _ = app.router.set_last_seen(&gone).await;
    }
    let seen = presence_with(app, &users, std::future::ready(chosen.clone())).await;
    for (index, ((user, cause), seen)) in due.iter().zip(seen).enumerate() {
        let is_offline = seen.status == "offline";
        let is_news = match cause {
            // Or back on another node, which has told it.
            Cause::Left => is_offline && !is_invisible(index),
            // Or invisible, and as unseen as before.
            Cause::Came => !is_offline,
            Cause::Chosen => true,
        };
        if is_news {
            if !is_offline && *cause == Cause::Came {
                emit_unkept(app, Topic::UserOnline(*user), || json!({"user_id": user, "status": seen.status})).await;
            }
            tell_friends(app, *user, seen).await;
        }
    }
}

async fn tell_friends(app: &App, user: UserId, seen: Seen) {
    match friends_of(app, user).await {
        Ok(friends) => {
            let data = StatusData { user_id: user, status: seen.status, last_seen_at: seen.last_seen_at };
            signal_users(app, &friends, &server::status(&data), None).await;
        }
        Err(error) => debug!(error = cause(&error), "friends could not be read"),
    }
}

/// A boot has died: one of the survivors tells who went with it, once they had the time to reconnect elsewhere. May be repeated by
/// another survivor if this one dies, too.
pub fn announce_dead(app: &Arc<App>, boot: BootId) {
    let task_app = Arc::clone(app);
    app.tasks.spawn("announce the dead", async move {
        let app = task_app;
        tokio::select! {
            () = app.tasks.stopping() => return,
            () = tokio::time::sleep(RECONNECT_TIME) => {}
        }
        let Ok(Some(lock)) = app.router.try_lock(&format!("presence:{boot}"), LOCK_TIME).await else { return };
        let users = app.router.users_of(boot).await.unwrap_or_default();
        for part in users.chunks(USERS_AT_ONCE) {
            let due: Vec<_> = part.iter().map(|user| (UserId(*user), Cause::Left)).collect();
            announce(&app, &due).await;
            if !matches!(app.router.renew_lock(&lock, LOCK_TIME, "").await, Ok(true)) {
                return;
            }
        }
        let _ = app.router.forget_users_of(boot).await;
    });
}
