//! Disables users, lets them in again, gives and takes roles. It counts on every node within seconds, with old tokens too.

use crate::app::App;
use crate::domain::audit::Author;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::feed::follow_changes::hasten;
pub use crate::storage::directory::admin_accounts::{AccountChange, AdminAccount, Reach};
use crate::storage::directory::admin_accounts::{Changed, change_account};

/// Nobody disables oneself, and the last administrator stays one.
pub async fn change_user(
    app: &App,
    author: &Author,
    reach: Reach<'_>,
    user: UserId,
    change: &AccountChange,
) -> Result<AdminAccount> {
    if user == author.id && change.is_disabled == Some(true) {
        return Err(Refusal::Forbidden.into());
    }
    match change_account(&app.directory, user, change, author, reach).await? {
        Changed::Done(account) => {
            hasten(app);
            Ok(*account)
        }
        Changed::NotFound => Err(Refusal::NotFound.into()),
        Changed::LastAdmin | Changed::OutOfReach => Err(Refusal::Forbidden.into()),
    }
}
