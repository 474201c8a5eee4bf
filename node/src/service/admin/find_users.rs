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

/// A part of a list, and where it goes on, if it does.
pub struct Found {
    pub users: Vec<AdminAccount>,
    pub next: Option<Place>,
}

/// Up to `limit` users after a place: in the order of their ids, or of what they are found by. Where one is found by several, there are fewer.
pub async fn find_users(
    app: &App,
    query: Option<&str>,
    by_address: bool,
    after: Option<Place>,
    limit: usize,
) -> Result<Found> {
    let query = query.map(|text| SearchQuery::parse("query", text)).transpose()?.flatten();
    match (query, after) {
        (None, None) => list(app, UserId(Uuid::nil()), limit).await,
        (None, Some(Place::All(after))) => list(app, after, limit).await,
        (Some(query), None) => {
            index_names(app).await?;
            find(app, &query, by_address, None, limit).await
        }
        (Some(query), Some(Place::Found(key, user))) => find(app, &query, by_address, Some((&key, user)), limit).await,
        _ => Err(Refusal::InvalidCursor.into()),
    }
}

async fn list(app: &App, after: UserId, limit: usize) -> Result<Found> {
    let mut users = admin_accounts::list_accounts(&app.directory, after, limit + 1).await?;
    let has_more = users.len() > limit;
    users.truncate(limit);
    let next = users.last().filter(|_| has_more).map(|last| Place::All(last.account.id));
    Ok(Found { users, next })
}

async fn find(
    app: &App,
    query: &SearchQuery,
    by_address: bool,
    after: Option<(&str, UserId)>,
    limit: usize,
) -> Result<Found> {
    let mut found = admin_accounts::find_accounts(&app.directory, query, by_address, after, limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| Place::Found(last.key.clone(), last.account.account.id));
    Ok(Found { users: found.into_iter().filter(|found| found.is_first).map(|found| found.account).collect(), next })
}

pub async fn find_user(app: &App, user: UserId) -> Result<AdminAccount> {
    let found = admin_accounts::read_admin_account(&app.directory, user).await?;
    Ok(found.ok_or(Refusal::NotFound)?)
}
