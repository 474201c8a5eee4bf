//! Users for administrators and moderators: all, or those whose name (for administrators: or address) has a text within; disabled and
//! deleted ones too.

use uuid::Uuid;

use crate::app::App;
use crate::domain::account::fold;
use crate::domain::text::{QUERY_MAX, check_length};
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::storage::directory::admin_accounts::{self, AdminAccount};

/// In the order of their ids, after `after`.
pub async fn find_users(
    app: &App,
    query: Option<&str>,
    by_address: bool,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<AdminAccount>> {
    if let Some(query) = query {
        check_length("query", query, 0, QUERY_MAX)?;
    }
    let folded = query.map(fold).filter(|folded| !folded.is_empty());
    let after = after.unwrap_or(UserId(Uuid::nil()));
    Ok(admin_accounts::find_accounts(&app.directory, folded.as_deref(), by_address, after, limit).await?)
}

pub async fn find_user(app: &App, user: UserId) -> Result<AdminAccount> {
    let found = admin_accounts::read_admin_account(&app.directory, user).await?;
    Ok(found.ok_or(Refusal::NotFound)?)
}
