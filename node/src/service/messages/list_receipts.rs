//! Who has read a message, as far as both sides let their positions be seen and neither blocks the other.

use std::sync::Arc;

use crate::app::App;
use crate::domain::profile::Profile;
use crate::domain::{MessageId, Refusal, Timestamp, UserId};
use crate::error::Result;
use crate::service::conversations::read_receipts::Receipts;
use crate::service::people::look_up_pairs::blocks_of;
use crate::storage::directory::profiles::read_profiles;
use crate::storage::shard::read_message::read_message;
use crate::storage::shard::read_readers::read_readers;
use crate::storage::shard::read_states::{Side, read_states};

/// Readings of one call: of a large group in which few let themselves be seen a page may be short, and the next goes on from there.
const ROUNDS_MAX: usize = 5;

/// One who has read a message.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub user: Profile,
    pub read_at: Timestamp,
}

/// Receipts after a user, in the order of ids, and after whom to go on; none: that is all. The sender has none.
pub async fn list_receipts(
    app: &Arc<App>,
    caller: UserId,
    message: MessageId,
    after: Option<UserId>,
    limit: usize,
) -> Result<(Vec<Receipt>, Option<UserId>)> {
    let shard = app.shards.of(message.conversation())?;
    let (conversation, entry) = read_message(shard, message, caller, false).await?.ok_or(Refusal::NotFound)?;
    let states = read_states(shard, caller, &[conversation.id()]).await?;
    let state = states.first().ok_or(Refusal::NotFound)?;
    let shows_own = Receipts::of(app, &[caller]).await.shows(caller, state.read_receipts);
    if !shows_own || matches!(state.side, Side::Direct { is_blocked: true, .. }) {
        return Ok((Vec::new(), None));
    }
    let blocks = blocks_of(app, caller).await?;
    let mut place = after.unwrap_or(UserId::ALL);
    let mut receipts = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let wanted = limit - receipts.len();
        let wanted_one_more = i64::try_from(wanted + 1).unwrap_or(i64::MAX);
        let mut found = read_readers(shard, conversation, message, entry.sender_id, place, wanted_one_more).await?;
        let has_more = found.len() > wanted;
        found.truncate(wanted);
        let users: Vec<UserId> = found.iter().map(|reader| reader.user).collect();
        let shown = Receipts::of(app, &users).await;
        found.retain(|reader| shown.shows(reader.user, reader.read_receipts) && !blocks.hides(reader.user));
        let mut profiles = read_profiles(&app.directory, &users).await?;
        let receipt = |user, read_at| Some(Receipt { user: profiles.remove(&user)?, read_at });
        receipts.extend(found.into_iter().map(|reader| (reader.user, reader.read_at)).filter_map({
            let mut receipt = receipt;
            move |(user, read_at)| receipt(user, read_at)
        }));
        place = users.last().copied().unwrap_or(place);
        if !has_more {
            return Ok((receipts, None));
        }
        if receipts.len() >= limit {
            break;
        }
    }
    Ok((receipts, Some(place)))
}
