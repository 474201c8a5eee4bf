//! What can be asked of a conversation's log, and what comes of it. Every command goes through the writer lane of its
//! conversation, whatever its kind, and is judged there by `judge`.

use std::sync::Arc;

use super::conversation::{ConversationRef, Role};
use super::entry::{Entry, Updated};
use super::ids::{InviteSecret, JoinToken, Seq, UserId};
use super::message::{Message, NewMessage};
use super::timestamp::Timestamp;

/// Who asks: the user of a token, with the name that entries show.
#[derive(Clone, Debug)]
pub struct Actor {
    pub id: UserId,
    pub name: Arc<str>,
}

/// A joining: the index row with this token was written before, as pending, at `pending_since` (the directory's clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    pub user: UserId,
    pub token: JoinToken,
}

/// A position named by a client: a seq, a message, or the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Newest,
    At(Seq),
    /// At an entry that has to be a message which the reader sees.
    Message(Seq),
}

#[derive(Clone, Debug)]
pub enum Command {
    /// `over_rate`: only a repeat is answered, else refused with this retry time.
    Send {
        message: NewMessage,
        over_rate_ms: Option<u64>,
    },
    /// Judged as a send would be, and nothing is written.
    CheckSend {
        message: NewMessage,
    },
    Recall {
        message: Seq,
    },
    Edit {
        message: Seq,
        content: String,
    },
    React {
        message: Seq,
        emoji: String,
        add: bool,
    },
    /// For all of the conversation: pinned, or no longer.
    Pin {
        message: Seq,
        add: bool,
    },
    /// For the actor alone; no entry.
    Hide {
        message: Seq,
    },
    Read {
        position: Position,
    },
    /// What the actor has set for this conversation.
    Settings {
        is_pinned: Option<bool>,
        muted_until: Option<Option<Timestamp>>,
        read_receipts: Option<Option<bool>>,
    },
    /// The next syncs of those who have the conversation show it again: what they see of each other has changed elsewhere.
    ShowAnew,
    Pair(PairCommand),
    Group(GroupCommand),
}

/// Changes of a pair's state, made in the row of its direct conversation, which is created where it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairCommand {
    /// The actor blocks the other user; ends friendship and what was asked either way.
    Block,
    Unblock,
    /// The actor asks the other to be friends; where the other has asked, they are.
    AskFriend,
    /// The actor takes what the other asked.
    AcceptFriend,
    RejectFriend,
    /// The actor ends friendship, or takes back what it asked.
    EndFriend,
    /// Friendship of both without their asking: for commands.
    SetFriends {
        is_friends: bool,
    },
}

#[derive(Clone, Debug)]
pub enum GroupCommand {
    /// Makes the row and seq 1. Repeated (same id): answers the first again. The owner is the actor, with the first of `members`.
    Create {
        title: String,
        avatar_url: Option<String>,
        max_members: i32,
        members: Vec<Joining>,
        not_after: Timestamp,
    },
    /// Users who are members already are left out; refuses with `group_full`. `not_after`: refused by the shard's clock when later
    /// than 5 s after the pending rows were written.
    Add {
        members: Vec<Joining>,
        not_after: Timestamp,
    },
    /// The actor joins by a link, which counts the use. Who is a member already uses nothing up.
    Join {
        /// The actor's, one.
        joinings: Vec<Joining>,
        secret: InviteSecret,
        not_after: Timestamp,
    },
    Remove {
        users: Vec<UserId>,
    },
    Leave,
    Dissolve,
    Update(Updated),
    SetRole {
        user: UserId,
        role: Role,
    },
    Mute {
        user: UserId,
        muted_until: Option<Timestamp>,
    },
}

/// What came of a command that was not refused.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of `Send`. A repeat has the first answer and made no entry.
    Sent { seq: Seq, created_at: Timestamp, is_repeat: bool },
    /// Made an entry of this seq.
    Wrote { seq: Seq, created_at: Timestamp },
    /// Recall, edit, reaction: changed nothing; `seq` of the entry that made the present state, or of the message.
    Unchanged { seq: Seq, at: Timestamp, by: UserId, message: Box<Message> },
    /// Of `Read`: positions now. `has_moved` false: nothing changed.
    Read { read_seq: Seq, unread_count: i64, last_ordinal: i64, read_ordinal: i64, has_moved: bool },
    /// Of `Settings`, as they are now.
    Settings { is_pinned: bool, muted_until: Option<Timestamp>, read_receipts: Option<bool> },
    /// Of `PairCommand`: the state before, and the state and its version, for the directory's copies.
    Pair { before: PairState, state: PairState, has_changed: bool },
    /// Of group commands that add or take members: whom in the end (tokens that stand in the shard), with the seq of the entry or, where
    /// nothing changed, the newest.
    Members { seq: Seq, joined: Vec<Joining>, already: Vec<Joining>, left: Vec<Joining>, is_dissolved: bool },
    /// Of `Hide` and `ShowAnew`, and of pins and group commands that changed nothing; of `CheckSend`: it may be sent.
    Nothing,
}

/// A pair's state as its row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a row, each for itself")]
pub struct PairState {
    pub low_blocks_high: bool,
    pub high_blocks_low: bool,
    pub is_friends: bool,
    /// Waits for the other's answer; never both, and never among friends.
    pub low_asks: bool,
    pub high_asks: bool,
    pub epoch: i64,
    pub version: i64,
    pub at: Timestamp,
}

impl PairState {
    /// Who waits for the other's answer to a friend request.
    pub const fn asker(&self, low: UserId, high: UserId) -> Option<UserId> {
        match (self.low_asks, self.high_asks) {
            (true, _) => Some(low),
            (false, true) => Some(high),
            (false, false) => None,
        }
    }
}

/// Positions of a pair after the commit, with which its unread counts travel: `last_ordinal - read_ordinal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairPositions {
    pub last_ordinal: i64,
    pub low_read_ordinal: i64,
    pub high_read_ordinal: i64,
}

/// What one commit did to one conversation: what delivery needs.
#[derive(Clone, Debug)]
pub struct ConversationCommit {
    pub conversation: ConversationRef,
    /// When the entry before the first of `entries` was made; none before the log's first.
    pub previous_created_at: Option<Timestamp>,
    /// New entries in seq order.
    pub entries: Vec<CommittedEntry>,
    /// Of groups: after the last of `entries`.
    pub members_version: i64,
    pub member_count: i32,
    /// Of pairs.
    pub positions: Option<PairPositions>,
}

#[derive(Clone, Debug)]
pub struct CommittedEntry {
    pub entry: Entry,
    /// Index of the request that made it, in the batch's answers.
    pub request: usize,
    /// Of an edit: the new content.
    pub content: Option<String>,
    /// Of an edit: who has hidden the message, and is shown no content.
    pub hidden_by: Vec<UserId>,
    /// `members_version` from this entry on; greater than before where it changed who is a member.
    pub members_version: i64,
}
