//! The judge against a tiny model: random commands of four users in a pair and a group, judged in batches of any size, must come
//! out as they do one by one, and as a few plain rules say.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::model::{
    Book, Conversation, Detail, Group, Member, Model, Pair, Personal, PinState, Prior, ReactionKey, Target,
};
use super::{Asked, Verdict, judge};
use crate::domain::command::{Actor, Command, GroupCommand, Joining, Outcome, PairCommand, Position};
use crate::domain::entry::Updated;
use crate::domain::message::{Message, NewMessage, client_key};
use crate::domain::settings::Policy;
use crate::domain::{
    Body, ConversationId, ConversationRef, Entry, JoinToken, MessageId, Refusal, Role, Seq, Timestamp, UserId,
};
use uuid::Uuid;

/// The rows of a shard, as far as the judge is concerned.
#[derive(Clone)]
struct Rows {
    now: Timestamp,
    conversations: HashMap<ConversationId, Conversation>,
    members: HashMap<(ConversationId, UserId), Member>,
    entries: Vec<(Entry, Uuid, i64)>,
    reactions: HashMap<ReactionKey, (bool, Seq)>,
    pins: HashMap<MessageId, PinState>,
    personals: HashMap<(ConversationId, UserId), Personal>,
    mentions: usize,
}

const POLICY: Policy = Policy {
    enable_first_message_limit: true,
    require_friendship: false,
    recall_window: Duration::from_mins(2),
    edit_window: Duration::from_mins(15),
};

fn user(number: usize) -> UserId {
    UserId(Uuid::from_u128(0xabc0 + u128::try_from(number).unwrap()))
}

fn actor(number: usize) -> Actor {
    Actor { id: user(number), name: "name".into() }
}

fn pair_ref() -> ConversationRef {
    ConversationRef::direct(user(0), user(1))
}

fn group_ref() -> ConversationRef {
    ConversationRef::Group { id: ConversationId::group(user(0), "the group") }
}

fn token(number: usize) -> JoinToken {
    JoinToken(Uuid::from_u128(u128::try_from(number).unwrap()))
}

impl Rows {
    fn new() -> Self {
        let row = |reference, detail| Conversation {
            reference,
            last_seq: Seq::ZERO,
            last_ordinal: 0,
            last_created_at: Timestamp(0),
            previous_created_at: None,
            detail,
            is_changed: false,
            has_entries: false,
        };
        let rows = [row(pair_ref(), Detail::Pair(Pair::default())), row(group_ref(), Detail::Group(Box::default()))];
        Self {
            now: Timestamp(1_000_000),
            conversations: rows.into_iter().map(|row| (row.id(), row)).collect(),
            members: HashMap::new(),
            entries: Vec::new(),
            reactions: HashMap::new(),
            pins: HashMap::new(),
            personals: HashMap::new(),
            mentions: 0,
        }
    }

    /// Reads everything, judges, writes everything back: what a lane does in one transaction.
    fn run(&mut self, batch: &[(usize, ConversationRef, Command)], policy: Policy) -> Vec<Verdict> {
        let mut book = Book::new(self.now, 1, policy);
        book.members.clone_from(&self.members);
        book.personals.clone_from(&self.personals);
        book.pins.clone_from(&self.pins);
        for (entry, key, sent_hash) in &self.entries {
            if let Some(temp_id) = &entry.temp_id {
                book.priors.entry(*key).or_default().push(Prior::Stored {
                    id: entry.id,
                    sender: entry.sender_id,
                    temp_id: temp_id.clone(),
                    sent_hash: *sent_hash,
                    created_at: entry.created_at,
                });
            }
            let message = if let Body::Message(message) = &entry.body { Some((**message).clone()) } else { None };
            let (sender, created_at, ordinal) = (entry.sender_id, entry.created_at, entry.ordinal);
            book.targets.insert(
                entry.id,
                Target { sender, created_at, ordinal, message, hidden_by: Vec::new(), is_changed: false },
            );
        }
        for (key, (is_present, seq)) in &self.reactions {
            let state = super::model::ReactionState { is_present: *is_present, seq: *seq, is_changed: false };
            book.reactions.insert(key.clone(), state);
        }
        let mut model = Model { conversations: self.conversations.clone(), book };
        let actors: Vec<Actor> = batch.iter().map(|(number, _, _)| actor(*number)).collect();
        let asked = batch.iter().zip(&actors).enumerate().map(|(index, ((_, conversation, command), actor))| Asked {
            conversation: *conversation,
            actor,
            command,
            client_key: match command {
                Command::Send { message, .. } => client_key(conversation.id(), actor.id, &message.temp_id),
                _ => Uuid::nil(),
            },
            index,
        });
        let verdicts = judge(&mut model, asked);
        self.write(model);
        verdicts
    }

    fn write(&mut self, model: Model) {
        let book = model.book;
        for (id, conversation) in model.conversations {
            let before = self.conversations.get(&id).unwrap();
            let is_same = before.last_seq == conversation.last_seq;
            assert!(conversation.is_changed || is_same, "a new entry and the row not written");
            let row = Conversation { is_changed: false, has_entries: false, ..conversation };
            self.conversations.insert(id, row);
        }
        for (key, member) in book.members {
            assert!(member.is_changed || self.members.get(&key) == Some(&member), "a member changed and not written");
            let row =
                Member { is_joined_now: false, is_changed: false, has_moved: false, received_seq: Seq::ZERO, ..member };
            self.members.insert(key, row);
        }
        for (id, target) in book.targets {
            if let (true, Some(message)) = (target.is_changed, target.message) {
                let (entry, ..) = self.entries.iter_mut().find(|(entry, ..)| entry.id == id).unwrap();
                entry.body = Body::Message(Box::new(message));
            }
        }
        for (key, state) in book.reactions {
            self.reactions.insert(key, (state.is_present, state.seq));
        }
        for (id, state) in book.pins {
            if state.is_present {
                self.pins.insert(id, PinState { is_changed: false, ..state });
            } else {
                assert!(state.is_changed, "a row that says nothing");
                self.pins.remove(&id);
            }
        }
        for (key, personal) in book.personals {
            self.personals.insert(key, Personal { is_changed: false, ..personal });
        }
        self.mentions += book.mentions.len();
        for fresh in book.entries {
            self.entries.push((fresh.entry, fresh.client_key, fresh.sent_hash));
        }
        for conversation in self.conversations.values_mut() {
            if let Detail::Pair(pair) = &mut conversation.detail {
                (pair.low.has_moved, pair.high.has_moved) = (false, false);
                (pair.low.received_seq, pair.high.received_seq) = (Seq::ZERO, Seq::ZERO);
            }
            if let Detail::Group(group) = &mut conversation.detail {
                group.has_new_details = false;
            }
        }
    }

    fn of(&self, conversation: ConversationRef) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(entry, ..)| entry).filter(move |entry| entry.id.conversation() == conversation.id())
    }

    fn group(&self) -> (&Conversation, &Group) {
        let conversation = self.conversations.get(&group_ref().id()).unwrap();
        let Detail::Group(group) = &conversation.detail else { panic!("a group") };
        (conversation, group)
    }

    fn pair(&self) -> (&Conversation, &Pair) {
        let conversation = self.conversations.get(&pair_ref().id()).unwrap();
        let Detail::Pair(pair) = &conversation.detail else { panic!("a pair") };
        (conversation, pair)
    }

    /// Everything, in one order, for comparison.
    fn picture(&self) -> String {
        let mut lines: Vec<String> = self.conversations.values().map(|row| format!("{row:?}")).collect();
        lines.extend(self.members.iter().map(|row| format!("{row:?}")));
        lines.extend(self.entries.iter().map(|row| format!("{row:?}")));
        lines.extend(self.reactions.iter().map(|row| format!("{row:?}")));
        lines.extend(self.pins.iter().map(|row| format!("{row:?}")));
        lines.extend(self.personals.iter().map(|row| format!("{row:?}")));
        lines.sort_unstable();
        lines.join("\n")
    }
}

fn text(temp_id: &str, content: &str, reply_to: Option<crate::domain::MessageId>) -> Command {
    let message = Message { reply_to, ..Message::text(content) };
    Command::Send { message: NewMessage { temp_id: temp_id.to_owned(), message }, over_rate_ms: None }
}

fn joinings(users: &[usize]) -> Vec<Joining> {
    users.iter().map(|number| Joining { user: user(*number), token: token(*number) }).collect()
}

fn create(users: &[usize]) -> Command {
    Command::Group(GroupCommand::Create {
        title: "group".to_owned(),
        avatar_url: None,
        max_members: 3,
        members: joinings(users),
        not_after: Timestamp(i64::MAX),
    })
}

fn command() -> impl Strategy<Value = (usize, ConversationRef, Command)> {
    let number = 0_usize..4;
    let target = (1_i64..12).prop_map(Seq);
    let message = (0_u8..6, 0_u8..3, proptest::option::of(1_i64..8), any::<bool>()).prop_map(
        |(temp_id, content, reply_to, in_group)| {
            let conversation = if in_group { group_ref() } else { pair_ref() };
            let reply_to = reply_to.map(|seq| conversation.id().message(Seq(seq)));
            (conversation, text(&temp_id.to_string(), &content.to_string(), reply_to))
        },
    );
    let anywhere = prop_oneof![
        target.clone().prop_map(|message| Command::Recall { message }),
        (target.clone(), 0_u8..3)
            .prop_map(|(message, content)| Command::Edit { message, content: content.to_string() }),
        (target.clone(), any::<bool>()).prop_map(|(message, add)| Command::React {
            message,
            emoji: "x".to_owned(),
            add
        }),
        (target.clone(), any::<bool>()).prop_map(|(message, add)| Command::Pin { message, add }),
        target.clone().prop_map(|seq| Command::Read { position: Position::At(seq) }),
        target.prop_map(|seq| Command::Read { position: Position::Message(seq) }),
        Just(Command::ShowAnew),
        Just(Command::Read { position: Position::Newest }),
        any::<bool>().prop_map(|pinned| Command::Settings {
            is_pinned: Some(pinned),
            muted_until: None,
            read_receipts: None
        }),
    ];
    let of_pair = prop_oneof![
        Just(PairCommand::Block),
        Just(PairCommand::Unblock),
        Just(PairCommand::AskFriend),
        Just(PairCommand::AcceptFriend),
        Just(PairCommand::RejectFriend),
        Just(PairCommand::EndFriend),
        any::<bool>().prop_map(|is_friends| PairCommand::SetFriends { is_friends }),
    ];
    let of_group = prop_oneof![
        Just(create(&[0, 1])),
        number.clone().prop_map(|user| Command::Group(GroupCommand::Add {
            members: joinings(&[user, (user + 1) % 4]),
            not_after: Timestamp(i64::MAX)
        })),
        number.clone().prop_map(|number| Command::Group(GroupCommand::Remove { users: vec![user(number)] })),
        Just(Command::Group(GroupCommand::Leave)),
        any::<bool>().prop_map(|muted| Command::Group(GroupCommand::Update(Updated {
            muted: Some(muted),
            ..Updated::default()
        }))),
        (number.clone(), prop_oneof![Just(Role::Member), Just(Role::Admin), Just(Role::Owner)])
            .prop_map(|(number, role)| Command::Group(GroupCommand::SetRole { user: user(number), role })),
        (number.clone(), any::<bool>()).prop_map(|(number, muted)| Command::Group(GroupCommand::Mute {
            user: user(number),
            muted_until: muted.then_some(Timestamp(i64::MAX))
        })),
    ];
    prop_oneof![
        4 => (number.clone(), message).prop_map(|(number, (conversation, command))| (number, conversation, command)),
        3 => (number.clone(), any::<bool>(), anywhere).prop_map(|(number, in_group, command)| {
            (number, if in_group { group_ref() } else { pair_ref() }, command)
        }),
        1 => (number.clone(), of_pair).prop_map(|(number, command)| (number, pair_ref(), Command::Pair(command))),
        3 => (number, of_group).prop_map(|(number, command)| (number, group_ref(), command)),
    ]
}

fn check_invariants(rows: &Rows) {
    for reference in [pair_ref(), group_ref()] {
        let conversation = rows.conversations.get(&reference.id()).unwrap();
        let mut ordinal = 0;
        let mut count = 0;
        let mut last = Timestamp(0);
        for entry in rows.of(reference) {
            count += 1;
            ordinal += i64::from(matches!(entry.body, Body::Message(_)));
            assert_eq!((entry.seq(), entry.ordinal), (Seq(count), ordinal));
            assert!(entry.created_at >= last);
            last = entry.created_at;
        }
        assert_eq!((conversation.last_seq, conversation.last_ordinal), (Seq(count), ordinal));
    }
    // What is pinned is what the log says: pinned last by an entry, and not recalled since.
    let mut pinned = HashMap::new();
    for (entry, ..) in &rows.entries {
        let message = |seq| entry.id.conversation().message(seq);
        match &entry.body {
            Body::Pin(pin) if pin.add => drop(pinned.insert(message(pin.message_seq), (entry.sender_id, entry.seq()))),
            Body::Pin(pin) => drop(pinned.remove(&message(pin.message_seq)).expect("it was pinned")),
            Body::Recall(recall) => drop(pinned.remove(&message(recall.message_seq))),
            _ => {}
        }
    }
    let standing: HashMap<_, _> = rows.pins.iter().map(|(id, state)| (*id, (state.by, state.seq))).collect();
    assert_eq!(standing, pinned);
    let (_, pair) = rows.pair();
    assert_eq!(Pair::from_flags(pair.version, pair.flags()).state(1, rows.now), pair.state(1, rows.now));
    let is_blocked = pair.low.blocks_other || pair.high.blocks_other;
    let standings = [is_blocked, pair.is_friends, pair.low.asks, pair.high.asks];
    assert!(standings.iter().filter(|holds| **holds).count() <= 1, "at most one of them: {pair:?}");
    let (conversation, group) = rows.group();
    let active: Vec<&Member> = rows.members.values().filter(|member| member.left_seq.is_none()).collect();
    if group.stands(conversation.last_seq) {
        assert_eq!(active.len(), usize::try_from(group.member_count).unwrap());
        assert!(group.member_count <= group.max_members);
        let owners: Vec<_> = active.iter().filter(|member| member.role == Role::Owner).collect();
        assert_eq!(owners.len(), 1, "one owner");
    } else {
        assert!(active.is_empty(), "nobody is a member of a group that does not stand");
    }
    for member in &active {
        // What is unread is what others wrote after the position.
        assert!(member.read_ordinal <= conversation.last_ordinal && member.read_ordinal >= member.first_ordinal);
    }
}

/// What a plain reading of the contract says of a send into the pair.
fn expected_of_pair_send(rows: &Rows, number: usize, command: &Command) -> Result<bool, Refusal> {
    let Command::Send { message, .. } = command else { panic!("a send") };
    let first =
        rows.of(pair_ref()).zip(rows.entries.iter()).map(|(entry, _)| entry).find(|entry| {
            entry.sender_id == user(number) && entry.temp_id.as_deref() == Some(message.temp_id.as_str())
        });
    if let Some(first) = first {
        let hash = rows.entries.iter().find(|(entry, ..)| entry.id == first.id).map(|(.., hash)| *hash).unwrap();
        return if hash == message.sent_hash() { Ok(true) } else { Err(Refusal::TempIdReused) };
    }
    if number > 1 {
        return Err(Refusal::NotFound);
    }
    if let Some(quoted) = message.message.reply_to
        && !rows.of(pair_ref()).any(|entry| entry.id == quoted && matches!(entry.body, Body::Message(_)))
    {
        return Err(Refusal::NotFound);
    }
    let (_, pair) = rows.pair();
    let (own, other) = if number == 0 { (&pair.low, &pair.high) } else { (&pair.high, &pair.low) };
    let wrote = |number: usize| {
        rows.of(pair_ref()).any(|entry| entry.sender_id == user(number) && matches!(entry.body, Body::Message(_)))
    };
    if own.blocks_other {
        return Err(Refusal::Blocking);
    }
    if other.blocks_other {
        return Err(Refusal::Blocked);
    }
    if !pair.is_friends && wrote(number) && !wrote(1 - number) {
        return Err(Refusal::FirstMessageLimit);
    }
    Ok(false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_of_any_size_come_out_as_one_by_one(
        commands in proptest::collection::vec(command(), 1..60),
        sizes in proptest::collection::vec(1_usize..12, 60),
    ) {
        let (mut single, mut batched) = (Rows::new(), Rows::new());
        let owner = [(0, group_ref(), create(&[0, 1, 2]))];
        single.run(&owner, POLICY);
        batched.run(&owner, POLICY);
        let mut one_by_one = Vec::new();
        for command in &commands {
            let expected = match (&command.2, command.1) {
                (Command::Send { .. }, ConversationRef::Direct { .. }) => {
                    Some(expected_of_pair_send(&single, command.0, &command.2))
                }
                _ => None,
            };
            let verdict = single.run(std::slice::from_ref(command), POLICY).remove(0);
            if let Some(expected) = expected {
                let got = match &verdict {
                    Ok(Outcome::Sent { is_repeat, .. }) => Ok(*is_repeat),
                    Ok(other) => panic!("{other:?}"),
                    Err(refusal) => Err(refusal.clone()),
                };
                prop_assert_eq!(got, expected);
            }
            check_invariants(&single);
            one_by_one.push(format!("{verdict:?}"));
        }
        let mut rest = commands.as_slice();
        let mut in_batches = Vec::new();
        for size in sizes {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            in_batches.extend(batched.run(batch, POLICY).into_iter().map(|verdict| format!("{verdict:?}")));
        }
        in_batches.extend(batched.run(rest, POLICY).into_iter().map(|verdict| format!("{verdict:?}")));
        prop_assert_eq!(one_by_one, in_batches);
        prop_assert_eq!(single.picture(), batched.picture());
    }
}

/// One command after another, each with its time.
fn one(rows: &mut Rows, number: usize, conversation: ConversationRef, command: Command) -> Verdict {
    rows.run(&[(number, conversation, command)], POLICY).remove(0)
}

#[test]
fn windows_pass_and_what_changes_nothing_is_answered_before_them() {
    let mut rows = Rows::new();
    one(&mut rows, 0, pair_ref(), text("1", "hello", None)).unwrap();
    let edit = |content: &str| Command::Edit { message: Seq(1), content: content.to_owned() };
    assert_eq!(one(&mut rows, 1, pair_ref(), edit("x")).unwrap_err(), Refusal::Forbidden);
    assert!(matches!(one(&mut rows, 0, pair_ref(), edit("changed")), Ok(Outcome::Wrote { seq: Seq(2), .. })));
    rows.now = rows.now.plus(Duration::from_mins(16));
    assert!(matches!(one(&mut rows, 0, pair_ref(), edit("changed")), Ok(Outcome::Unchanged { seq: Seq(2), .. })));
    assert_eq!(one(&mut rows, 0, pair_ref(), edit("later")).unwrap_err(), Refusal::EditWindowPassed);
    let recall = Command::Recall { message: Seq(1) };
    assert_eq!(one(&mut rows, 0, pair_ref(), recall.clone()).unwrap_err(), Refusal::RecallWindowPassed);
    assert_eq!(one(&mut rows, 1, pair_ref(), recall).unwrap_err(), Refusal::Forbidden);
}

#[test]
fn admins_recall_at_any_time_but_not_the_owners() {
    let mut rows = Rows::new();
    one(&mut rows, 0, group_ref(), create(&[0, 1, 2])).unwrap();
    let admin = Command::Group(GroupCommand::SetRole { user: user(1), role: Role::Admin });
    one(&mut rows, 0, group_ref(), admin).unwrap();
    one(&mut rows, 0, group_ref(), text("1", "of the owner", None)).unwrap();
    one(&mut rows, 2, group_ref(), text("1", "of a member", None)).unwrap();
    rows.now = rows.now.plus(Duration::from_hours(1));
    let recall = |seq| Command::Recall { message: Seq(seq) };
    assert_eq!(one(&mut rows, 1, group_ref(), recall(3)).unwrap_err(), Refusal::Forbidden);
    assert_eq!(one(&mut rows, 2, group_ref(), recall(4)).unwrap_err(), Refusal::RecallWindowPassed);
    assert!(matches!(one(&mut rows, 1, group_ref(), recall(4)), Ok(Outcome::Wrote { seq: Seq(5), .. })));
    assert!(matches!(one(&mut rows, 0, group_ref(), recall(4)), Ok(Outcome::Unchanged { seq: Seq(5), .. })));
    let react = Command::React { message: Seq(4), emoji: "x".to_owned(), add: true };
    assert_eq!(one(&mut rows, 2, group_ref(), react).unwrap_err(), Refusal::NotEditable);
}

#[test]
fn a_join_that_comes_late_is_refused_by_the_shards_clock() {
    let mut rows = Rows::new();
    one(&mut rows, 0, group_ref(), create(&[0])).unwrap();
    let late = Command::Group(GroupCommand::Add {
        members: joinings(&[1]),
        not_after: rows.now.minus(Duration::from_secs(1)),
    });
    assert_eq!(one(&mut rows, 0, group_ref(), late).unwrap_err(), Refusal::Unavailable);
}

#[test]
fn who_comes_back_sees_only_the_new_interval() {
    let mut rows = Rows::new();
    one(&mut rows, 0, group_ref(), create(&[0, 1])).unwrap();
    one(&mut rows, 0, group_ref(), text("1", "before", None)).unwrap();
    one(&mut rows, 1, group_ref(), Command::Group(GroupCommand::Leave)).unwrap();
    assert_eq!(one(&mut rows, 1, group_ref(), text("1", "gone", None)).unwrap_err(), Refusal::NotFound);
    let members = vec![Joining { user: user(1), token: token(77) }];
    let add = Command::Group(GroupCommand::Add { members, not_after: Timestamp(i64::MAX) });
    let added = one(&mut rows, 0, group_ref(), add).unwrap();
    assert!(matches!(added, Outcome::Members { seq: Seq(4), ref joined, .. } if joined.len() == 1), "{added:?}");
    let member = rows.members.get(&(group_ref().id(), user(1))).unwrap();
    assert_eq!((member.first_seq, member.first_ordinal, member.token), (Seq(4), 1, token(77)));
    let react = Command::React { message: Seq(2), emoji: "x".to_owned(), add: true };
    assert_eq!(one(&mut rows, 1, group_ref(), react).unwrap_err(), Refusal::NotFound);
    assert_eq!(
        one(&mut rows, 1, group_ref(), text("2", "quotes", Some(group_ref().id().message(Seq(2))))).unwrap_err(),
        Refusal::NotFound
    );
}

#[test]
fn a_repeat_is_answered_after_removal_and_over_the_rate() {
    let mut rows = Rows::new();
    one(&mut rows, 0, group_ref(), create(&[0, 1])).unwrap();
    one(&mut rows, 1, group_ref(), text("1", "hello", None)).unwrap();
    one(&mut rows, 0, group_ref(), Command::Group(GroupCommand::Remove { users: vec![user(1)] })).unwrap();
    let mut again = text("1", "hello", None);
    if let Command::Send { over_rate_ms, .. } = &mut again {
        *over_rate_ms = Some(500);
    }
    let repeat = one(&mut rows, 1, group_ref(), again).unwrap();
    assert!(matches!(repeat, Outcome::Sent { seq: Seq(2), is_repeat: true, .. }));
    let mut fresh = text("2", "hello", None);
    if let Command::Send { over_rate_ms, .. } = &mut fresh {
        *over_rate_ms = Some(500);
    }
    assert_eq!(one(&mut rows, 1, group_ref(), fresh).unwrap_err(), Refusal::RateLimited { retry_after_ms: 500 });
}

#[test]
fn leaving_hands_over_or_dissolves() {
    let mut rows = Rows::new();
    one(&mut rows, 0, group_ref(), create(&[0, 1])).unwrap();
    let leave = Command::Group(GroupCommand::Leave);
    assert_eq!(one(&mut rows, 0, group_ref(), leave.clone()).unwrap_err(), Refusal::OwnerMustTransfer);
    let hand_over = Command::Group(GroupCommand::SetRole { user: user(1), role: Role::Owner });
    one(&mut rows, 0, group_ref(), hand_over).unwrap();
    assert_eq!(rows.members.get(&(group_ref().id(), user(0))).unwrap().role, Role::Admin);
    one(&mut rows, 0, group_ref(), leave.clone()).unwrap();
    let end = one(&mut rows, 1, group_ref(), leave).unwrap();
    assert!(matches!(end, Outcome::Members { is_dissolved: true, ref left, .. } if left.len() == 1), "{end:?}");
    assert_eq!(one(&mut rows, 1, group_ref(), text("9", "x", None)).unwrap_err(), Refusal::NotFound);
}

#[test]
fn fifty_messages_are_pinned_and_a_recalled_one_makes_room() {
    let mut rows = Rows::new();
    one(&mut rows, 0, group_ref(), create(&[0, 1])).unwrap();
    // Seqs 2 to 52 are messages.
    for number in 0..=super::pin::PINS_MAX {
        one(&mut rows, 1, group_ref(), text(&number.to_string(), "x", None)).unwrap();
    }
    let pin = |seq| Command::Pin { message: Seq(seq), add: true };
    assert_eq!(one(&mut rows, 1, group_ref(), pin(2)).unwrap_err(), Refusal::Forbidden);
    let last = i64::try_from(super::pin::PINS_MAX).unwrap() + 2;
    for seq in 2..last {
        assert!(matches!(one(&mut rows, 0, group_ref(), pin(seq)), Ok(Outcome::Wrote { .. })));
    }
    assert_eq!(one(&mut rows, 0, group_ref(), pin(last)).unwrap_err(), Refusal::TooManyPins);
    assert!(matches!(one(&mut rows, 0, group_ref(), pin(2)), Ok(Outcome::Nothing)), "it is already");
    // In one batch: what a recall frees is free.
    let verdicts = rows.run(
        &[
            (0, group_ref(), Command::Recall { message: Seq(2) }),
            (0, group_ref(), pin(last)),
            (0, group_ref(), pin(2)),
            (0, group_ref(), Command::Pin { message: Seq(2), add: false }),
        ],
        POLICY,
    );
    assert!(matches!(verdicts[..2], [Ok(Outcome::Wrote { .. }), Ok(Outcome::Wrote { .. })]), "{verdicts:?}");
    assert!(matches!(verdicts[2..], [Err(Refusal::NotEditable), Ok(Outcome::Nothing)]), "{verdicts:?}");
    assert_eq!(rows.pins.len(), super::pin::PINS_MAX);
}
