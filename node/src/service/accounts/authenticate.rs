//! Who is calling? Answered from the token and this node's memory, without a database query; only the single use of a `ws_token`
//! asks Redis or, while Redis is away, the directory.

use crate::app::App;
use crate::auth::Caller;
use crate::auth::tokens::{self, Token, TokenKind};
use crate::domain::{LoginId, Refusal, UserId};
use crate::error::{Error, Result};
use crate::memory::used_tokens::life_left;
use crate::service::accounts::accept_foreign::accept_foreign;
use crate::storage::directory::used_tokens;

/// Which tokens are good at this door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    Access,
    WsToken,
    Either,
}

/// The caller, if the token is good here and now and its login stands.
pub async fn authenticate(app: &App, token: &str, accept: Accept) -> Result<Caller> {
    let Some(token) = tokens::verify(&app.keys, token, app.clock.now()) else {
        if accept == Accept::WsToken {
            // Only we make single-use tokens.
            return Err(Refusal::Unauthorized.into());
        }
        let caller = accept_foreign(app, token).await?;
        check_loaded(app)?;
        check_standing(app, caller.user, caller.login)?;
        return Ok(caller);
    };
    let is_accepted = match accept {
        Accept::Access => token.kind == TokenKind::Access,
        Accept::WsToken => token.kind == TokenKind::Ws,
        Accept::Either => true,
    };
    if !is_accepted {
        return Err(Refusal::Unauthorized.into());
    }
    check_loaded(app)?;
    check_standing(app, token.caller.user, token.caller.login)?;
    if token.kind == TokenKind::Ws {
        use_up(app, &token).await?;
    }
    let mut caller = token.caller;
    if let Some(roles) = app.standing.roles_since(caller.user, token.issued_at) {
        caller.roles = roles;
    }
    if let Some(name) = app.standing.name_since(caller.user, caller.named_at) {
        caller.display_name = name;
    }
    Ok(caller)
}

/// Before the feed has been read nobody knows whose login has ended.
fn check_loaded(app: &App) -> std::result::Result<(), Refusal> {
    if app.standing.is_loaded() { Ok(()) } else { Err(Refusal::Unavailable) }
}

/// Refuses who is disabled or deleted, and whose login has ended. Sessions ask once more after they have entered the hub: what the
/// feed said before that closed no socket of theirs.
pub fn check_standing(app: &App, user: UserId, login: LoginId) -> std::result::Result<(), Refusal> {
    if app.standing.is_out(user) || app.standing.is_login_ended(login) { Err(Refusal::Unauthorized) } else { Ok(()) }
}

/// Uses a `ws_token` up; refused the second time, on any node.
async fn use_up(app: &App, token: &Token) -> Result<()> {
    if !app.used_tokens.begin(token.id, token.expires_at) {
        return Err(Refusal::Unauthorized.into());
    }
    let outcome = use_up_elsewhere(app, token).await;
    if outcome.as_ref().is_err_and(|error| !matches!(error, Error::Refused(_))) {
        // Nobody has said yet whether it was used: the client may ask again.
        app.used_tokens.undo(token.id);
    }
    outcome
}

async fn use_up_elsewhere(app: &App, token: &Token) -> Result<()> {
    let is_first = match use_in_redis(app, token).await {
        Ok(is_first) => {
            app.used_tokens.add_unwritten(token.id);
            is_first
        }
        Err(Error::Router(error)) if error.is_down() => {
            let is_first = used_tokens::use_token(&app.directory, token.id).await?;
            app.used_tokens.add_untold(token.id, token.expires_at);
            is_first
        }
        Err(error) => return Err(error),
    };
    if is_first { Ok(()) } else { Err(Refusal::Unauthorized.into()) }
}

async fn use_in_redis(app: &App, token: &Token) -> Result<bool> {
    let is_first = app.router.use_once(token.id, life_left(token.expires_at, app.clock.now())).await?;
    // A Redis that lost its data cannot know whether an older token was used.
    let born_ms = app.router.redis_born_ms().and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
    Ok(is_first && token.issued_at.as_millis() >= born_ms)
}
