//! Round trip one: begin, lock, and then, in statements of their own that see what was committed while the locks were awaited,
//! what the batch is judged by.

use std::collections::{HashMap, HashSet};

use futures_util::join;
use tokio_postgres::Row;
use uuid::Uuid;

use super::link::Link;
use super::{Mode, Queued};
use crate::domain::command::{Command, GroupCommand, Position};
use crate::domain::ids::SEQ_MAX;
use crate::domain::invite::InviteState;
use crate::domain::judge::model::{
    Book, Conversation, Detail, Group, Member, Model, Pair, Personal, PinState, Prior, ReactionKey, ReactionState,
    Target,
};
use crate::domain::settings::Policy;
use crate::domain::{
    Body, ConversationId, ConversationKind, ConversationRef, EntryKind, InviteSecret, MessageId, Role, Seq, Timestamp,
    UserId,
};
use crate::storage::StorageError;
use crate::storage::types::Xid8;

/// Locks in id order, so that no two lanes wait for each other in a circle. The rows come as they are once locked.
pub(super) const LOCK: &str = "\
    select id, last_seq, last_ordinal, last_created_at, pair_version, pair_flags, low_read_seq, low_read_ordinal,
        high_read_seq, high_read_ordinal, title, avatar_url, announcement, is_muted, is_dissolved, owner_id, max_members,
        member_count, members_version, low_user, high_user
    from conversation where id = any($1::uuid[]) order by id for update";

/// The same without waiting: what is locked by others is left out.
pub(super) const LOCK_FREE: &str = "\
    select id, last_seq, last_ordinal, last_created_at, pair_version, pair_flags, low_read_seq, low_read_ordinal,
        high_read_seq, high_read_ordinal, title, avatar_url, announcement, is_muted, is_dissolved, owner_id, max_members,
        member_count, members_version, low_user, high_user
    from conversation where id = any($1::uuid[]) order by id for update skip locked";

/// Clock, snapshot, epoch, timeline, and which of these slots this database does not hold.
pub(super) const STATUS: &str = "\
    select clock_timestamp(), pg_snapshot_xmin(pg_current_snapshot()), epoch, timeline,
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        array(select s from unnest($1::int2[]) s where not exists
            (select 1 from slot where slot.slot = s and slot.state = 0))
    from epoch where is_only";

/// Which of these rows exist: one that `LOCK_FREE` left out is locked, not missing.
pub(super) const EXISTING: &str = "select id from conversation where id = any($1::uuid[])";

/// Earlier sends with the same key. The range of ids names the partition; the key is compared twice, so that its index looks
/// better than the primary key's to a planner without statistics.
pub(super) const PRIORS: &str = "\
    select e.client_key, e.id, e.sender_id, e.temp_id, e.sent_hash, e.created_at
    from unnest($1::uuid[], $2::uuid[], $3::uuid[]) k(key, first, last)
    join entry e on e.client_key = k.key and e.client_key <= k.key and e.id >= k.first and e.id <= k.last
    where e.temp_id is not null";

pub(super) const MEMBERS: &str = "\
    select m.conversation_id, m.user_id, m.join_token, m.role, m.first_seq, m.first_ordinal, m.left_seq, m.read_seq,
        m.read_ordinal, m.muted_until, m.joined_at
    from unnest($1::uuid[], $2::uuid[]) k(conversation_id, user_id)
    join member m on m.conversation_id = k.conversation_id and m.user_id = k.user_id";

pub(super) const TARGETS: &str = "\
    select e.id, e.sender_id, e.kind, e.body, e.ordinal, e.created_at
    from unnest($1::uuid[]) k(id) join entry e on e.id = k.id";

/// Who has hidden messages that are to be edited.
pub(super) const HIDERS: &str = "\
    select h.message_id, h.user_id from unnest($1::uuid[]) k(id) join hidden h on h.message_id = k.id";

pub(super) const REACTIONS: &str = "\
    select r.conversation_id, r.message_seq, r.emoji, r.user_id, r.is_present, r.seq
    from unnest($1::uuid[], $2::int8[], $3::text[], $4::uuid[]) k(conversation_id, message_seq, emoji, user_id)
    join reaction r on r.conversation_id = k.conversation_id and r.message_seq = k.message_seq and r.emoji = k.emoji
        and r.user_id = k.user_id";

/// All of a conversation: there are few.
pub(super) const PINS: &str = "\
    select p.message_id, p.pinned_by, p.pinned_at, p.seq
    from unnest($1::uuid[], $2::uuid[]) k(first, last)
    join pin p on p.message_id >= k.first and p.message_id <= k.last";

pub(super) const PERSONALS: &str = "\
    select p.conversation_id, p.user_id, p.is_pinned, p.muted_until, p.read_receipts
    from unnest($1::uuid[], $2::uuid[]) k(conversation_id, user_id)
    join personal p on p.conversation_id = k.conversation_id and p.user_id = k.user_id";

/// Locked, so that a link is withdrawn either before a joining or after its commit.
pub(super) const INVITES: &str = "\
    select i.conversation_id, i.secret, i.uses, i.max_uses, i.expires_at
    from unnest($1::uuid[], $2::uuid[]) k(conversation_id, secret)
    join invite i on i.conversation_id = k.conversation_id and i.secret = k.secret
    order by i.conversation_id, i.secret for update of i";

/// What a batch is judged by, as arrays for the statements above.
#[derive(Debug, Default)]
pub(super) struct Wants {
    pub ids: Vec<ConversationId>,
    slots: Vec<i16>,
    prior_keys: Vec<Uuid>,
    prior_first: Vec<ConversationId>,
    prior_last: Vec<MessageId>,
    member_conversations: Vec<ConversationId>,
    member_users: Vec<UserId>,
    targets: Vec<MessageId>,
    edited: Vec<MessageId>,
    reaction_conversations: Vec<ConversationId>,
    reaction_messages: Vec<Seq>,
    reaction_emojis: Vec<String>,
    reaction_users: Vec<UserId>,
    pinned: Vec<ConversationId>,
    personal_conversations: Vec<ConversationId>,
    personal_users: Vec<UserId>,
    invite_conversations: Vec<ConversationId>,
    invite_secrets: Vec<InviteSecret>,
}

impl Wants {
    pub fn of(batch: &[Queued]) -> Self {
        let mut wants = Self::default();
        let mut members = Vec::new();
        for queued in batch {
            let reference = queued.request.conversation;
            let id = reference.id();
            wants.ids.push(id);
            let actor = queued.request.actor.id;
            if reference.kind() == ConversationKind::Group {
                members.push((id, actor));
            }
            wants.add_command(id, actor, queued, &mut members);
        }
        wants.ids.sort_unstable();
        wants.ids.dedup();
        wants.slots = wants.ids.iter().filter_map(|id| i16::try_from(id.slot().0).ok()).collect();
        wants.slots.dedup();
        members.sort_unstable();
        members.dedup();
        (wants.member_conversations, wants.member_users) = members.into_iter().unzip();
        wants.targets.sort_unstable();
        wants.targets.dedup();
        wants.pinned.sort_unstable();
        wants.pinned.dedup();
        wants
    }

    fn add_command(
        &mut self,
        id: ConversationId,
        actor: UserId,
        queued: &Queued,
        members: &mut Vec<(ConversationId, UserId)>,
    ) {
        match &queued.request.command {
            Command::Send { message, .. } | Command::CheckSend { message } => {
                self.prior_keys.push(queued.client_key);
                self.prior_first.push(id);
                self.prior_last.push(id.message(Seq(SEQ_MAX)));
                self.targets.extend(message.message.reply_to.filter(|quoted| quoted.conversation() == id));
            }
            Command::Hide { message } => self.add_target(id, *message),
            Command::Recall { message } | Command::Pin { message, .. } => {
                self.add_target(id, *message);
                self.pinned.push(id);
            }
            Command::Edit { message, .. } => {
                self.add_target(id, *message);
                self.edited.push(id.message(*message));
            }
            Command::React { message, emoji, .. } => {
                self.add_target(id, *message);
                self.reaction_conversations.push(id);
                self.reaction_messages.push(*message);
                self.reaction_emojis.push(emoji.clone());
                self.reaction_users.push(actor);
            }
            Command::Read { position: Position::At(seq) | Position::Message(seq) } => self.add_target(id, *seq),
            Command::Settings { .. } => {
                self.personal_conversations.push(id);
                self.personal_users.push(actor);
            }
            Command::Group(
                GroupCommand::Create { members: joinings, .. } | GroupCommand::Add { members: joinings, .. },
            ) => {
                members.extend(joinings.iter().map(|joining| (id, joining.user)));
            }
            // The actor, who joins, is looked for in any case.
            Command::Group(GroupCommand::Join { secret, .. }) => {
                self.invite_conversations.push(id);
                self.invite_secrets.push(*secret);
            }
            Command::Group(GroupCommand::Remove { users }) => members.extend(users.iter().map(|user| (id, *user))),
            Command::Group(GroupCommand::SetRole { user, .. } | GroupCommand::Mute { user, .. }) => {
                members.push((id, *user));
            }
            Command::Read { position: Position::Newest } | Command::ShowAnew | Command::Pair(_) | Command::Group(_) => {
            }
        }
    }

    fn add_target(&mut self, id: ConversationId, seq: Seq) {
        if seq > Seq::ZERO && seq.0 <= SEQ_MAX {
            self.targets.push(id.message(seq));
        }
    }
}

/// What round trip one found.
#[derive(Debug)]
pub(super) struct Found {
    pub model: Model,
    pub xmin: Xid8,
    /// The timeline that the epoch row names, and the server's own.
    pub timelines: (String, String),
    /// Slots asked for that this database does not hold.
    pub not_held: HashSet<i16>,
    /// Rows that exist; filled in [`Mode::Free`] only.
    pub existing: HashSet<ConversationId>,
}

/// The raw answers of round trip one.
struct Answers {
    rows: Vec<Row>,
    status: Vec<Row>,
    existing: Vec<Row>,
    priors: Vec<Row>,
    members: Vec<Row>,
    targets: Vec<Row>,
    hiders: Vec<Row>,
    reactions: Vec<Row>,
    pins: Vec<Row>,
    personals: Vec<Row>,
    invites: Vec<Row>,
}

/// Begins, locks and reads. On an error the transaction is still open; the first error is the one that counts.
pub(super) async fn lock_and_read(
    link: &Link,
    wants: &Wants,
    mode: Mode,
    policy: Policy,
) -> Result<Found, StorageError> {
    let answers = ask(link, wants, mode).await?;
    decode(&answers, policy)
}

async fn ask(link: &Link, wants: &Wants, mode: Mode) -> Result<Answers, tokio_postgres::Error> {
    let client = &link.client;
    let statements = &link.statements;
    let lock = match mode {
        Mode::Waiting => &statements.lock,
        Mode::Free => &statements.lock_free,
    };
    // All are sent in this order before the first answer is awaited.
    let (begun, rows, status, existing, priors, members, targets, hiders, reactions, pins, personals, invites) = join!(
        client.batch_execute("BEGIN"),
        async { client.query(lock, &[&wants.ids]).await },
        async { client.query(&statements.status, &[&wants.slots]).await },
        async {
            if mode == Mode::Waiting {
                return Ok(Vec::new());
            }
            client.query(&statements.existing, &[&wants.ids]).await
        },
        async {
            if wants.prior_keys.is_empty() {
                return Ok(Vec::new());
            }
            client.query(&statements.priors, &[&wants.prior_keys, &wants.prior_first, &wants.prior_last]).await
        },
        async {
            if wants.member_users.is_empty() {
                return Ok(Vec::new());
            }
            client.query(&statements.members, &[&wants.member_conversations, &wants.member_users]).await
        },
        async {
            if wants.targets.is_empty() {
                return Ok(Vec::new());
            }
            client.query(&statements.targets, &[&wants.targets]).await
        },
        async {
            if wants.edited.is_empty() {
                return Ok(Vec::new());
            }
            client.query(&statements.hiders, &[&wants.edited]).await
        },
        async {
            if wants.reaction_users.is_empty() {
                return Ok(Vec::new());
            }
            let (conversations, messages) = (&wants.reaction_conversations, &wants.reaction_messages);
            let (emojis, users) = (&wants.reaction_emojis, &wants.reaction_users);
            client.query(&statements.reactions, &[conversations, messages, emojis, users]).await
        },
        async {
            if wants.pinned.is_empty() {
                return Ok(Vec::new());
            }
            let ends = wants.pinned.iter().map(|id| (id.message(Seq::ZERO), id.message(Seq(SEQ_MAX))));
            let (first, last): (Vec<MessageId>, Vec<MessageId>) = ends.unzip();
            client.query(&statements.pins, &[&first, &last]).await
        },
        async {
            if wants.personal_users.is_empty() {
                return Ok(Vec::new());
            }
            client.query(&statements.personals, &[&wants.personal_conversations, &wants.personal_users]).await
        },
        async {
            if wants.invite_secrets.is_empty() {
                return Ok(Vec::new());
            }
            client.query(&statements.invites, &[&wants.invite_conversations, &wants.invite_secrets]).await
        },
    );
    begun?;
    Ok(Answers {
        rows: rows?,
        status: status?,
        existing: existing?,
        priors: priors?,
        members: members?,
        targets: targets?,
        hiders: hiders?,
        reactions: reactions?,
        pins: pins?,
        personals: personals?,
        invites: invites?,
    })
}

fn decode(answers: &Answers, policy: Policy) -> Result<Found, StorageError> {
    let status = answers.status.first().ok_or_else(|| StorageError::Failed("the epoch row is missing".into()))?;
    let mut book = Book::new(status.try_get(0)?, status.try_get(2)?, policy);
    let mut conversations = HashMap::with_capacity(answers.rows.len());
    for row in &answers.rows {
        let conversation = conversation_of(row)?;
        conversations.insert(conversation.id(), conversation);
    }
    for row in &answers.priors {
        let prior = Prior::Stored {
            id: row.try_get(1)?,
            sender: row.try_get(2)?,
            temp_id: row.try_get(3)?,
            sent_hash: row.try_get(4)?,
            created_at: row.try_get(5)?,
        };
        book.priors.entry(row.try_get(0)?).or_default().push(prior);
    }
    for row in &answers.members {
        book.members.insert((row.try_get(0)?, row.try_get(1)?), member_of(row)?);
    }
    for row in &answers.targets {
        book.targets.insert(row.try_get(0)?, target_of(row)?);
    }
    for row in &answers.hiders {
        if let Some(target) = book.targets.get_mut(&row.try_get::<_, MessageId>(0)?) {
            target.hidden_by.push(row.try_get(1)?);
        }
    }
    for row in &answers.reactions {
        let conversation: ConversationId = row.try_get(0)?;
        let key = ReactionKey {
            message: conversation.message(row.try_get(1)?),
            emoji: row.try_get(2)?,
            user: row.try_get(3)?,
        };
        let state = ReactionState { is_present: row.try_get(4)?, seq: row.try_get(5)?, is_changed: false };
        book.reactions.insert(key, state);
    }
    for row in &answers.pins {
        let state = PinState {
            by: row.try_get(1)?,
            at: row.try_get(2)?,
            seq: row.try_get(3)?,
            is_present: true,
            is_changed: false,
        };
        book.pins.insert(row.try_get(0)?, state);
    }
    for row in &answers.personals {
        let personal = Personal {
            is_pinned: row.try_get(2)?,
            muted_until: row.try_get(3)?,
            read_receipts: row.try_get(4)?,
            is_changed: false,
        };
        book.personals.insert((row.try_get(0)?, row.try_get(1)?), personal);
    }
    for row in &answers.invites {
        let state = InviteState {
            uses: row.try_get(2)?,
            max_uses: row.try_get(3)?,
            expires_at: row.try_get(4)?,
            is_changed: false,
        };
        book.invites.insert((row.try_get(0)?, row.try_get(1)?), state);
    }
    Ok(Found {
        model: Model { conversations, book },
        xmin: status.try_get(1)?,
        timelines: (status.try_get(3)?, status.try_get(4)?),
        not_held: status.try_get::<_, Vec<i16>>(5)?.into_iter().collect(),
        existing: answers.existing.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
    })
}

/// What it is, the row says, not those who ask: a client may name the id of a pair as that of a group.
fn conversation_of(row: &Row) -> Result<Conversation, StorageError> {
    let id = row.try_get(0)?;
    let reference = match (row.try_get(19)?, row.try_get(20)?) {
        (Some(low), Some(high)) => ConversationRef::Direct { id, low, high },
        _ => ConversationRef::Group { id },
    };
    let detail = match reference {
        ConversationRef::Direct { .. } => {
            let mut pair = Pair::from_flags(row.try_get(4)?, row.try_get(5)?);
            pair.low.read_seq = row.try_get(6)?;
            pair.low.read_ordinal = row.try_get(7)?;
            pair.high.read_seq = row.try_get(8)?;
            pair.high.read_ordinal = row.try_get(9)?;
            Detail::Pair(pair)
        }
        ConversationRef::Group { .. } => Detail::Group(Box::new(Group {
            title: row.try_get::<_, Option<String>>(10)?.unwrap_or_default(),
            avatar_url: row.try_get(11)?,
            announcement: row.try_get(12)?,
            is_muted: row.try_get(13)?,
            is_dissolved: row.try_get(14)?,
            owner: row.try_get(15)?,
            max_members: row.try_get(16)?,
            member_count: row.try_get(17)?,
            members_version: row.try_get(18)?,
            has_new_details: false,
        })),
    };
    let (last_seq, last_created_at): (Seq, Timestamp) = (row.try_get(1)?, row.try_get(3)?);
    Ok(Conversation {
        reference,
        last_seq,
        last_ordinal: row.try_get(2)?,
        last_created_at,
        previous_created_at: (last_seq > Seq::ZERO).then_some(last_created_at),
        detail,
        is_changed: false,
        has_entries: false,
    })
}

fn member_of(row: &Row) -> Result<Member, StorageError> {
    let role: i16 = row.try_get(3)?;
    Ok(Member {
        token: row.try_get(2)?,
        role: Role::from_code(role).ok_or_else(|| StorageError::Failed("unknown role of a member".into()))?,
        first_seq: row.try_get(4)?,
        first_ordinal: row.try_get(5)?,
        left_seq: row.try_get(6)?,
        read_seq: row.try_get(7)?,
        read_ordinal: row.try_get(8)?,
        received_seq: Seq::ZERO,
        muted_until: row.try_get::<_, Option<Timestamp>>(9)?,
        joined_at: row.try_get(10)?,
        is_joined_now: false,
        is_changed: false,
        has_moved: false,
    })
}

fn target_of(row: &Row) -> Result<Target, StorageError> {
    let kind: i16 = row.try_get(2)?;
    let message = if kind == EntryKind::Message.code() {
        let body = Body::from_json(kind, row.try_get(3)?).map_err(|error| StorageError::Failed(Box::new(error)))?;
        if let Body::Message(message) = body { Some(*message) } else { None }
    } else {
        None
    };
    Ok(Target {
        sender: row.try_get(1)?,
        ordinal: row.try_get(4)?,
        created_at: row.try_get(5)?,
        message,
        hidden_by: Vec::new(),
        is_changed: false,
    })
}
