//! Finds users by name: those whose username, or a word of whose display name, begins with the query, then similar ones.

use serde::{Deserialize, Serialize};

use super::index_names::index_names;
use crate::app::App;
use crate::domain::UserId;
use crate::domain::profile::Profile;
use crate::domain::search_name::SearchQuery;
use crate::error::Result;
use crate::storage::directory::search_names::{Likeness, find_beginning, find_similar};

/// A user found, and its place among all that are.
#[derive(Clone, Debug)]
pub struct FoundUser {
    pub user: Profile,
    pub place: Place,
}

/// As a cursor says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// Found by this name.
    Beginning(String, UserId),
    /// So similar.
    Similar(Likeness, UserId),
}

/// Up to `limit` users after a place. Nobody who blocks the reader, is disabled or deleted.
pub async fn search_users(
    app: &App,
    reader: UserId,
    query: &SearchQuery,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<FoundUser>> {
    if after.is_none() {
        index_names(app).await?;
    }
    let mut found = Vec::new();
    let similar_after = match &after {
        Some(Place::Similar(likeness, user)) => Some((likeness, *user)),
        None | Some(Place::Beginning(..)) => {
            let after = match &after {
                Some(Place::Beginning(name, user)) => Some((name.as_str(), *user)),
                _ => None,
            };
            for (user, name) in find_beginning(&app.directory, reader, query, after, count(limit)).await? {
                found.push(FoundUser { place: Place::Beginning(name, user.id), user });
            }
            None
        }
    };
    let left = limit.saturating_sub(found.len());
    if left > 0 {
        for (user, likeness) in find_similar(&app.directory, reader, query, similar_after, count(left)).await? {
            found.push(FoundUser { place: Place::Similar(likeness, user.id), user });
        }
    }
    Ok(found)
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
