//! Ends all logins of a user, whose tokens are refused and whose sockets are closed then.

use crate::app::App;
use crate::domain::audit::Author;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::feed::follow_changes::announce_ended_logins;
use crate::storage::directory::admin_accounts::end_logins;

pub async fn end_user_sessions(app: &App, author: &Author, user: UserId) -> Result<()> {
    let ended = end_logins(&app.directory, user, author, app.clock.now()).await?.ok_or(Refusal::NotFound)?;
    announce_ended_logins(app, &ended);
    Ok(())
}
