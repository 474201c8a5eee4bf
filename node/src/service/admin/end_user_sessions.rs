//! Ends all logins of a user, whose tokens are refused and whose sockets are closed then.

use crate::app::App;
use crate::domain::audit::Author;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::feed::follow_changes::announce_ended_logins;
use crate::storage::directory::admin_accounts::{Ended, Reach, end_logins};

pub async fn end_user_sessions(app: &App, author: &Author, reach: Reach<'_>, user: UserId) -> Result<()> {
    match end_logins(&app.directory, user, author, reach, app.clock.now()).await? {
        Ended::Done(ended) => {
            announce_ended_logins(app, &ended);
            Ok(())
        }
        Ended::NotFound => Err(Refusal::NotFound.into()),
        Ended::OutOfReach => Err(Refusal::Forbidden.into()),
    }
}
