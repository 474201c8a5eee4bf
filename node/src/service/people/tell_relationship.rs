//! Tells both users of a pair how they stand now, on all their devices: friends, who asks, whom one blocks oneself. Each is told only
//! of what is different for him: who is blocked does not learn it here.

use crate::app::App;
use crate::domain::UserId;
use crate::domain::command::PairState;
use crate::domain::friend_request::Direction;
use crate::protocol::server::{RelationshipData, relationship_updated};
use crate::service::delivery::signal::signal_users;
use crate::storage::directory::profiles::read_profiles;
use crate::storage::error::cause;

/// What one of the two sees.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    is_friend: bool,
    request: Option<Direction>,
    is_blocked: bool,
}

impl Seen {
    const fn of(state: &PairState, is_low: bool) -> Self {
        let (blocks, asks, is_asked) = if is_low {
            (state.low_blocks_high, state.low_asks, state.high_asks)
        } else {
            (state.high_blocks_low, state.high_asks, state.low_asks)
        };
        let request = match (asks, is_asked) {
            (true, _) => Some(Direction::Outgoing),
            (false, true) => Some(Direction::Incoming),
            (false, false) => None,
        };
        Self { is_friend: state.is_friends, request, is_blocked: blocks }
    }
}

/// The lists say so already: what fails here is logged, and undoes nothing.
pub(super) async fn tell_relationship(app: &App, low: UserId, high: UserId, before: &PairState, after: &PairState) {
    let told = [(low, high, true), (high, low, false)];
    let told = told.into_iter().filter(|(.., is_low)| Seen::of(before, *is_low) != Seen::of(after, *is_low));
    let told: Vec<_> = told.collect();
    let others: Vec<UserId> = told.iter().map(|(_, other, _)| *other).collect();
    let profiles = match read_profiles(&app.directory, &others).await {
        Ok(profiles) => profiles,
        Err(error) => return tracing::debug!(error = cause(&error), "a pair is not told how it stands"),
    };
    for (user, other, is_low) in told {
        let Some(profile) = profiles.get(&other) else { continue };
        let Seen { is_friend, request, is_blocked } = Seen::of(after, is_low);
        let data =
            RelationshipData { user: profile, friend: is_friend, request, blocked: is_blocked, updated_at: after.at };
        signal_users(app, &[user], &relationship_updated(&data), None).await;
    }
}
