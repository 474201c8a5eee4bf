//! Users by name: an index that follows the accounts, read by the beginning of a name or by how similar a word is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::Directory;
use super::profiles::profile_of;
use crate::domain::UserId;
use crate::domain::profile::Profile;
use crate::domain::search_name::{SearchQuery, names_of};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] =
    &[HAS_UNINDEXED, TAKE_UNINDEXED, REMOVE_NAMES, ADD_NAMES, MARK_INDEXED, FIND_BEGINNING, LIMIT_WORK, FIND_SIMILAR];

/// Words of one query that are only similar, at most: those after them are less so.
const WORDS_MAX: i64 = 100;
/// Similar words are that much shorter or longer, in code points.
const LENGTH_MORE: i16 = 2;
/// Looking for similar ones ends here: what begins with the query was found before.
const SIMILAR_TIME: Duration = Duration::from_millis(500);

const HAS_UNINDEXED: &str = "select exists (select from account where not is_indexed)";

/// Whether some account was made or renamed since its names were written.
pub async fn has_unindexed(directory: &Directory) -> Result<bool, StorageError> {
    let client = directory.client().await?;
    Ok(client.query_one(HAS_UNINDEXED, &[]).await?.try_get(0)?)
}

/// The lock makes a rename either earlier than this, and seen, or later, and a reason to come again.
const TAKE_UNINDEXED: &str = "\
select id, username, display_name, deleted_at is not null from account
where not is_indexed order by id limit $1 for no key update";

const REMOVE_NAMES: &str = "delete from search_name where user_id = any($1)";

const ADD_NAMES: &str = "\
insert into search_name (user_id, name, word)
select * from unnest($1::uuid[], $2::text[], $3::text[]) on conflict (user_id, name) do nothing";

const MARK_INDEXED: &str = "update account set is_indexed = true where id = any($1)";

/// Writes the names of up to `limit` accounts that lack them. Answers how many there were.
pub async fn index_some(directory: &Directory, limit: i64) -> Result<usize, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let rows = transaction.query(TAKE_UNINDEXED, &[&limit]).await?;
    let mut accounts: Vec<UserId> = Vec::with_capacity(rows.len());
    let (mut users, mut names, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let user: UserId = row.try_get(0)?;
        accounts.push(user);
        if row.try_get(3)? {
            continue;
        }
        for found in names_of(row.try_get(1)?, row.try_get(2)?) {
            users.push(user);
            names.push(found.name);
            words.push(found.word);
        }
    }
    if !accounts.is_empty() {
        transaction.execute(REMOVE_NAMES, &[&accounts]).await?;
        transaction.execute(ADD_NAMES, &[&users, &names, &words]).await?;
        transaction.execute(MARK_INDEXED, &[&accounts]).await?;
    }
    transaction.commit().await?;
    Ok(accounts.len())
}

/// In the order of the names, each user at the first name that fits. Both lower bounds are the same place, since the scan may begin at
/// either; the first one is there for the planner, which knows by it that the range is small.
const FIND_BEGINNING: &str = "\
select a.id, a.username, a.display_name, a.avatar_url, a.status_text, a.created_at, false, s.name
from search_name s join account a on a.id = s.user_id
where s.name >= $1 and s.name < $2 and (s.name, s.user_id) > ($1, $3)
  and a.disabled_at is null and a.deleted_at is null
  and not exists (select from block b where b.user_id = s.user_id and b.other_id = $4 and b.is_active)
  and not exists (select from search_name e where e.user_id = s.user_id and e.name >= $6 and e.name < s.name)
order by s.name, s.user_id limit $5";

/// Users one of whose names begins with the query, and who do not block `reader`, after a name and user.
pub async fn find_beginning(
    directory: &Directory,
    reader: UserId,
    query: &SearchQuery,
    after: Option<(&str, UserId)>,
    limit: i64,
) -> Result<Vec<(Profile, String)>, StorageError> {
    let beginning = (query.beginning.as_str(), UserId::ALL);
    let (name, user) = after.map_or(beginning, |after| after.max(beginning));
    let client = directory.client().await?;
    let rows = client.query(FIND_BEGINNING, &[&name, &query.end, &user, &reader, &limit, &query.beginning]).await?;
    rows.iter().map(|row| Ok((profile_of(row)?, row.try_get(7)?))).collect()
}

const LIMIT_WORK: &str = "\
select set_config('statement_timeout', $1, true), set_config('pg_trgm.similarity_threshold', $2, true)";

/// Words first, the most similar ahead, then who has them: in the order of the page, so that no more users are looked at than it shows.
/// Each is found by the first of his words. `left` is for the planner, which would read all names with the beginning for each user.
const FIND_SIMILAR: &str = "\
select c.id, c.username, c.display_name, c.avatar_url, c.status_text, c.created_at, false, w.score, w.word
from (
    select word, similarity(word, $1) as score from search_word
    where word % $1 and length between $2 and $3 order by score desc, word limit $4
) w cross join lateral (
    select a.id, a.username, a.display_name, a.avatar_url, a.status_text, a.created_at
    from search_name n join account a on a.id = n.user_id
    where n.word = w.word
      and n.user_id > case when w.word = $6 then $7 else '00000000-0000-0000-0000-000000000000'::uuid end
      and a.disabled_at is null and a.deleted_at is null
      and not exists (select from block b where b.user_id = n.user_id and b.other_id = $8 and b.is_active)
      and not exists (
          select from search_name e where e.user_id = n.user_id
            and (left(e.name, char_length($9)) = $9
                 or e.word % $1 and char_length(e.word) between $2 and $3
                    and (similarity(e.word, $1) > w.score or similarity(e.word, $1) = w.score and e.word < w.word)))
    order by n.user_id limit $10) c
where $5::float4 is null or w.score < $5 or w.score = $5 and w.word >= $6
order by w.score desc, w.word, c.id limit $10";

/// Where a user is among those that are similar: by how much, and by which word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    score: f32,
    word: String,
}

/// Users with a word similar to the query's, the most similar first, without those whom [`find_beginning`] finds, after one of them.
/// None where that takes too long.
pub async fn find_similar(
    directory: &Directory,
    reader: UserId,
    query: &SearchQuery,
    after: Option<(&Likeness, UserId)>,
    limit: i64,
) -> Result<Vec<(Profile, Likeness)>, StorageError> {
    let Some(word) = &query.word else {
        return Ok(Vec::new());
    };
    let (likeness, user) = after.unzip();
    let (score, at_word) = likeness.map(|likeness| (likeness.score, likeness.word.as_str())).unzip();
    let length = i16::try_from(word.chars().count()).unwrap_or(i16::MAX);
    let (shortest, longest) = (length.saturating_sub(LENGTH_MORE), length.saturating_add(LENGTH_MORE));
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let time_ms = SIMILAR_TIME.as_millis().to_string();
    transaction.query_one(LIMIT_WORK, &[&time_ms, &similarity_min(word)]).await?;
    let begin = &query.beginning;
    let found = transaction
        .query(FIND_SIMILAR, &[word, &shortest, &longest, &WORDS_MAX, &score, &at_word, &user, &reader, begin, &limit])
        .await;
    let rows = match found {
        Ok(rows) => rows,
        // The end of a transaction that failed is its rollback, and the connection is good again.
        Err(StorageError::Overloaded(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    transaction.commit().await?;
    rows.iter().map(similar_of).collect()
}

/// As like as a word with one other character is, (n - 2) of n + 4 trigrams: what is less like costs much among very many, and is not
/// meant. Of short words that would be nothing.
fn similarity_min(word: &str) -> &'static str {
    match word.chars().count() {
        0..=5 => "0.3",
        6 => "0.39",
        7 => "0.44",
        _ => "0.49",
    }
}

fn similar_of(row: &Row) -> Result<(Profile, Likeness), StorageError> {
    Ok((profile_of(row)?, Likeness { score: row.try_get(7)?, word: row.try_get(8)? }))
}
