//! Users for administrators and moderators: all, or those of whom the username, a word of the display name or, for administrators, the
//! address begins with a text; disabled and deleted ones too.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::domain::search_name::SearchQuery;
use crate::domain::{Refusal, UserId};
use crate::error::Result;
use crate::service::people::index_names::index_names;
use crate::storage::directory::admin_accounts::{self, AdminAccount};

/// The place of a user in a list, as a cursor says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// Among all.
    All(UserId),
    /// Found by this.
    Found(String, UserId),
}

/// Up to `limit` users after a place: in the order of their ids, or of what they are found by.
pub async fn find_users(
    app: &App,
    query: Option<&str>,
    by_address: bool,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<(AdminAccount, Place)>> {
    let query = query.map(|text| SearchQuery::parse("query", text)).transpose()?.flatten();
    match (query, after) {
        (None, None) => list(app, UserId(Uuid::nil()), limit).await,
        (None, Some(Place::All(after))) => list(app, after, limit).await,
        (Some(query), None) => {
            index_names(app).await?;
            find(app, &query, by_address, None, limit).await
        }
        (Some(query), Some(Place::Found(key, user))) if !key.contains('\0') => {
            find(app, &query, by_address, Some((&key, user)), limit).await
        }
        _ => Err(Refusal::InvalidCursor.into()),
    }
}

async fn list(app: &App, after: UserId, limit: usize) -> Result<Vec<(AdminAccount, Place)>> {
    let found = admin_accounts::list_accounts(&app.directory, after, limit).await?;
    let placed = found.into_iter().map(|found| {
        let place = Place::All(found.account.id);
        (found, place)
    });
    Ok(placed.collect())
}

async fn find(
    app: &App,
    query: &SearchQuery,
    by_address: bool,
    after: Option<(&str, UserId)>,
    limit: usize,
) -> Result<Vec<(AdminAccount, Place)>> {
    let found = admin_accounts::find_accounts(&app.directory, query, by_address, after, limit).await?;
    let placed = found.into_iter().map(|(found, key)| {
        let place = Place::Found(key, found.account.id);
        (found, place)
    });
    Ok(placed.collect())
}

pub async fn find_user(app: &App, user: UserId) -> Result<AdminAccount> {
    let found = admin_accounts::read_admin_account(&app.directory, user).await?;
    Ok(found.ok_or(Refusal::NotFound)?)
}
