//! What a client asks for when it was away (contract 2.5).

use uuid::Uuid;

use super::ids::Seq;

/// Conversations one `sync` may name.
pub const CONVERSATIONS_MAX: usize = 100;
/// Entries of `seen` in one `sync`.
pub const SEEN_MAX: usize = 500;
/// Greatest, and usual, number of entries for each conversation; a larger `limit` is cut.
pub const LIMIT_MAX: u32 = 1_000;
/// Entries for each conversation in a sync without a cursor, and of those beyond the bound of a whole sync.
pub const NEWEST: u32 = 20;
/// Conversations of a sync without a cursor.
pub const NEWEST_CONVERSATIONS: usize = 100;
/// Hidden messages of one conversation that a sync by cursor names; beyond that older ones are a gap.
pub const HIDDEN_MAX: usize = 10_000;
/// The newest of them that a sync without a cursor names.
pub const HIDDEN_NEWEST: usize = 1_000;
/// Frames of a whole sync by cursor, before only the newest of each conversation are given.
pub const FRAMES_MAX: u64 = 10_000;

/// A position that a client names. The id is as the client wrote it: one that is no conversation's is answered with `gone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub conversation_id: Uuid,
    pub seq: Seq,
}

/// The data of a `sync` frame, or of `sync` in `auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    pub cursor: Option<String>,
    /// `after_seq` of each conversation asked for; at most [`CONVERSATIONS_MAX`].
    pub conversations: Option<Vec<Held>>,
    /// What the client holds without holes; at most [`SEEN_MAX`].
    pub seen: Vec<Held>,
    pub limit: Option<u32>,
}

impl SyncRequest {
    /// Entries for each conversation, where the client named a number.
    pub fn limit(&self) -> Option<u32> {
        self.limit.map(|limit| limit.clamp(1, LIMIT_MAX))
    }

    pub fn seen(&self, conversation: Uuid) -> Seq {
        self.seen
            .iter()
            .filter(|held| held.conversation_id == conversation)
            .map(|held| held.seq)
            .max()
            .unwrap_or_default()
    }
}
