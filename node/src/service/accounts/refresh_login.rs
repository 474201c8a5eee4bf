//! Gives a new pair of tokens for a refresh token. Each works once; `domain::rotation` says what a second use means.

use std::time::Duration;

use super::issue_tokens::{Origin, Tokens, issue_tokens};
use crate::app::App;
use crate::auth::refresh::RefreshToken;
use crate::domain::Refusal;
use crate::error::Result;
use crate::service::feed::follow_changes;
use crate::storage::directory::logins::{Rotated, rotate_login};

pub async fn refresh_login(app: &App, token: &str, origin: &Origin) -> Result<Tokens> {
    let token = RefreshToken::parse(token).ok_or(Refusal::InvalidRefreshToken)?;
    let successors = token.successors(&app.keys);
    let presented = token.presented(&app.keys, &successors);
    let life = Duration::from_secs(app.config.auth.refresh_token_s);
    let address = origin.address.to_string();
    let rotated =
        rotate_login(&app.directory, token.login(), &presented, Some(&address), app.clock.now(), life).await?;
    match rotated {
        Rotated::Good(index, account) => {
            let successor = successors.get(index).ok_or(Refusal::Internal)?;
            issue_tokens(app, &account, successor)
        }
        Rotated::Ended => {
            tracing::warn!(login = %token.login(), "a refresh token was used again: its login has ended");
            follow_changes::announce_ended_logins(app, &[token.login()]);
            Err(Refusal::InvalidRefreshToken.into())
        }
        Rotated::Refused => Err(Refusal::InvalidRefreshToken.into()),
    }
}
