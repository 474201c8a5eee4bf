//! Round trip two: one statement per table that has anything to write, over arrays, and the commit.

use futures_util::join;
use uuid::Uuid;

use super::link::Link;
use crate::domain::entry_event::event_of;
use crate::domain::judge::model::{Conversation, Detail, Member, Model, NewEntry};
use crate::domain::topic::Pattern;
use crate::domain::{BootId, ConversationId, InviteSecret, JoinToken, MessageId, Seq, Timestamp, UserId};
use crate::storage::StorageError;

pub(super) const ENTRIES: &str = "\
    insert into entry (id, client_key, sender_id, sender_name, kind, body, temp_id, sent_hash, ordinal, created_at, boot)
    select u.*, $11::uuid from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::int2[], $6::text[], $7::text[],
        $8::int8[], $9::int8[], $10::timestamptz[]) u";

/// Positions received are moved by others too, without the lane: hence `greatest`.
pub(super) const PAIRS: &str = "\
    update conversation c set last_seq = u.last_seq, last_ordinal = u.last_ordinal, last_created_at = u.last_created_at,
        changed_tx = case when u.has_entries then pg_current_xact_id() else c.changed_tx end,
        pair_version = u.version, pair_flags = u.flags,
        low_read_seq = u.low_read_seq, low_read_ordinal = u.low_read_ordinal,
        low_delivered_seq = greatest(c.low_delivered_seq, u.low_received),
        low_own_tx = case when u.low_moved then pg_current_xact_id() else c.low_own_tx end,
        high_read_seq = u.high_read_seq, high_read_ordinal = u.high_read_ordinal,
        high_delivered_seq = greatest(c.high_delivered_seq, u.high_received),
        high_own_tx = case when u.high_moved then pg_current_xact_id() else c.high_own_tx end
    from unnest($1::uuid[], $2::int8[], $3::int8[], $4::timestamptz[], $5::bool[], $6::int8[], $7::int4[], $8::int8[],
        $9::int8[], $10::int8[], $11::bool[], $12::int8[], $13::int8[], $14::int8[], $15::bool[])
        u(id, last_seq, last_ordinal, last_created_at, has_entries, version, flags, low_read_seq, low_read_ordinal,
        low_received, low_moved, high_read_seq, high_read_ordinal, high_received, high_moved)
    where c.id = u.id";

pub(super) const GROUPS: &str = "\
    update conversation c set last_seq = u.last_seq, last_ordinal = u.last_ordinal, last_created_at = u.last_created_at,
        changed_tx = pg_current_xact_id(), member_count = u.member_count, members_version = u.members_version
    from unnest($1::uuid[], $2::int8[], $3::int8[], $4::timestamptz[], $5::int4[], $6::int8[])
        u(id, last_seq, last_ordinal, last_created_at, member_count, members_version)
    where c.id = u.id";

pub(super) const GROUP_DETAILS: &str = "\
    update conversation c set title = u.title, avatar_url = u.avatar_url, announcement = u.announcement,
        is_muted = u.is_muted, is_dissolved = u.is_dissolved, owner_id = u.owner_id, max_members = u.max_members
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bool[], $7::uuid[], $8::int4[])
        u(id, title, avatar_url, announcement, is_muted, is_dissolved, owner_id, max_members)
    where c.id = u.id";

pub(super) const BODIES: &str = "\
    update entry e set body = u.body from unnest($1::uuid[], $2::text[]) u(id, body) where e.id = u.id";

/// A new interval of a member, the first or a later one.
pub(super) const JOINED: &str = "\
    insert into member (conversation_id, user_id, join_token, role, first_seq, first_ordinal, left_seq, read_seq,
        read_ordinal, delivered_seq, muted_until, joined_at)
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int2[], $5::int8[], $6::int8[], $7::int8[], $8::int8[],
        $9::int8[], $10::int8[], $11::timestamptz[], $12::timestamptz[])
    on conflict (conversation_id, user_id) do update set join_token = excluded.join_token, role = excluded.role,
        first_seq = excluded.first_seq, first_ordinal = excluded.first_ordinal, left_seq = excluded.left_seq,
        read_seq = excluded.read_seq, read_ordinal = excluded.read_ordinal, delivered_seq = excluded.delivered_seq,
        muted_until = excluded.muted_until, joined_at = excluded.joined_at, own_tx = pg_current_xact_id()";

pub(super) const MEMBERS: &str = "\
    update member m set role = u.role, left_seq = u.left_seq, read_seq = u.read_seq, read_ordinal = u.read_ordinal,
        delivered_seq = greatest(m.delivered_seq, u.received), muted_until = u.muted_until,
        own_tx = case when u.has_moved then pg_current_xact_id() else m.own_tx end
    from unnest($1::uuid[], $2::uuid[], $3::int2[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::timestamptz[],
        $9::bool[])
        u(conversation_id, user_id, role, left_seq, read_seq, read_ordinal, received, muted_until, has_moved)
    where m.conversation_id = u.conversation_id and m.user_id = u.user_id";

pub(super) const REACTIONS: &str = "\
    insert into reaction (conversation_id, message_seq, emoji, user_id, is_present, seq)
    select * from unnest($1::uuid[], $2::int8[], $3::text[], $4::uuid[], $5::bool[], $6::int8[])
    on conflict (conversation_id, message_seq, emoji, user_id) do update
        set is_present = excluded.is_present, seq = excluded.seq";

pub(super) const PINS: &str = "\
    insert into pin (message_id, pinned_by, pinned_at, seq)
    select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int8[])
    on conflict (message_id) do update
        set pinned_by = excluded.pinned_by, pinned_at = excluded.pinned_at, seq = excluded.seq";

pub(super) const UNPINS: &str = "\
    delete from pin p using unnest($1::uuid[]) u(message_id) where p.message_id = u.message_id";

pub(super) const MENTIONS: &str = "\
    insert into mention (conversation_id, user_id, seq) select * from unnest($1::uuid[], $2::uuid[], $3::int8[])";

pub(super) const PERSONALS: &str = "\
    insert into personal (conversation_id, user_id, is_pinned, muted_until, read_receipts)
    select * from unnest($1::uuid[], $2::uuid[], $3::bool[], $4::timestamptz[], $5::bool[])
    on conflict (conversation_id, user_id) do update set is_pinned = excluded.is_pinned,
        muted_until = excluded.muted_until, read_receipts = excluded.read_receipts";

pub(super) const INVITES: &str = "\
    update invite i set uses = u.uses from unnest($1::uuid[], $2::uuid[], $3::int4[]) u(conversation_id, secret, uses)
    where i.conversation_id = u.conversation_id and i.secret = u.secret";

pub(super) const HIDES: &str = "\
    insert into hidden (user_id, message_id) select * from unnest($1::uuid[], $2::uuid[]) on conflict do nothing";

/// The last 32 are kept; see `read_readers`.
pub(super) const READ_MARKS: &str = "\
    insert into read_mark (conversation_id, user_id, seqs, times)
    select u.conversation_id, u.user_id, array[u.seq], array[$4::timestamptz]
    from unnest($1::uuid[], $2::uuid[], $3::int8[]) u(conversation_id, user_id, seq)
    on conflict (conversation_id, user_id) do update
        set seqs = (read_mark.seqs || excluded.seqs)[greatest(cardinality(read_mark.seqs) - 30, 1):],
            times = (read_mark.times || excluded.times)[greatest(cardinality(read_mark.times) - 30, 1):]";

/// Only for entries that somebody subscribes to.
pub(super) const OUTBOX: &str = "\
    insert into outbox (id, topic, payload, created_at)
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])";

/// Columns of one statement. Strings stay where they are; what is copied is small.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident<$life:lifetime> { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        struct $name<$life> {
            $($field: Vec<$kind>,)*
            marker: std::marker::PhantomData<&$life ()>,
        }
    };
}

columns!(EntryColumns<'a> {
    id: MessageId, client_key: Uuid, sender: UserId, name: &'a str, kind: i16, body: String, temp_id: Option<&'a str>,
    sent_hash: i64, ordinal: i64, created_at: Timestamp,
});
columns!(PairColumns<'a> {
    id: ConversationId, last_seq: Seq, last_ordinal: i64, last_created_at: Timestamp, has_entries: bool, version: i64,
    flags: i32, low_read_seq: Seq, low_read_ordinal: i64, low_received: Seq, low_moved: bool, high_read_seq: Seq,
    high_read_ordinal: i64, high_received: Seq, high_moved: bool,
});
columns!(GroupColumns<'a> {
    id: ConversationId, last_seq: Seq, last_ordinal: i64, last_created_at: Timestamp, member_count: i32,
    members_version: i64,
});
columns!(DetailColumns<'a> {
    id: ConversationId, title: &'a str, avatar_url: Option<&'a str>, announcement: Option<&'a str>, is_muted: bool,
    is_dissolved: bool, owner: Option<UserId>, max_members: i32,
});
columns!(BodyColumns<'a> { id: MessageId, body: String });
columns!(JoinedColumns<'a> {
    conversation: ConversationId, user: UserId, token: JoinToken, role: i16, first_seq: Seq, first_ordinal: i64,
    left_seq: Option<Seq>, read_seq: Seq, read_ordinal: i64, received: Seq, muted_until: Option<Timestamp>,
    joined_at: Timestamp,
});
columns!(MemberColumns<'a> {
    conversation: ConversationId, user: UserId, role: i16, left_seq: Option<Seq>, read_seq: Seq, read_ordinal: i64,
    received: Seq, muted_until: Option<Timestamp>, has_moved: bool,
});
columns!(ReactionColumns<'a> {
    conversation: ConversationId, message: Seq, emoji: &'a str, user: UserId, is_present: bool, seq: Seq,
});
columns!(PinColumns<'a> { message: MessageId, by: UserId, at: Timestamp, seq: Seq });
columns!(UnpinColumns<'a> { message: MessageId });
columns!(
    /// Of mentions and of read marks.
    UserSeqColumns<'a> { conversation: ConversationId, user: UserId, seq: Seq }
);
columns!(HideColumns<'a> { user: UserId, message: MessageId });
columns!(PersonalColumns<'a> {
    conversation: ConversationId, user: UserId, is_pinned: bool, muted_until: Option<Timestamp>,
    read_receipts: Option<bool>,
});
columns!(InviteColumns<'a> { conversation: ConversationId, secret: InviteSecret, uses: i32 });
columns!(OutboxColumns<'a> { id: Uuid, topic: String, payload: String, created_at: Timestamp });

impl UserSeqColumns<'_> {
    fn push(&mut self, conversation: ConversationId, user: UserId, seq: Seq) {
        self.conversation.push(conversation);
        self.user.push(user);
        self.seq.push(seq);
    }
}

/// The same columns of two statements: what an update of a member sets, and an interval that begins, which sets more.
macro_rules! push_standing {
    ($columns:expr, $conversation:expr, $user:expr, $member:expr) => {
        $columns.conversation.push($conversation);
        $columns.user.push($user);
        $columns.role.push($member.role.code());
        $columns.left_seq.push($member.left_seq);
        $columns.read_seq.push($member.read_seq);
        $columns.read_ordinal.push($member.read_ordinal);
        $columns.received.push($member.received_seq);
        $columns.muted_until.push($member.muted_until);
    };
}

/// The same columns of pairs and groups: the end of their log.
macro_rules! push_end {
    ($columns:expr, $conversation:expr) => {
        $columns.id.push($conversation.id());
        $columns.last_seq.push($conversation.last_seq);
        $columns.last_ordinal.push($conversation.last_ordinal);
        $columns.last_created_at.push($conversation.last_created_at);
    };
}

/// Everything that a judged batch writes.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    entries: EntryColumns<'a>,
    pairs: PairColumns<'a>,
    groups: GroupColumns<'a>,
    details: DetailColumns<'a>,
    bodies: BodyColumns<'a>,
    joined: JoinedColumns<'a>,
    members: MemberColumns<'a>,
    reactions: ReactionColumns<'a>,
    pins: PinColumns<'a>,
    unpins: UnpinColumns<'a>,
    mentions: UserSeqColumns<'a>,
    personals: PersonalColumns<'a>,
    invites: InviteColumns<'a>,
    hides: HideColumns<'a>,
    read_marks: UserSeqColumns<'a>,
    outbox: OutboxColumns<'a>,
    now: Timestamp,
}

impl<'a> Changes<'a> {
    /// `subscribed`: patterns of those who want to know of entries.
    pub fn of(model: &'a Model, subscribed: &[Pattern]) -> Result<Self, StorageError> {
        let mut changes = Self { now: model.book.now, ..Self::default() };
        for fresh in &model.book.entries {
            changes.add_entry(fresh)?;
            if !subscribed.is_empty() {
                changes.tell_of(fresh, subscribed);
            }
        }
        for conversation in model.conversations.values().filter(|conversation| conversation.is_changed) {
            changes.add_conversation(conversation);
        }
        for (id, target) in model.book.targets.iter().filter(|(_, target)| target.is_changed) {
            if let Some(message) = &target.message {
                let body = serde_json::to_string(message).map_err(|error| StorageError::Failed(Box::new(error)))?;
                changes.bodies.id.push(*id);
                changes.bodies.body.push(body);
            }
        }
        let mut members: Vec<_> = model.book.members.iter().filter(|(_, member)| member.is_changed).collect();
        // In one order everywhere, as conversations are: so that nobody waits in a circle.
        members.sort_unstable_by_key(|(key, _)| **key);
        for ((conversation, user), member) in members {
            changes.add_member(*conversation, *user, member);
        }
        for (key, state) in model.book.reactions.iter().filter(|(_, state)| state.is_changed) {
            let columns = &mut changes.reactions;
            columns.conversation.push(key.message.conversation());
            columns.message.push(key.message.seq());
            columns.emoji.push(&key.emoji);
            columns.user.push(key.user);
            columns.is_present.push(state.is_present);
            columns.seq.push(state.seq);
        }
        for (message, state) in model.book.pins.iter().filter(|(_, state)| state.is_changed) {
            if !state.is_present {
                changes.unpins.message.push(*message);
                continue;
            }
            changes.pins.message.push(*message);
            changes.pins.by.push(state.by);
            changes.pins.at.push(state.at);
            changes.pins.seq.push(state.seq);
        }
        for (message, user) in &model.book.mentions {
            changes.mentions.push(message.conversation(), *user, message.seq());
        }
        for (user, message) in &model.book.hides {
            changes.hides.user.push(*user);
            changes.hides.message.push(*message);
        }
        for ((conversation, user), seq) in &model.book.read_marks {
            changes.read_marks.push(*conversation, *user, *seq);
        }
        for ((conversation, user), personal) in &model.book.personals {
            if personal.is_changed {
                let columns = &mut changes.personals;
                columns.conversation.push(*conversation);
                columns.user.push(*user);
                columns.is_pinned.push(personal.is_pinned);
                columns.muted_until.push(personal.muted_until);
                columns.read_receipts.push(personal.read_receipts);
            }
        }
        for ((conversation, secret), invite) in &model.book.invites {
            if invite.is_changed {
                let columns = &mut changes.invites;
                columns.conversation.push(*conversation);
                columns.secret.push(*secret);
                columns.uses.push(invite.uses);
            }
        }
        Ok(changes)
    }

    fn add_entry(&mut self, fresh: &'a NewEntry) -> Result<(), StorageError> {
        let entry = &fresh.entry;
        let columns = &mut self.entries;
        columns.body.push(entry.body.to_json().map_err(|error| StorageError::Failed(Box::new(error)))?);
        columns.id.push(entry.id);
        columns.client_key.push(fresh.client_key);
        columns.sender.push(entry.sender_id);
        columns.name.push(&entry.sender_name);
        columns.kind.push(entry.body.kind().code());
        columns.temp_id.push(entry.temp_id.as_deref());
        columns.sent_hash.push(fresh.sent_hash);
        columns.ordinal.push(entry.ordinal);
        columns.created_at.push(entry.created_at);
        Ok(())
    }

    /// What happened, where somebody wants to know.
    fn tell_of(&mut self, fresh: &NewEntry, subscribed: &[Pattern]) {
        let (entry, id) = (&fresh.entry, fresh.entry.id);
        let Some((topic, payload)) = event_of(entry) else { return };
        let topic = topic.to_string();
        if !subscribed.iter().any(|pattern| pattern.matches(&topic)) {
            return;
        }
        let columns = &mut self.outbox;
        columns.id.push(id.0);
        columns.topic.push(topic);
        columns.payload.push(payload.to_string());
        columns.created_at.push(entry.created_at);
    }

    fn add_conversation(&mut self, conversation: &'a Conversation) {
        match &conversation.detail {
            Detail::Pair(pair) => {
                let columns = &mut self.pairs;
                push_end!(columns, conversation);
                columns.has_entries.push(conversation.has_entries);
                columns.version.push(pair.version);
                columns.flags.push(pair.flags());
                columns.low_read_seq.push(pair.low.read_seq);
                columns.low_read_ordinal.push(pair.low.read_ordinal);
                columns.low_received.push(pair.low.received_seq);
                columns.low_moved.push(pair.low.has_moved);
                columns.high_read_seq.push(pair.high.read_seq);
                columns.high_read_ordinal.push(pair.high.read_ordinal);
                columns.high_received.push(pair.high.received_seq);
                columns.high_moved.push(pair.high.has_moved);
            }
            Detail::Group(group) => {
                let columns = &mut self.groups;
                push_end!(columns, conversation);
                columns.member_count.push(group.member_count);
                columns.members_version.push(group.members_version);
                if group.has_new_details {
                    let columns = &mut self.details;
                    columns.id.push(conversation.id());
                    columns.title.push(&group.title);
                    columns.avatar_url.push(group.avatar_url.as_deref());
                    columns.announcement.push(group.announcement.as_deref());
                    columns.is_muted.push(group.is_muted);
                    columns.is_dissolved.push(group.is_dissolved);
                    columns.owner.push(group.owner);
                    columns.max_members.push(group.max_members);
                }
            }
        }
    }

    fn add_member(&mut self, conversation: ConversationId, user: UserId, member: &Member) {
        if member.is_joined_now {
            let columns = &mut self.joined;
            push_standing!(columns, conversation, user, member);
            columns.token.push(member.token);
            columns.first_seq.push(member.first_seq);
            columns.first_ordinal.push(member.first_ordinal);
            columns.joined_at.push(member.joined_at);
        } else {
            let columns = &mut self.members;
            push_standing!(columns, conversation, user, member);
            columns.has_moved.push(member.has_moved);
        }
    }
}

/// One write, if there is anything to write. An empty list of ids says that there is not.
macro_rules! write {
    ($link:ident, $statement:ident, $columns:expr, $first:ident $(, $rest:ident)* $(; $extra:expr)?) => {
        async {
            if $columns.$first.is_empty() {
                return Ok(0);
            }
            let statement = &$link.statements.$statement;
            $link.client.execute(statement, &[&$columns.$first $(, &$columns.$rest)* $(, $extra)?]).await
        }
    };
}

/// Writes everything in one round trip, with `end` (COMMIT) behind it. The first error is the one that counts; where only `end`
/// failed, whether the batch was committed is unknown.
pub(super) async fn write(
    link: &Link,
    changes: &Changes<'_>,
    boot: BootId,
    end: impl Future<Output = Result<(), tokio_postgres::Error>>,
) -> Result<(), tokio_postgres::Error> {
    let Changes { entries, pairs, groups, details, .. } = changes;
    let Changes { bodies, joined, members, reactions, pins, unpins, mentions, personals, .. } = changes;
    let Changes { invites, hides, read_marks, outbox, now, .. } = changes;
    let results = join!(
        write!(link, insert_entries, entries, id, client_key, sender, name, kind, body, temp_id, sent_hash, ordinal, created_at; &boot.0),
        write!(
            link,
            update_pairs,
            pairs,
            id,
            last_seq,
            last_ordinal,
            last_created_at,
            has_entries,
            version,
            flags,
            low_read_seq,
            low_read_ordinal,
            low_received,
            low_moved,
            high_read_seq,
            high_read_ordinal,
            high_received,
            high_moved
        ),
        write!(link, update_groups, groups, id, last_seq, last_ordinal, last_created_at, member_count, members_version),
        write!(
            link,
            update_details,
            details, id, title, avatar_url, announcement, is_muted, is_dissolved, owner, max_members
        ),
        write!(link, update_bodies, bodies, id, body),
        write!(
            link,
            upsert_joined,
            joined,
            conversation,
            user,
            token,
            role,
            first_seq,
            first_ordinal,
            left_seq,
            read_seq,
            read_ordinal,
            received,
            muted_until,
            joined_at
        ),
        write!(
            link,
            update_members,
            members, conversation, user, role, left_seq, read_seq, read_ordinal, received, muted_until, has_moved
        ),
        write!(link, upsert_reactions, reactions, conversation, message, emoji, user, is_present, seq),
        write!(link, upsert_pins, pins, message, by, at, seq),
        write!(link, delete_pins, unpins, message),
        write!(link, insert_mentions, mentions, conversation, user, seq),
        write!(link, upsert_personals, personals, conversation, user, is_pinned, muted_until, read_receipts),
        write!(link, update_invites, invites, conversation, secret, uses),
        write!(link, insert_hides, hides, user, message),
        write!(link, upsert_read_marks, read_marks, conversation, user, seq; now),
        write!(link, insert_outbox, outbox, id, topic, payload, created_at),
        end,
    );
    results.0?;
    results.1?;
    results.2?;
    results.3?;
    results.4?;
    results.5?;
    results.6?;
    results.7?;
    results.8?;
    results.9?;
    results.10?;
    results.11?;
    results.12?;
    results.13?;
    results.14?;
    results.15?;
    results.16
}
