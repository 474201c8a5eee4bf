//! Who belongs to a group: making it, adding, removing, leaving. Each raises `members_version`, with the entry that says so.

use super::group::{end, group_of, may_act_on, require_role, role_of_actor};
use super::model::{Book, Conversation, Group, Member};
use super::{Asked, Verdict};
use crate::domain::command::{Joining, Outcome};
use crate::domain::entry::{Created, UserIds};
use crate::domain::{Body, ConversationKind, InviteSecret, Refusal, Role, Seq, Timestamp, UserId};

/// Members that the entry `created` names, at most.
const CREATED_MEMBERS_MAX: usize = 200;

/// Seq 1. A repeat finds the group made and is answered with the members of that time who are still there.
pub(super) fn create(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    first: Group,
    members: &[Joining],
    not_after: Timestamp,
) -> Verdict {
    let id = conversation.id();
    let is_made = conversation.last_seq > Seq::ZERO;
    let group = group_of(conversation)?;
    if is_made {
        let is_dissolved = group.is_dissolved;
        let already = standing(book, conversation, members.iter().map(|joining| joining.user));
        let seq = Seq::ZERO.next();
        return Ok(Outcome::Members { seq, joined: Vec::new(), already, left: Vec::new(), is_dissolved });
    }
    if book.now > not_after {
        return Err(Refusal::Unavailable);
    }
    let members = without_repeats(members);
    let member_count = count(members.len())?;
    if member_count > first.max_members {
        return Err(Refusal::GroupFull);
    }
    let created = Created {
        kind: ConversationKind::Group,
        title: first.title.clone(),
        members: members.iter().map(|joining| joining.user).take(CREATED_MEMBERS_MAX).collect(),
        member_count,
    };
    *group = Group { member_count, members_version: 1, has_new_details: true, ..first };
    let owner = asked.actor.id;
    let before = (conversation.last_seq, conversation.last_ordinal);
    let at = book.append(conversation, asked, Body::Created(created))?.entry.created_at;
    for joining in &members {
        let role = if joining.user == owner { Role::Owner } else { Role::Member };
        book.members.insert((id, joining.user), joined(*joining, role, before, at));
    }
    let seq = conversation.last_seq;
    Ok(Outcome::Members { seq, joined: members, already: Vec::new(), left: Vec::new(), is_dissolved: false })
}

/// Owner and admins add; members who are there already stay as they are.
pub(super) fn add(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    members: &[Joining],
    not_after: Timestamp,
) -> Verdict {
    require_role(book, conversation, asked, Role::Admin)?;
    if book.now > not_after {
        return Err(Refusal::Unavailable);
    }
    let id = conversation.id();
    let members = without_repeats(members);
    let already = standing(book, conversation, members.iter().map(|joining| joining.user));
    let new: Vec<Joining> =
        members.into_iter().filter(|joining| book.active_member(id, joining.user).is_none()).collect();
    if new.is_empty() {
        let seq = conversation.last_seq;
        return Ok(Outcome::Members { seq, joined: new, already, left: Vec::new(), is_dissolved: false });
    }
    take_in(book, conversation, asked, new, already)
}

/// The actor comes in by a link that is good. The entry says that it added itself.
pub(super) fn join(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    joinings: &[Joining],
    secret: InviteSecret,
    not_after: Timestamp,
) -> Verdict {
    let (id, now, last_seq) = (conversation.id(), book.now, conversation.last_seq);
    if !group_of(conversation)?.stands(last_seq) {
        return Err(Refusal::NotFound);
    }
    let already = standing(book, conversation, [asked.actor.id]);
    if !already.is_empty() {
        return Ok(Outcome::Members {
            seq: last_seq,
            joined: Vec::new(),
            already,
            left: Vec::new(),
            is_dissolved: false,
        });
    }
    if !book.invites.get(&(id, secret)).is_some_and(|invite| invite.is_good(now)) {
        return Err(Refusal::NotFound);
    }
    if now > not_after {
        return Err(Refusal::Unavailable);
    }
    let own: Vec<Joining> = joinings.iter().filter(|joining| joining.user == asked.actor.id).take(1).copied().collect();
    let outcome = take_in(book, conversation, asked, own, already)?;
    if let Some(invite) = book.invites.get_mut(&(id, secret)) {
        invite.uses = invite.uses.saturating_add(1);
        invite.is_changed = true;
    }
    Ok(outcome)
}

/// Makes members of users who are none, if there is room for all.
fn take_in(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    new: Vec<Joining>,
    already: Vec<Joining>,
) -> Verdict {
    let id = conversation.id();
    let group = group_of(conversation)?;
    let member_count = group.member_count.saturating_add(count(new.len())?);
    if member_count > group.max_members {
        return Err(Refusal::GroupFull);
    }
    group.member_count = member_count;
    group.members_version += 1;
    let before = (conversation.last_seq, conversation.last_ordinal);
    let user_ids = new.iter().map(|joining| joining.user).collect();
    let at = book.append(conversation, asked, Body::MemberAdded(UserIds { user_ids }))?.entry.created_at;
    for joining in &new {
        book.members.insert((id, joining.user), joined(*joining, Role::Member, before, at));
    }
    let seq = conversation.last_seq;
    Ok(Outcome::Members { seq, joined: new, already, left: Vec::new(), is_dissolved: false })
}

/// All or nobody: one who may not be removed stops the call. Who is no member is left out.
pub(super) fn remove(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, users: &[UserId]) -> Verdict {
    let actor = require_role(book, conversation, asked, Role::Admin)?;
    let mut left = standing(book, conversation, users.iter().copied());
    left.sort_unstable_by_key(|joining| joining.user);
    left.dedup();
    let id = conversation.id();
    for joining in &left {
        let role = book.active_member(id, joining.user).map_or(Role::Member, |member| member.role);
        if !may_act_on(actor, role) {
            return Err(Refusal::Forbidden);
        }
    }
    take_out(book, conversation, asked, left, Body::MemberRemoved)
}

/// The owner hands over first; the only member dissolves the group.
pub(super) fn leave(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>) -> Verdict {
    if role_of_actor(book, conversation, asked)? == Role::Owner {
        if group_of(conversation)?.member_count > 1 {
            return Err(Refusal::OwnerMustTransfer);
        }
        return end(book, conversation, asked);
    }
    let left = standing(book, conversation, [asked.actor.id]);
    take_out(book, conversation, asked, left, Body::MemberLeft)
}

fn take_out(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    left: Vec<Joining>,
    body: fn(UserIds) -> Body,
) -> Verdict {
    if !left.is_empty() {
        let gone = count(left.len())?;
        let group = group_of(conversation)?;
        group.member_count = group.member_count.saturating_sub(gone);
        group.members_version += 1;
        let user_ids = left.iter().map(|joining| joining.user).collect();
        let seq = book.append(conversation, asked, body(UserIds { user_ids }))?.entry.seq();
        for joining in &left {
            if let Some(member) = book.active_member_mut(conversation.id(), joining.user) {
                member.left_seq = Some(seq);
                member.is_changed = true;
            }
        }
    }
    let seq = conversation.last_seq;
    Ok(Outcome::Members { seq, joined: Vec::new(), already: Vec::new(), left, is_dissolved: false })
}

/// Of these users those who are members now, with the tokens that stand in the shard.
fn standing(book: &Book, conversation: &Conversation, users: impl IntoIterator<Item = UserId>) -> Vec<Joining> {
    let of = |user| {
        let member = book.active_member(conversation.id(), user)?;
        Some(Joining { user, token: member.token })
    };
    users.into_iter().filter_map(of).collect()
}

/// The first of each user's, in the order given.
fn without_repeats(members: &[Joining]) -> Vec<Joining> {
    let mut seen = std::collections::HashSet::with_capacity(members.len());
    members.iter().filter(|joining| seen.insert(joining.user)).copied().collect()
}

fn count(length: usize) -> Result<i32, Refusal> {
    i32::try_from(length).map_err(|_| Refusal::GroupFull)
}

/// A new interval, which begins with the entry after `before`. What was there before counts as read.
fn joined(joining: Joining, role: Role, before: (Seq, i64), at: Timestamp) -> Member {
    Member {
        token: joining.token,
        role,
        first_seq: before.0.next(),
        first_ordinal: before.1,
        left_seq: None,
        read_seq: before.0,
        read_ordinal: before.1,
        received_seq: before.0,
        muted_until: None,
        joined_at: at,
        is_joined_now: true,
        is_changed: true,
        has_moved: true,
    }
}
