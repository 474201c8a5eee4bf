//! Puts users' lists of conversations right where a node died between the two databases: what the shard says of a joining stands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::app::App;
use crate::domain::command::Joining;
use crate::domain::{ConversationId, Seq, UserId};
use crate::error::Result;
use crate::service::carry_through::retry;
use crate::storage::ShardId;
use crate::storage::directory::listing::{self, Pending};
use crate::storage::error::cause;
use crate::storage::shard::own_rows;
use crate::storage::shard::read_members::{Interval, read_dissolved, read_intervals};

/// A joining is committed within 5 s of its row or never, so this is long over.
pub const PENDING_AGE: Duration = Duration::from_mins(10);
/// Rows of ended joinings stay this long, so that a sync can show their last entries.
const LEFT_AGE: Duration = Duration::from_hours(90 * 24);
/// Pending rows of one look.
const PENDING_MAX: i64 = 10_000;
/// Members of a dissolved group read at once.
const PAGE: i64 = 1_000;
/// Ended rows deleted by one statement.
const LEFT_MAX: i64 = 10_000;

/// Looks at rows that have been pending for longer than `age`. Answers how many were put right.
pub async fn sweep_listings(app: &Arc<App>, age: Duration) -> Result<usize> {
    let mut groups: HashMap<ConversationId, Vec<Joining>> = HashMap::new();
    for pending in listing::read_pending(&app.directory, age, PENDING_MAX).await? {
        groups.entry(pending.conversation).or_default().push(pending.joining);
    }
    let mut finished = 0;
    for (conversation, joinings) in groups {
        match settle(app, conversation, &joinings).await {
            Ok(()) => finished += joinings.len(),
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "joinings wait for their shard");
            }
        }
    }
    forget_left(app).await?;
    Ok(finished)
}

/// Deletes the rows of joinings that ended long ago, and before them what their users had set in those groups: later nothing would
/// lead there. What is in a shard that is away waits.
async fn forget_left(app: &App) -> Result<()> {
    let mut by_shard: BTreeMap<ShardId, Vec<Pending>> = BTreeMap::new();
    for left in listing::read_left(&app.directory, LEFT_AGE, LEFT_MAX).await? {
        if let Ok(shard) = app.shards.of(left.conversation) {
            by_shard.entry(shard.id).or_default().push(left);
        }
    }
    for (shard, left) in by_shard {
        let Some(shard) = app.shards.get(shard) else { continue };
        let users: Vec<_> = left.iter().map(|left| (left.conversation, left.joining.user)).collect();
        match own_rows::forget_left(shard, &users).await {
            Ok(()) => listing::delete_left(&app.directory, &left).await?,
            Err(error) => tracing::debug!(error = cause(&error), "rows of ended joinings wait for their shard"),
        }
    }
    Ok(())
}

/// Confirms, marks, replaces or deletes the rows of joinings of one group, by what the shard says of each.
pub(super) async fn settle(app: &App, conversation: ConversationId, joinings: &[Joining]) -> Result<()> {
    let users: Vec<UserId> = joinings.iter().map(|joining| joining.user).collect();
    let void = settle_users(app, conversation, joinings, &users).await?;
    retry(|| listing::withdraw(&app.directory, conversation, &void)).await?;
    finish_dissolved(app, conversation).await
}

/// Writes what the shard says of these users. Answers those of `joinings` that do not stand; they may be on their way still, so that
/// only one who knows that they are not may delete them.
pub(super) async fn settle_users(
    app: &App,
    conversation: ConversationId,
    joinings: &[Joining],
    users: &[UserId],
) -> Result<Vec<Joining>> {
    let shard = app.shards.of(conversation)?;
    let intervals = retry(|| read_intervals(shard, conversation, users)).await?;
    let verdict = judge(joinings, &intervals);
    retry(|| listing::stand_in(&app.directory, conversation, &verdict.standing)).await?;
    for (left_seq, ended) in verdict.ended {
        retry(|| listing::mark_left(&app.directory, conversation, &ended, left_seq)).await?;
    }
    Ok(verdict.void)
}

/// Marks the rows of all who were members of a group to its end, where it has ended.
pub(super) async fn finish_dissolved(app: &App, conversation: ConversationId) -> Result<()> {
    let shard = app.shards.of(conversation)?;
    let mut after = UserId(Uuid::nil());
    loop {
        let page = read_dissolved(shard, conversation, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.user;
        let left_seq = last.left_seq.unwrap_or_default();
        let ended: Vec<Joining> =
            page.iter().map(|interval| Joining { user: interval.user, token: interval.token }).collect();
        retry(|| listing::mark_left(&app.directory, conversation, &ended, left_seq)).await?;
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Rows that are to be there, not pending.
    standing: Vec<Joining>,
    /// Rows that are to be marked as left, by the seq of the last entry.
    ended: HashMap<Seq, Vec<Joining>>,
    /// Rows of joinings that did not come to be, or whose interval a later one has replaced.
    void: Vec<Joining>,
}

fn judge(joinings: &[Joining], intervals: &[Interval]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut settled = HashMap::new();
    for interval in intervals {
        let joining = Joining { user: interval.user, token: interval.token };
        settled.insert(interval.user, interval.token);
        match interval.left_seq {
            None => verdict.standing.push(joining),
            Some(left_seq) => verdict.ended.entry(left_seq).or_default().push(joining),
        }
    }
    verdict.void =
        joinings.iter().copied().filter(|joining| settled.get(&joining.user) != Some(&joining.token)).collect();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JoinToken;

    #[test]
    fn the_shard_says_which_joining_stands() {
        let joining = || Joining { user: UserId::random(), token: JoinToken::random() };
        let (stands, left, never, replaced) = (joining(), joining(), joining(), joining());
        let other = Joining { user: replaced.user, token: JoinToken::random() };
        let interval = |joining: Joining, left_seq| Interval { user: joining.user, token: joining.token, left_seq };
        let intervals = [interval(stands, None), interval(left, Some(Seq(7))), interval(other, None)];
        let verdict = judge(&[stands, left, never, replaced], &intervals);
        assert_eq!(verdict.standing, [stands, other]);
        assert_eq!(verdict.ended, HashMap::from([(Seq(7), vec![left])]));
        assert_eq!(verdict.void, [never, replaced]);
    }
}
