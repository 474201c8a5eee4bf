//! Who may be brought into a group: users that exist, with no block between them and the one who invites.

use crate::app::App;
use crate::domain::{FieldError, Refusal, UserId};
use crate::error::Result;
use crate::storage::directory::{pairs, profiles};

/// Refuses all of `users` when one of them cannot be invited. `field` is what the request calls them.
pub(super) async fn check_invited(app: &App, inviter: UserId, users: &[UserId], field: &'static str) -> Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let found = profiles::read_profiles(&app.directory, users).await?;
    let unknown: Vec<FieldError> = users
        .iter()
        .filter(|user| found.get(user).is_none_or(|profile| profile.is_out))
        .map(|user| FieldError { field: field.into(), message: format!("no such user: {user}").into() })
        .collect();
    if !unknown.is_empty() {
        return Err(Refusal::NotFoundFields(unknown).into());
    }
    let blocks = pairs::find_blocks(&app.directory, inviter, users).await?;
    if blocks.iter().any(|block| block.user == inviter) {
        return Err(Refusal::Blocking.into());
    }
    if !blocks.is_empty() {
        return Err(Refusal::Blocked.into());
    }
    Ok(())
}
