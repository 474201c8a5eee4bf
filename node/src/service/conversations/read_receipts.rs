//! Who may see whose read position: both sides must let theirs be seen, in this conversation or for all, and none may block the
//! other.

use std::collections::HashMap;

use crate::app::App;
use crate::domain::{Seq, UserId};
use crate::storage::directory::read_listing;
use crate::storage::shard::read_states::{Side, State};

/// What some users have set for all their conversations.
#[derive(Clone, Debug, Default)]
pub struct Receipts(HashMap<UserId, bool>);

impl Receipts {
    /// Of a reader and of the other sides of these conversations. Where the directory does not answer, nobody is shown.
    pub async fn read(app: &App, reader: UserId, states: impl Iterator<Item = &State>) -> Self {
        let peers = states.filter_map(|state| match state.side {
            Side::Direct { peer, .. } => Some(peer),
            Side::Group { .. } => None,
        });
        Self::of(app, &peers.chain([reader]).collect::<Vec<_>>()).await
    }

    pub async fn of(app: &App, users: &[UserId]) -> Self {
        match read_listing::read_read_receipts(&app.directory, users).await {
            Ok(found) => Self(found),
            Err(error) => {
                tracing::debug!(%error, "read receipts are hidden: the directory does not answer");
                Self::default()
            }
        }
    }

    /// Whether a user lets its position be seen where it has this setting of its own.
    pub fn shows(&self, user: UserId, here: Option<bool>) -> bool {
        self.0.get(&user).is_some_and(|for_all| here.unwrap_or(*for_all))
    }

    /// The other side's position, as the reader may see it.
    pub fn peer_read_seq(&self, reader: UserId, state: &State) -> Option<Seq> {
        match state.side {
            Side::Direct { peer, peer_read_seq, peer_read_receipts, is_blocked } => {
                let is_shown =
                    !is_blocked && self.shows(reader, state.read_receipts) && self.shows(peer, peer_read_receipts);
                is_shown.then_some(peer_read_seq)
            }
            Side::Group { .. } => None,
        }
    }
}
