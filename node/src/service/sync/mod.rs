//! What a client gets that was away: a sync, or offline delivery.

pub mod answer_sync;
pub mod deliver_offline;
pub mod finish_sync;
pub mod plan_sync;
pub mod send_pages;
pub mod shown;
pub mod sync_by_cursor;
pub mod sync_conversations;
pub mod take_snapshots;

use std::collections::HashMap;

use crate::domain::{ConversationId, Seq};

/// Up to where each conversation counts as given: what was held back meanwhile and is not above it is not sent again.
pub type Given = HashMap<ConversationId, Seq>;
