//! Who is calling? Answered from the token and this node's memory, without a database query; only the single use of a `ws_token`
//! asks Redis or, while Redis is away, the directory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Caller;
use crate::auth::tokens::{self, Token, TokenKind};
use crate::domain::{LoginId, Refusal, Timestamp, UserId};
use crate::error::{Error, Result};
use crate::storage::directory::used_tokens;

/// How often uses are written to the directory in one statement, and told to a Redis that was away.
const SPREAD_INTERVAL: Duration = Duration::from_millis(200);
/// Uses that may wait for a database that is away; beyond, the oldest are forgotten (the others still know them).
const WAITING_MAX: usize = 100_000;

/// Which tokens are good at this door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    Access,
    WsToken,
    Either,
}

/// The caller, if the token is good here and now and its login stands.
pub async fn authenticate(app: &App, token: &str, accept: Accept) -> Result<Caller> {
    let token = tokens::verify(&app.keys, token, app.clock.now()).ok_or(Refusal::Unauthorized)?;
    let is_accepted = match accept {
        Accept::Access => token.kind == TokenKind::Access,
        Accept::WsToken => token.kind == TokenKind::Ws,
        Accept::Either => true,
    };
    if !is_accepted {
        return Err(Refusal::Unauthorized.into());
    }
    if !app.standing.is_loaded() {
        // Nobody knows yet whose login has ended.
        return Err(Refusal::Unavailable.into());
    }
    check_standing(app, token.caller.user, token.caller.login)?;
    if token.kind == TokenKind::Ws {
        use_up(app, &token).await?;
    }
    let mut caller = token.caller;
    if let Some(roles) = app.standing.roles_since(caller.user, token.issued_at) {
        caller.roles = roles;
    }
    Ok(caller)
}

/// Refuses who is disabled or deleted, and whose login has ended. Sessions ask once more after they have entered the hub: what the
/// feed said before that closed no socket of theirs.
pub fn check_standing(app: &App, user: UserId, login: LoginId) -> std::result::Result<(), Refusal> {
    if app.standing.is_out(user) || app.standing.is_login_ended(login) { Err(Refusal::Unauthorized) } else { Ok(()) }
}

/// Uses of `ws_token`s that this node has seen, and those that others have yet to learn.
#[derive(Debug, Default)]
pub struct UsedTokens {
    /// With the end of each token's life.
    here: Mutex<HashMap<Uuid, Timestamp>>,
    /// Decided by Redis, and not yet in the directory, which decides while Redis is away.
    unwritten: Mutex<Vec<Uuid>>,
    /// Decided by the directory, and not yet told to Redis.
    untold: Mutex<Vec<(Uuid, Timestamp)>>,
}

impl UsedTokens {
    fn begin(&self, token: &Token) -> bool {
        self.here.lock().insert(token.id, token.expires_at).is_none()
    }

    fn undo(&self, token: &Token) {
        self.here.lock().remove(&token.id);
    }
}

/// Uses a `ws_token` up; refused the second time, on any node.
async fn use_up(app: &App, token: &Token) -> Result<()> {
    if !app.used_tokens.begin(token) {
        return Err(Refusal::Unauthorized.into());
    }
    let outcome = use_up_elsewhere(app, token).await;
    if outcome.as_ref().is_err_and(|error| !matches!(error, Error::Refused(_))) {
        // Nobody has said yet whether it was used: the client may ask again.
        app.used_tokens.undo(token);
    }
    outcome
}

async fn use_up_elsewhere(app: &App, token: &Token) -> Result<()> {
    let is_first = match use_in_redis(app, token).await {
        Ok(is_first) => {
            push_bounded(&app.used_tokens.unwritten, token.id);
            is_first
        }
        Err(Error::Router(error)) if error.is_down() => {
            let is_first = used_tokens::use_token(&app.directory, token.id).await?;
            push_bounded(&app.used_tokens.untold, (token.id, token.expires_at));
            is_first
        }
        Err(error) => return Err(error),
    };
    if is_first { Ok(()) } else { Err(Refusal::Unauthorized.into()) }
}

async fn use_in_redis(app: &App, token: &Token) -> Result<bool> {
    let is_first = app.router.use_once(token.id, life_left(app, token.expires_at)).await?;
    // A Redis that lost its data cannot know whether an older token was used.
    let born_ms = app.router.redis_born_ms().and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
    Ok(is_first && token.issued_at.as_millis() >= born_ms)
}

fn life_left(app: &App, expires_at: Timestamp) -> Duration {
    expires_at.since(app.clock.now()).max(Duration::from_secs(1))
}

fn push_bounded<T>(queue: &Mutex<Vec<T>>, item: T) {
    let mut queue = queue.lock();
    if queue.len() >= WAITING_MAX {
        queue.remove(0);
    }
    queue.push(item);
}

/// Lets the directory learn what Redis decided and the other way round, so that neither's absence lets a token in twice.
pub fn start_spreading(app: &Arc<App>) {
    let app = Arc::clone(app);
    app.tasks.clone().spawn("spread_used_tokens", async move {
        let mut tick = tokio::time::interval(SPREAD_INTERVAL);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = app.tasks.stopping() => return write_uses(&app).await,
            }
            write_uses(&app).await;
            tell_redis(&app).await;
            let now = app.clock.now();
            app.used_tokens.here.lock().retain(|_, expires_at| *expires_at > now);
        }
    });
}

async fn write_uses(app: &App) {
    let uses = std::mem::take(&mut *app.used_tokens.unwritten.lock());
    if uses.is_empty() {
        return;
    }
    if let Err(error) = used_tokens::write_used(&app.directory, &uses).await {
        tracing::debug!(%error, "uses of tokens wait for the directory");
        let mut waiting = app.used_tokens.unwritten.lock();
        let room = WAITING_MAX.saturating_sub(waiting.len());
        waiting.extend(uses.into_iter().rev().take(room));
    }
}

async fn tell_redis(app: &App) {
    if !app.router.is_up() {
        return;
    }
    let untold = std::mem::take(&mut *app.used_tokens.untold.lock());
    let now = app.clock.now();
    for (id, expires_at) in untold.into_iter().filter(|(_, expires_at)| *expires_at > now) {
        if app.router.use_once(id, life_left(app, expires_at)).await.is_err() {
            push_bounded(&app.used_tokens.untold, (id, expires_at));
        }
    }
}
