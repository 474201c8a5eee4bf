//! What the judge goes by and what it leaves to be written: the rows that a batch touches, as read under the locks, changed in
//! place.

use std::collections::HashMap;

use smallvec::SmallVec;
use uuid::Uuid;

use super::Asked;
use crate::domain::command::{CommittedEntry, ConversationCommit, PairPositions, PairState};
use crate::domain::ids::SEQ_MAX;
use crate::domain::invite::InviteState;
use crate::domain::message::Message;
use crate::domain::settings::Policy;
use crate::domain::{
    Body, ConversationId, ConversationRef, Entry, InviteSecret, JoinToken, MessageId, Refusal, Role, Seq, Timestamp,
    UserId,
};

/// Conversations apart from all else, so that one can be changed while the rest is looked at.
#[derive(Debug)]
pub struct Model {
    pub conversations: HashMap<ConversationId, Conversation>,
    pub book: Book,
}

/// A conversation's row. The locked state first; the judge moves it on.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub reference: ConversationRef,
    pub last_seq: Seq,
    pub last_ordinal: i64,
    pub last_created_at: Timestamp,
    /// As the row had it: of the entry before this batch's first.
    pub previous_created_at: Option<Timestamp>,
    pub detail: Detail,
    /// The row is to be written.
    pub is_changed: bool,
    /// This batch gives it entries: `changed_tx` moves.
    pub has_entries: bool,
}

#[derive(Clone, Debug)]
pub enum Detail {
    Pair(Pair),
    Group(Box<Group>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    pub is_friends: bool,
    pub version: i64,
    pub low: Side,
    pub high: Side,
}

/// What a pair's row says of one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a row, each for itself")]
pub struct Side {
    pub blocks_other: bool,
    /// Has asked the other to be friends, and has no answer yet.
    pub asks: bool,
    pub has_written: bool,
    pub read_seq: Seq,
    pub read_ordinal: i64,
    /// Received at least up to here by what this batch did; 0: nothing to write.
    pub received_seq: Seq,
    /// `own_tx` moves.
    pub has_moved: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub title: String,
    pub avatar_url: Option<String>,
    pub announcement: Option<String>,
    pub is_muted: bool,
    /// All who are members still have left with the last entry; their rows, up to a hundred thousand, do not say so.
    pub is_dissolved: bool,
    pub owner: Option<UserId>,
    pub max_members: i32,
    pub member_count: i32,
    pub members_version: i64,
    /// Something beside the counters is to be written.
    pub has_new_details: bool,
}

impl Group {
    /// Made, and not dissolved. (A row without entries belongs to a group whose creation was refused or is yet to be judged.)
    pub fn stands(&self, last_seq: Seq) -> bool {
        last_seq > Seq::ZERO && !self.is_dissolved
    }
}

/// A member's row; of a group, not of pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub token: JoinToken,
    pub role: Role,
    pub first_seq: Seq,
    pub first_ordinal: i64,
    pub left_seq: Option<Seq>,
    pub read_seq: Seq,
    pub read_ordinal: i64,
    /// As in [`Side`].
    pub received_seq: Seq,
    pub muted_until: Option<Timestamp>,
    pub joined_at: Timestamp,
    /// A new interval: the whole row is to be written.
    pub is_joined_now: bool,
    pub is_changed: bool,
    /// `own_tx` moves.
    pub has_moved: bool,
}

/// An earlier send with the same `client_key`.
#[derive(Clone, Debug)]
pub enum Prior {
    Stored {
        id: MessageId,
        sender: UserId,
        temp_id: String,
        sent_hash: i64,
        created_at: Timestamp,
    },
    /// Made by this batch: its index in `entries`.
    Fresh(usize),
}

/// An entry that a command of the batch speaks of.
#[derive(Clone, Debug)]
pub struct Target {
    pub sender: UserId,
    pub created_at: Timestamp,
    pub ordinal: i64,
    /// `None`: the entry is no message.
    pub message: Option<Message>,
    /// Who has hidden it; read for edits only.
    pub hidden_by: Vec<UserId>,
    pub is_changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReactionKey {
    pub message: MessageId,
    pub emoji: String,
    pub user: UserId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReactionState {
    pub is_present: bool,
    pub seq: Seq,
    pub is_changed: bool,
}

/// A message that is pinned, or was until this batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinState {
    pub by: UserId,
    pub at: Timestamp,
    /// Of the entry that pinned it.
    pub seq: Seq,
    pub is_present: bool,
    pub is_changed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Personal {
    pub is_pinned: bool,
    pub muted_until: Option<Timestamp>,
    pub read_receipts: Option<bool>,
    pub is_changed: bool,
}

/// An entry of this batch.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub entry: Entry,
    pub client_key: Uuid,
    pub sent_hash: i64,
    /// Index of the request that made it.
    pub request: usize,
    /// Of an edit: the message's present content.
    pub content: Option<String>,
    /// Of an edit: who has hidden the message.
    pub hidden_by: Vec<UserId>,
    pub members_version: i64,
}

/// Everything beside the conversations' rows.
#[derive(Debug)]
pub struct Book {
    /// The shard's clock, read under the locks.
    pub now: Timestamp,
    pub epoch: i64,
    pub policy: Policy,
    pub members: HashMap<(ConversationId, UserId), Member>,
    pub priors: HashMap<Uuid, SmallVec<[Prior; 1]>>,
    pub targets: HashMap<MessageId, Target>,
    pub reactions: HashMap<ReactionKey, ReactionState>,
    /// All of each conversation in which the batch pins or recalls.
    pub pins: HashMap<MessageId, PinState>,
    pub personals: HashMap<(ConversationId, UserId), Personal>,
    /// Links that commands of the batch name.
    pub invites: HashMap<(ConversationId, InviteSecret), InviteState>,
    /// Who is mentioned by which new entry.
    pub mentions: Vec<(MessageId, UserId)>,
    /// What users hide for themselves; some may be hidden already.
    pub hides: Vec<(UserId, MessageId)>,
    /// Where read positions moved to by reading.
    pub read_marks: HashMap<(ConversationId, UserId), Seq>,
    /// In the order of their making.
    pub entries: Vec<NewEntry>,
}

/// What the judge asks of an entry named by a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetView<'a> {
    pub sender: UserId,
    pub created_at: Timestamp,
    pub message: Option<&'a Message>,
}

impl Conversation {
    pub const fn id(&self) -> ConversationId {
        self.reference.id()
    }

    /// What delivery needs to know beside the entries.
    fn commit(&self) -> ConversationCommit {
        let (members_version, member_count) = match &self.detail {
            Detail::Group(group) => (group.members_version, group.member_count),
            Detail::Pair(_) => (0, 0),
        };
        let positions = match &self.detail {
            Detail::Pair(pair) => Some(PairPositions {
                last_ordinal: self.last_ordinal,
                low_read_ordinal: pair.low.read_ordinal,
                high_read_ordinal: pair.high.read_ordinal,
            }),
            Detail::Group(_) => None,
        };
        ConversationCommit {
            conversation: self.reference,
            previous_created_at: self.previous_created_at,
            entries: Vec::new(),
            members_version,
            member_count,
            positions,
        }
    }
}

impl Pair {
    const LOW_BLOCKS: i32 = 1;
    const HIGH_BLOCKS: i32 = 2;
    const FRIENDS: i32 = 4;
    const LOW_WROTE: i32 = 8;
    const HIGH_WROTE: i32 = 16;
    const LOW_ASKS: i32 = 32;
    const HIGH_ASKS: i32 = 64;

    /// As the row keeps it.
    pub fn flags(&self) -> i32 {
        [
            (self.low.blocks_other, Self::LOW_BLOCKS),
            (self.high.blocks_other, Self::HIGH_BLOCKS),
            (self.is_friends, Self::FRIENDS),
            (self.low.has_written, Self::LOW_WROTE),
            (self.high.has_written, Self::HIGH_WROTE),
            (self.low.asks, Self::LOW_ASKS),
            (self.high.asks, Self::HIGH_ASKS),
        ]
        .iter()
        .filter(|(is_set, _)| *is_set)
        .fold(0, |flags, (_, flag)| flags | flag)
    }

    pub fn from_flags(version: i64, flags: i32) -> Self {
        let has = |flag| flags & flag != 0;
        Self {
            is_friends: has(Self::FRIENDS),
            version,
            low: Side {
                blocks_other: has(Self::LOW_BLOCKS),
                asks: has(Self::LOW_ASKS),
                has_written: has(Self::LOW_WROTE),
                ..Side::default()
            },
            high: Side {
                blocks_other: has(Self::HIGH_BLOCKS),
                asks: has(Self::HIGH_ASKS),
                has_written: has(Self::HIGH_WROTE),
                ..Side::default()
            },
        }
    }

    /// The actor's side and the other's.
    pub(super) const fn sides(&mut self, is_low: bool) -> (&mut Side, &mut Side) {
        if is_low { (&mut self.low, &mut self.high) } else { (&mut self.high, &mut self.low) }
    }

    /// Friends or not; either way nobody is asked any more.
    pub(super) const fn settle(&mut self, is_friends: bool) {
        self.is_friends = is_friends;
        self.low.asks = false;
        self.high.asks = false;
    }

    pub const fn state(&self, epoch: i64, at: Timestamp) -> PairState {
        PairState {
            low_blocks_high: self.low.blocks_other,
            high_blocks_low: self.high.blocks_other,
            is_friends: self.is_friends,
            low_asks: self.low.asks,
            high_asks: self.high.asks,
            epoch,
            version: self.version,
            at,
        }
    }
}

impl Book {
    pub fn new(now: Timestamp, epoch: i64, policy: Policy) -> Self {
        Self {
            now,
            epoch,
            policy,
            members: HashMap::new(),
            priors: HashMap::new(),
            targets: HashMap::new(),
            reactions: HashMap::new(),
            pins: HashMap::new(),
            personals: HashMap::new(),
            invites: HashMap::new(),
            mentions: Vec::new(),
            hides: Vec::new(),
            read_marks: HashMap::new(),
            entries: Vec::new(),
        }
    }

    pub(super) fn active_member(&self, conversation: ConversationId, user: UserId) -> Option<&Member> {
        self.members.get(&(conversation, user)).filter(|member| member.left_seq.is_none())
    }

    pub(super) fn active_member_mut(&mut self, conversation: ConversationId, user: UserId) -> Option<&mut Member> {
        self.members.get_mut(&(conversation, user)).filter(|member| member.left_seq.is_none())
    }

    /// An entry named by a command, of this batch or read.
    pub(super) fn target(&self, id: MessageId) -> Option<TargetView<'_>> {
        if let Some(target) = self.targets.get(&id) {
            return Some(TargetView {
                sender: target.sender,
                created_at: target.created_at,
                message: target.message.as_ref(),
            });
        }
        let fresh = self.entries.iter().find(|fresh| fresh.entry.id == id)?;
        let message = if let Body::Message(message) = &fresh.entry.body { Some(&**message) } else { None };
        Some(TargetView { sender: fresh.entry.sender_id, created_at: fresh.entry.created_at, message })
    }

    pub(super) fn is_pinned(&self, id: MessageId) -> bool {
        self.pins.get(&id).is_some_and(|state| state.is_present)
    }

    pub(super) fn pin_count(&self, conversation: ConversationId) -> usize {
        self.pins.iter().filter(|(id, state)| id.conversation() == conversation && state.is_present).count()
    }

    /// Who has hidden a message, in this batch or before.
    pub(super) fn hidden_by(&self, id: MessageId) -> Vec<UserId> {
        let before = self.targets.get(&id).map(|target| target.hidden_by.clone()).unwrap_or_default();
        let now = self.hides.iter().filter(|(_, message)| *message == id).map(|(user, _)| *user);
        before.into_iter().chain(now).collect()
    }

    /// Number of messages up to an entry.
    pub(super) fn ordinal_at(&self, id: MessageId) -> Option<i64> {
        let read = self.targets.get(&id).map(|target| target.ordinal);
        read.or_else(|| self.entries.iter().find(|fresh| fresh.entry.id == id).map(|fresh| fresh.entry.ordinal))
    }

    /// Changes a message where it stands: read, or made by this batch. Edits of this batch show its present content too.
    pub(super) fn change_message(&mut self, id: MessageId, change: impl FnOnce(&mut Message)) {
        let mut content = None;
        if let Some(target) = self.targets.get_mut(&id) {
            if let Some(message) = &mut target.message {
                change(message);
                target.is_changed = true;
                content.clone_from(&message.content);
            }
        } else if let Some(fresh) = self.entries.iter_mut().find(|fresh| fresh.entry.id == id)
            && let Body::Message(message) = &mut fresh.entry.body
        {
            change(message);
            content.clone_from(&message.content);
        }
        for fresh in &mut self.entries {
            let is_of_it = fresh.entry.id.conversation() == id.conversation();
            if is_of_it && matches!(&fresh.entry.body, Body::Edit(edit) if edit.message_seq == id.seq()) {
                fresh.content.clone_from(&content);
            }
        }
    }

    /// Gives out the next seq. Only messages count as unread.
    pub(super) fn append(
        &mut self,
        conversation: &mut Conversation,
        asked: &Asked<'_>,
        body: Body,
    ) -> Result<&mut NewEntry, Refusal> {
        if conversation.last_seq.0 >= SEQ_MAX {
            return Err(Refusal::Internal);
        }
        conversation.last_seq = conversation.last_seq.next();
        if matches!(body, Body::Message(_)) {
            conversation.last_ordinal += 1;
        }
        conversation.last_created_at = conversation.last_created_at.max(self.now);
        conversation.is_changed = true;
        conversation.has_entries = true;
        let members_version = match &conversation.detail {
            Detail::Group(group) => group.members_version,
            Detail::Pair(_) => 0,
        };
        self.entries.push(NewEntry {
            entry: Entry {
                id: conversation.id().message(conversation.last_seq),
                sender_id: asked.actor.id,
                sender_name: asked.actor.name.to_string(),
                body,
                temp_id: None,
                ordinal: conversation.last_ordinal,
                created_at: conversation.last_created_at,
            },
            client_key: asked.client_key,
            sent_hash: 0,
            request: asked.index,
            content: None,
            hidden_by: Vec::new(),
            members_version,
        });
        self.entries.last_mut().ok_or(Refusal::Internal)
    }
}

impl Model {
    /// What delivery needs, after the commit: the conversations with new entries, in the order of their first.
    pub fn into_commits(self) -> Vec<ConversationCommit> {
        let mut places: HashMap<ConversationId, usize> = HashMap::new();
        let mut commits: Vec<ConversationCommit> = Vec::new();
        for fresh in self.book.entries {
            let id = fresh.entry.id.conversation();
            let place = *places.entry(id).or_insert_with(|| {
                commits.extend(self.conversations.get(&id).map(Conversation::commit));
                commits.len().saturating_sub(1)
            });
            let committed = CommittedEntry {
                entry: fresh.entry,
                request: fresh.request,
                content: fresh.content,
                hidden_by: fresh.hidden_by,
                members_version: fresh.members_version,
            };
            if let Some(commit) = commits.get_mut(place) {
                commit.entries.push(committed);
            }
        }
        commits
    }
}
