//! Follows the feed of changes, so that an ended login, a disabled user or a setting counts on every node within a second or two:
//! hastened by hints over Redis, and without them by asking each second.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::load_settings::load_settings;
use super::load_subscriptions::load_subscriptions;
use super::tell_broadcasts::{begin_telling, tell_broadcasts};
use super::tell_notified::tell_notified;
use crate::app::App;
use crate::domain::{LoginId, UserId};
use crate::error::Result;
use crate::protocol::codes::CloseCode;
use crate::storage::directory::changes::{self, Change, FeedCursor};
use crate::storage::directory::{logins, used_tokens};
use crate::storage::error::cause;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Hints that come closer together than this cost one poll.
const HINT_PAUSE: Duration = Duration::from_millis(20);
/// Who has not read the feed for so long reads its beginning anew.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Rows of changes that every node has read long ago.
const CHANGES_KEPT: Duration = Duration::from_hours(1);
/// Longer than any `ws_token` lives.
const USES_KEPT: Duration = Duration::from_mins(10);
/// Clocks of nodes and databases may differ by so much.
const CLOCK_MARGIN: Duration = Duration::from_mins(1);
const TIDY_INTERVAL: Duration = Duration::from_mins(1);
/// A node that starts waits for the directory at most so long; after that it starts, and lets nobody in until it has read.
const START_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a node is in the feed.
#[derive(Debug, Default)]
struct Follower {
    cursor: Option<FeedCursor>,
    /// Ids of the last reading. A cursor reaches back, so rows come again as long as they are not below it; what is not in here is new.
    applied: HashSet<i64>,
    read_at: Option<Instant>,
}

/// Reads the beginning, then follows until the node stops.
pub async fn start(app: &Arc<App>) {
    let mut follower = Follower::default();
    match tokio::time::timeout(START_TIMEOUT, read_on(app, &mut follower)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "the feed of changes cannot be read yet"),
        Err(_) => warn!("the feed of changes cannot be read yet"),
    }
    let task_app = Arc::clone(app);
    app.tasks.spawn("follow_changes", follow(task_app, follower));
    let task_app = Arc::clone(app);
    app.tasks.spawn("tidy_directory", tidy_regularly(task_app));
}

async fn follow(app: Arc<App>, mut follower: Follower) {
    let mut was_well = true;
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = app.changes.notified() => {}
            () = app.tasks.stopping() => return,
        }
        let outcome = read_on(&app, &mut follower).await;
        if let (Err(error), true) = (&outcome, was_well) {
            warn!(%error, "the feed of changes cannot be read");
        }
        was_well = outcome.is_ok();
        tokio::time::sleep(HINT_PAUSE).await;
    }
}

/// Reads and applies what is new.
async fn read_on(app: &Arc<App>, follower: &mut Follower) -> Result<()> {
    let is_recent = follower.read_at.is_some_and(|at| at.elapsed() < PAUSE_MAX);
    let begun = Instant::now();
    let mut read_to = None;
    let changes = match follower.cursor {
        Some(cursor) if is_recent => {
            let (changes, next) = changes::read_changes(&app.directory, cursor).await?;
            if next < cursor {
                // The database went back: another server, or a restored one. Its numbers mean something else.
                warn!("the feed of changes went back");
                read_beginning(app, follower).await?
            } else {
                read_to = Some(next);
                changes
            }
        }
        _ => read_beginning(app, follower).await?,
    };
    let (known, fresh): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|change| follower.applied.contains(&change.id));
    let reload_settings = fresh.iter().any(|change| change.kind == "setting");
    if reload_settings {
        load_settings(app).await?;
    }
    if fresh.iter().any(|change| change.kind == "subscription") {
        load_subscriptions(app).await?;
    }
    for change in &fresh {
        apply(app, change);
    }
    if fresh.iter().any(|change| change.kind == "broadcast") {
        tell_broadcasts(app).await?;
    }
    for change in fresh.iter().filter(|change| change.kind == "notified") {
        // Its row is in the list, whatever comes of the frame; what follows must not wait for it.
        if let Err(error) = tell_notified(app, change).await {
            debug!(error = cause(&error), "a notification was not shown");
        }
    }
    // Only now: what could not be applied is read again.
    follower.cursor = read_to.or(follower.cursor);
    follower.applied = known.iter().chain(&fresh).map(|change| change.id).collect();
    follower.read_at = Some(begun);
    if !app.standing.is_loaded() {
        app.standing.set_loaded();
        info!("the feed of changes is being followed");
    }
    Ok(())
}

/// For a node that remembers nothing, or not all: who is out, the settings, and the changes of one life of an access token.
async fn read_beginning(app: &Arc<App>, follower: &mut Follower) -> Result<Vec<Change>> {
    let beginning = changes::read_beginning(&app.directory, token_life(app) + CLOCK_MARGIN).await?;
    load_settings(app).await?;
    load_subscriptions(app).await?;
    begin_telling(app).await?;
    app.standing.replace_out(beginning.out_users.iter().copied());
    for session in app.hub.all() {
        if app.standing.is_out(session.user) {
            session.close(CloseCode::SessionEnded);
        }
    }
    follower.cursor = Some(beginning.cursor);
    // Who is out was read after these rows: they are applied already, and an older one must not undo a newer. Nor is a notification
    // shown that may have been shown, or read, long since: it is in the list.
    let is_done = |change: &&Change| {
        matches!(change.kind.as_str(), "user_disabled" | "user_enabled" | "user_deleted" | "notified")
    };
    follower.applied = beginning.changes.iter().filter(is_done).map(|change| change.id).collect();
    Ok(beginning.changes)
}

fn apply(app: &App, change: &Change) {
    match change.kind.as_str() {
        "login_ended" => {
            if let Ok(login) = change.subject.parse() {
                end_sessions(app, login);
            }
        }
        "user_disabled" | "user_deleted" => {
            if let Ok(user) = change.subject.parse() {
                put_out(app, user);
            }
        }
        "user_enabled" => {
            if let Ok(user) = change.subject.parse() {
                app.standing.set_out(user, false);
            }
        }
        "roles_changed" => set_roles(app, change),
        "name_changed" => {
            if let (Ok(user), Some(name)) = (change.subject.parse(), &change.value) {
                app.standing.set_name(user, change.created_at, name.as_str().into());
            }
        }
        "setting" | "subscription" | "broadcast" | "notified" => {}
        other => warn!(kind = other, "a change that this version does not know"),
    }
}

fn set_roles(app: &App, change: &Change) {
    let roles = change.value.as_deref().and_then(|json| serde_json::from_str(json).ok());
    if let (Ok(user), Some(roles)) = (change.subject.parse::<UserId>(), roles) {
        app.standing.set_roles(user, change.created_at, roles);
    }
}

fn end_sessions(app: &App, login: LoginId) {
    app.standing.end_login(login, app.clock.now());
    for session in app.hub.of_login(login) {
        session.close(CloseCode::SessionEnded);
    }
}

fn put_out(app: &App, user: UserId) {
    app.standing.set_out(user, true);
    for session in app.hub.of_user(user) {
        session.close(CloseCode::SessionEnded);
    }
}

/// After this node has deleted a user in the directory: here at once, elsewhere as soon as they have read the feed.
pub fn announce_deleted_user(app: &App, user: UserId) {
    put_out(app, user);
    hasten(app);
}

/// After this node has ended logins in the directory: here at once, elsewhere as soon as they have read the feed.
pub fn announce_ended_logins(app: &App, logins: &[LoginId]) {
    for login in logins {
        end_sessions(app, *login);
    }
    if !logins.is_empty() {
        hasten(app);
    }
}

/// After this node has written to the feed.
pub fn hasten(app: &App) {
    app.changes.notify_one();
    app.router.hint("change");
}

fn token_life(app: &App) -> Duration {
    Duration::from_secs(app.config.auth.access_token_s)
}

async fn tidy_regularly(app: Arc<App>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY_INTERVAL) => {}
            () = app.tasks.stopping() => return,
        }
        let now = app.clock.now();
        app.standing.forget(now, token_life(&app) + CLOCK_MARGIN);
        if let Err(error) = tidy(&app).await {
            warn!(%error, "old rows of the directory stay for now");
        }
    }
}

async fn tidy(app: &App) -> Result<()> {
    let now = app.clock.now();
    changes::forget_changes(&app.directory, CHANGES_KEPT.max(token_life(app) * 2)).await?;
    used_tokens::forget_used(&app.directory, now, USES_KEPT).await?;
    let refresh_life = Duration::from_secs(app.config.auth.refresh_token_s);
    logins::forget_logins(&app.directory, now.minus(refresh_life)).await?;
    Ok(())
}
