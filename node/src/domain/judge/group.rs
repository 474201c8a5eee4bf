//! Groups: their making, their end, their title, roles and mutes. Who comes and goes is in `members`.

use super::members::{add, create, join, leave, remove};
use super::model::{Book, Conversation, Detail, Group};
use super::{Asked, Verdict};
use crate::domain::command::{GroupCommand, Joining, Outcome};
use crate::domain::entry::{MemberMuted, RoleChanged, Updated};
use crate::domain::{Body, Refusal, Role, Timestamp, UserId};

pub(super) fn change(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    command: &GroupCommand,
) -> Verdict {
    match command {
        GroupCommand::Create { title, avatar_url, max_members, members, not_after } => {
            let first = Group {
                title: title.clone(),
                avatar_url: avatar_url.clone(),
                max_members: *max_members,
                owner: Some(asked.actor.id),
                ..Group::default()
            };
            create(book, conversation, asked, first, members, *not_after)
        }
        GroupCommand::Add { members, not_after } => add(book, conversation, asked, members, *not_after),
        GroupCommand::Join { joinings, secret, not_after } => {
            join(book, conversation, asked, joinings, *secret, *not_after)
        }
        GroupCommand::Remove { users } => remove(book, conversation, asked, users),
        GroupCommand::Leave => leave(book, conversation, asked),
        GroupCommand::Dissolve => dissolve(book, conversation, asked),
        GroupCommand::Update(updated) => update(book, conversation, asked, updated),
        GroupCommand::SetRole { user, role } => set_role(book, conversation, asked, *user, *role),
        GroupCommand::Mute { user, muted_until } => mute(book, conversation, asked, *user, *muted_until),
    }
}

/// The actor's role in a group that stands; to anyone else the group does not exist.
pub(super) fn role_of_actor(book: &Book, conversation: &Conversation, asked: &Asked<'_>) -> Result<Role, Refusal> {
    let Detail::Group(group) = &conversation.detail else { return Err(Refusal::NotFound) };
    if !group.stands(conversation.last_seq) {
        return Err(Refusal::NotFound);
    }
    book.active_member(conversation.id(), asked.actor.id).map(|member| member.role).ok_or(Refusal::NotFound)
}

pub(super) fn require_role(
    book: &Book,
    conversation: &Conversation,
    asked: &Asked<'_>,
    least: Role,
) -> Result<Role, Refusal> {
    let role = role_of_actor(book, conversation, asked)?;
    if role < least { Err(Refusal::Forbidden) } else { Ok(role) }
}

/// Nobody removes or mutes the owner, an admin no admin.
pub(super) const fn may_act_on(actor: Role, other: Role) -> bool {
    match actor {
        Role::Owner => !matches!(other, Role::Owner),
        Role::Admin => matches!(other, Role::Member),
        Role::Member => false,
    }
}

pub(super) fn group_of(conversation: &mut Conversation) -> Result<&mut Group, Refusal> {
    match &mut conversation.detail {
        Detail::Group(group) => Ok(group),
        Detail::Pair(_) => Err(Refusal::NotFound),
    }
}

fn dissolve(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>) -> Verdict {
    require_role(book, conversation, asked, Role::Owner)?;
    end(book, conversation, asked)
}

/// The last entry. Whoever is a member still leaves with it: only rows that this batch knows are told so, since a statement over all
/// of them would hold the lane up for seconds. Whoever reads members looks at the group, too.
pub(super) fn end(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>) -> Verdict {
    let id = conversation.id();
    let group = group_of(conversation)?;
    group.members_version += 1;
    group.is_dissolved = true;
    group.has_new_details = true;
    let fresh = book.append(conversation, asked, Body::Dissolved)?;
    let seq = fresh.entry.seq();
    let mut left = Vec::new();
    for ((of, user), member) in &mut book.members {
        if *of == id && member.left_seq.is_none() {
            member.left_seq = Some(seq);
            member.is_changed = true;
            left.push(Joining { user: *user, token: member.token });
        }
    }
    left.sort_unstable_by_key(|joining| joining.user);
    Ok(Outcome::Members { seq, joined: Vec::new(), already: Vec::new(), left, is_dissolved: true })
}

/// Only what really changes is said in the entry.
fn update(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, wanted: &Updated) -> Verdict {
    require_role(book, conversation, asked, Role::Admin)?;
    let group = group_of(conversation)?;
    let changed = Updated {
        title: wanted.title.clone().filter(|title| *title != group.title),
        avatar_url: wanted.avatar_url.clone().filter(|avatar_url| *avatar_url != group.avatar_url),
        announcement: wanted.announcement.clone().filter(|announcement| *announcement != group.announcement),
        muted: wanted.muted.filter(|muted| *muted != group.is_muted),
    };
    if changed == Updated::default() {
        return Ok(Outcome::Nothing);
    }
    if let Some(title) = &changed.title {
        group.title.clone_from(title);
    }
    if let Some(avatar_url) = &changed.avatar_url {
        group.avatar_url.clone_from(avatar_url);
    }
    if let Some(announcement) = &changed.announcement {
        group.announcement.clone_from(announcement);
    }
    if let Some(muted) = changed.muted {
        group.is_muted = muted;
    }
    group.has_new_details = true;
    wrote(book, conversation, asked, Body::Updated(changed))
}

/// Given by the owner. Handing over the group makes its old owner an admin, in the same entry.
fn set_role(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, user: UserId, role: Role) -> Verdict {
    require_role(book, conversation, asked, Role::Owner)?;
    let id = conversation.id();
    let member = book.active_member_mut(id, user).ok_or(Refusal::NotFound)?;
    if member.role == role {
        return Ok(Outcome::Nothing);
    }
    if user == asked.actor.id {
        return Err(Refusal::OwnerMustTransfer);
    }
    member.role = role;
    member.is_changed = true;
    if role == Role::Owner {
        let group = group_of(conversation)?;
        group.owner = Some(user);
        group.has_new_details = true;
        if let Some(old) = book.active_member_mut(id, asked.actor.id) {
            old.role = Role::Admin;
            old.is_changed = true;
        }
    }
    wrote(book, conversation, asked, Body::RoleChanged(RoleChanged { user_id: user, role }))
}

/// The newer time holds; a past one, or none, frees.
fn mute(
    book: &mut Book,
    conversation: &mut Conversation,
    asked: &Asked<'_>,
    user: UserId,
    muted_until: Option<Timestamp>,
) -> Verdict {
    let actor = require_role(book, conversation, asked, Role::Admin)?;
    let now = book.now;
    let member = book.active_member_mut(conversation.id(), user).ok_or(Refusal::NotFound)?;
    if !may_act_on(actor, member.role) {
        return Err(Refusal::Forbidden);
    }
    let muted_until = muted_until.filter(|until| *until > now);
    if member.muted_until.filter(|until| *until > now) == muted_until {
        return Ok(Outcome::Nothing);
    }
    member.muted_until = muted_until;
    member.is_changed = true;
    wrote(book, conversation, asked, Body::MemberMuted(MemberMuted { user_id: user, muted_until }))
}

fn wrote(book: &mut Book, conversation: &mut Conversation, asked: &Asked<'_>, body: Body) -> Verdict {
    let fresh = book.append(conversation, asked, body)?;
    Ok(Outcome::Wrote { seq: fresh.entry.seq(), created_at: fresh.entry.created_at })
}
