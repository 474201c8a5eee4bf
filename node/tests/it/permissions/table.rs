//! Who may do what: a row for every route, and for each kind of thing that a route can be about. This is the specification; it is
//! written from the contract, not from what the code answers.
//!
//! `{words}` in paths and bodies are things and people of `cast.rs`; `…` is `/groups` and `/conversations` both, which lead to the same.

use super::cast::Who::{
    self, Admin, Blocked, Deleted, Disabled, Former, Member, Moderator, Nobody, Other, Owner, System,
};

/// What somebody gets: a status and, of a refusal, its stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub status: u16,
    pub code: &'static str,
}

impl Cell {
    /// For people: the status, with the code where it is not the usual one.
    pub fn said(self) -> String {
        match self.code {
            "" | "unauthorized" | "forbidden" | "not_found" => self.status.to_string(),
            code => format!("{} `{code}`", self.status),
        }
    }
}

const fn is(status: u16, code: &'static str) -> Cell {
    Cell { status, code }
}

const fn ok(status: u16) -> Cell {
    is(status, "")
}

/// To whom it must not be known.
const UNKNOWN: Cell = is(404, "not_found");
/// Known, but not theirs to do.
const FORBIDDEN: Cell = is(403, "forbidden");
const NO_TOKEN: Cell = is(401, "unauthorized");
/// The column of what was deleted, unless a row says otherwise: the thing is unknown or, where the request is about none, the caller's
/// own account is deleted.
const GONE: Cell = ok(0);

/// What each gets.
#[derive(Clone, Debug)]
pub struct Cells {
    of: Vec<(Who, Cell)>,
    /// Who asks for what was deleted.
    pub asks_for_deleted: Who,
    /// What one does is nothing to the others.
    pub each_for_themselves: bool,
}

impl Cells {
    fn all(cell: Cell) -> Self {
        let of = Who::EACH.iter().map(|who| (*who, cell)).collect();
        Self { of, asks_for_deleted: Owner, each_for_themselves: false }
            .but(Disabled, NO_TOKEN)
            .but(Nobody, NO_TOKEN)
            .but(Deleted, GONE)
    }

    fn but(mut self, who: Who, cell: Cell) -> Self {
        self.of.iter_mut().filter(|(other, _)| *other == who).for_each(|(_, old)| *old = cell);
        self
    }

    fn and(self, who: &[Who], cell: Cell) -> Self {
        who.iter().fold(self, |cells, who| cells.but(*who, cell))
    }

    pub fn of(&self, who: Who) -> Cell {
        self.of.iter().find(|(other, _)| *other == who).unwrap().1
    }
}

/// Everyone, with and without a token.
fn public(status: u16) -> Cells {
    anyone(status).and(&[Disabled, Nobody, Deleted], ok(status))
}

/// Everyone with a token, for their own part.
fn anyone(status: u16) -> Cells {
    Cells { each_for_themselves: true, ..Cells::all(ok(status)) }
}

/// Nobody: to everyone it does not exist.
fn nobody() -> Cells {
    Cells::all(UNKNOWN)
}

/// Whose thing it is.
fn own(status: u16) -> Cells {
    nobody().but(Owner, ok(status))
}

/// The two of a direct conversation, which are `owner` and `other`.
fn pair(status: u16) -> Cells {
    own(status).but(Other, ok(status))
}

/// Whoever is in the group now.
fn members(status: u16) -> Cells {
    nobody().and(&[Owner, Admin, Member], ok(status))
}

/// Owner and admins of the group.
fn admins(status: u16) -> Cells {
    members(status).but(Member, FORBIDDEN)
}

/// The owner of the group.
fn owner(status: u16) -> Cells {
    admins(status).but(Admin, FORBIDDEN)
}

/// Nobody, not even the owner: members know that it cannot be done, others know nothing.
fn no_member() -> Cells {
    nobody().and(&[Owner, Admin, Member], FORBIDDEN)
}

/// System administrators.
fn system(status: u16) -> Cells {
    Cells { asks_for_deleted: System, ..Cells::all(FORBIDDEN).but(System, ok(status)) }
}

/// Moderators, and system administrators, who may do all that they may.
fn moderators(status: u16) -> Cells {
    Cells { asks_for_deleted: Moderator, ..system(status).but(Moderator, ok(status)) }
}

/// One request and what comes of it.
#[derive(Clone, Debug)]
pub struct Row {
    pub method: &'static str,
    /// From `/` on, with its query.
    pub path: String,
    pub body: &'static str,
    pub cells: Cells,
}

impl Row {
    /// What it is asked for is something that can be deleted.
    pub fn is_about_a_thing(&self) -> bool {
        format!("{}{}", self.path, self.body)
            .split(['{', '}'])
            .any(|word| !word.is_empty() && word != "emoji" && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    }

    pub fn cell(&self, who: Who) -> Cell {
        match self.cells.of(who) {
            GONE if self.is_about_a_thing() => UNKNOWN,
            GONE => NO_TOKEN,
            cell => cell,
        }
    }

    /// The request, for people.
    pub fn said(&self) -> String {
        format!("{} {} {}", self.method, self.path, self.body)
    }

    /// As the documents have it, with nameless parts: `/api/v1/groups/{}/members`.
    pub fn route(&self) -> String {
        format!("{} {}", self.method, nameless(self.path.split('?').next().unwrap()))
    }
}

pub fn nameless(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

const NONE: &str = "";
const TEXT: &str = r#"{"temp_id":"1","message_type":"text","content":"hi"}"#;
const NAMED: &str = r#"{"name":"New"}"#;
const UNTIL: &str = r#"{"muted_until":"2099-01-01T00:00:00.000Z"}"#;
const AS_ADMIN: &str = r#"{"role":"admin"}"#;
const LOGIN: &str = r#"{"username":"{own_name}","password":"a password of the cast"}"#;
const REGISTER: &str = r#"{"username":"{free_name}","password":"a password of the cast"}"#;
const GROUP: &str = r#"{"name":"G","members":["{peer}"]}"#;
const PROFILE: &str = r#"{"display_name":"New"}"#;
const PASSWORDS: &str = r#"{"current_password":"a password of the cast","new_password":"another password"}"#;
const REFRESH: &str = r#"{"refresh_token":"{refresh_token}"}"#;
const PEER: &str = r#"{"user_id":"{peer}"}"#;
const PEERS: &str = r#"{"user_ids":["{peer}"]}"#;
const EDIT: &str = r#"{"content":"new"}"#;
const TEMPLATE: &str = r#"{"name":"{free_name}","title":"T","content":"C"}"#;
const SUBSCRIPTION: &str =
    r#"{"consumer":"alert","pattern":"user.status.online.00000000-0000-4000-8000-000000000000"}"#;
const TOLD: &str = r#"{"user_ids":["{peer}"],"title":"T","content":"C"}"#;
const EVENT: &str = r#"{"type":"test.matrix","level":"info","payload":{"a":1}}"#;
const BROADCAST: &str = r#"{"title":"T","content":"C"}"#;

pub fn rows() -> Vec<Row> {
    let below = |(route, body, cells)| row("/api/v1", route, body, cells);
    let tables = [accounts(), people(), conversations(), members_and_roles(), messages(), told(), admin()];
    let mut all: Vec<Row> = tables.into_iter().flatten().flat_map(both_prefixes).map(below).collect();
    all.extend(operations().into_iter().map(|(route, body, cells)| row("", route, body, cells)));
    all
}

type Line = (&'static str, &'static str, Cells);

fn row(prefix: &str, route: impl AsRef<str>, body: &'static str, cells: Cells) -> Row {
    let (method, path) = route.as_ref().split_once(' ').unwrap();
    let method = ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| *known == method).unwrap();
    Row { method, path: format!("{prefix}{path}"), body, cells }
}

fn both_prefixes((route, body, cells): Line) -> Vec<(String, &'static str, Cells)> {
    if !route.contains('…') {
        return vec![(route.to_owned(), body, cells)];
    }
    ["/groups", "/conversations"].map(|prefix| (route.replace('…', prefix), body, cells.clone())).into()
}

fn accounts() -> Vec<Line> {
    // A deleted account's name stays taken.
    let register = || public(201).but(Deleted, is(409, "username_taken"));
    // Who is disabled or deleted looks like who does not exist.
    let login = || public(200).and(&[Disabled, Deleted], is(401, "invalid_credentials"));
    vec![
        ("POST /auth/register", REGISTER, register()),
        ("POST /users/register", REGISTER, register()),
        ("POST /auth/login", LOGIN, login()),
        ("POST /users/login", LOGIN, login()),
        ("POST /auth/refresh", REFRESH, public(200).and(&[Disabled, Deleted], is(401, "invalid_refresh_token"))),
        ("POST /auth/logout", REFRESH, public(204)),
        ("GET /auth/sessions", NONE, anyone(200)),
        ("DELETE /auth/sessions/{session}", NONE, own(204)),
        ("POST /auth/ws-token", NONE, anyone(201)),
        ("POST /message/ws-token", NONE, anyone(201)),
        ("GET /users/me", NONE, anyone(200)),
        ("PATCH /users/me", PROFILE, anyone(200)),
        ("DELETE /users/me", NONE, anyone(204)),
        ("GET /users/me/export", NONE, anyone(200)),
        ("POST /users/me/password", PASSWORDS, anyone(204)),
    ]
}

fn people() -> Vec<Line> {
    // `peer` blocks `blocked`, is the friend of `other`, and `{asker}` is `peer` who has asked `owner`.
    vec![
        ("GET /friends", NONE, anyone(200)),
        ("GET /friends/pending", NONE, anyone(200)),
        (
            "POST /friends/request",
            PEER,
            anyone(201).but(Blocked, is(403, "blocked")).but(Other, is(409, "already_friends")),
        ),
        // Of friends it changes nothing.
        ("POST /friends/{asker}/accept", NONE, own(200).but(Other, ok(200))),
        ("POST /friends/{asker}/reject", NONE, own(204)),
        ("DELETE /friends/{peer}", NONE, nobody().but(Other, ok(204))),
        // Also whom one is blocked by, and who is deleted: `GET /users/{id}` shows them.
        ("POST /relationships/block", PEER, anyone(204).but(Deleted, ok(204))),
        ("POST /relationships/unblock", PEER, anyone(204).but(Deleted, ok(204))),
        ("GET /relationships/blocked", NONE, anyone(200)),
        ("GET /users?query=pe", NONE, anyone(200)),
        ("POST /users/presence", PEERS, anyone(200).but(Deleted, ok(200))),
        ("GET /users/{peer}", NONE, anyone(200).but(Deleted, ok(200))),
    ]
}

fn conversations() -> Vec<Line> {
    // What the two of a pair have written stays theirs when one of them is deleted.
    let history = |status| pair(status).but(Deleted, ok(status));
    vec![
        ("GET /conversations", NONE, anyone(200)),
        ("POST /conversations", PEER, anyone(200)),
        ("GET /groups", NONE, anyone(200)),
        ("POST /groups", GROUP, anyone(201).but(Blocked, is(403, "blocked"))),
        (
            "POST /conversations/group",
            r#"{"name":"G","member_ids":["{peer}"]}"#,
            anyone(201).but(Blocked, is(403, "blocked")),
        ),
        ("GET …/{group}", NONE, members(200)),
        ("GET …/{direct}", NONE, history(200)),
        ("PUT …/{group}", NAMED, admins(200)),
        ("PUT …/{group}", "{}", admins(200)),
        ("PUT …/{direct}", NAMED, nobody()),
        ("PUT …/{direct}", "{}", nobody()),
        ("DELETE …/{group}", NONE, owner(204)),
        ("DELETE …/{direct}", NONE, nobody()),
        ("GET …/{group}/export", NONE, members(200)),
        ("GET …/{direct}/export?format=html", NONE, history(200)),
        ("GET …/{group}/messages", NONE, members(200)),
        ("GET …/{direct}/messages", NONE, history(200)),
        ("POST …/{group}/messages", TEXT, members(201)),
        ("POST …/{muted_group}/messages", TEXT, members(201).but(Member, is(403, "muted"))),
        ("POST …/{direct}/messages", TEXT, pair(201)),
        ("POST …/{quarrel}/messages", TEXT, nobody().but(Owner, is(403, "blocking")).but(Blocked, is(403, "blocked"))),
        ("POST …/{group}/read", NONE, members(204)),
        ("POST …/{direct}/read", NONE, history(204)),
        ("GET …/{group}/pins", NONE, members(200)),
        ("GET …/{direct}/pins", NONE, history(200)),
        ("PATCH …/{group}/settings", r#"{"pinned":true}"#, members(200)),
        ("PATCH …/{direct}/settings", r#"{"pinned":true}"#, history(200)),
    ]
}

fn members_and_roles() -> Vec<Line> {
    let with_stranger = r#"{"user_ids":["{stranger}"]}"#;
    let with_blocked = r#"{"user_ids":["{blocked}"]}"#;
    vec![
        // Who made the link blocks `blocked`.
        ("POST /groups/join", r#"{"token":"{invite_token}"}"#, anyone(200).but(Blocked, is(403, "blocked"))),
        ("GET …/{group}/invites", NONE, admins(200)),
        ("POST …/{group}/invites", NONE, admins(201)),
        ("DELETE …/{group}/invites/{invite}", NONE, admins(204)),
        ("POST …/{group}/leave", NONE, members(204).but(Owner, is(409, "owner_must_transfer"))),
        ("POST …/{direct}/leave", NONE, nobody()),
        ("GET …/{group}/members", NONE, members(200)),
        ("GET …/{direct}/members", NONE, nobody()),
        ("POST …/{group}/members", with_stranger, admins(200)),
        ("POST …/{group}/members", with_blocked, admins(200).but(Owner, is(403, "blocking"))),
        ("POST …/{group}/members", r#"{"user_ids":[]}"#, admins(200)),
        ("POST …/{direct}/members", with_stranger, nobody()),
        ("POST …/{direct}/members/remove", PEERS, nobody()),
        ("DELETE …/{direct}/members/{other}", NONE, nobody()),
        ("POST …/{direct}/members/{other}/mute", UNTIL, nobody()),
        ("POST …/{direct}/members/{other}/role", AS_ADMIN, nobody()),
        ("GET …/{direct}/invites", NONE, nobody()),
        ("POST …/{direct}/invites", NONE, nobody()),
        ("POST …/{group}/members/remove", PEERS, admins(204)),
        ("POST …/{group}/members/remove", r#"{"user_ids":[]}"#, admins(204)),
        // Nobody removes, mutes or demotes the owner; an admin no admin.
        ("DELETE …/{group}/members/{peer}", NONE, admins(204)),
        ("DELETE …/{group}/members/{admin}", NONE, owner(204)),
        ("DELETE …/{group}/members/{owner}", NONE, no_member()),
        ("POST …/{group}/members/{peer}/mute", UNTIL, admins(200)),
        ("POST …/{group}/members/{admin}/mute", UNTIL, owner(200)),
        ("POST …/{group}/members/{owner}/mute", UNTIL, no_member()),
        ("POST …/{group}/members/{peer}/role", AS_ADMIN, owner(200)),
        ("POST …/{group}/members/{peer}/role", r#"{"role":"owner"}"#, owner(200)),
        ("POST …/{group}/members/{stranger}/role", AS_ADMIN, owner(200).but(Owner, UNKNOWN)),
    ]
}

fn messages() -> Vec<Line> {
    // A message is deleted by recalling it: its place stays, what it said does not.
    let recalled = is(409, "not_editable");
    vec![
        ("GET /messages/unread-count", NONE, anyone(200)),
        ("GET /messages/search?q=hello", NONE, anyone(200)),
        ("GET /messages/search?q=hello&conversation_id={group}", NONE, members(200)),
        ("GET /messages/{peer}", NONE, anyone(200).but(Deleted, ok(200))),
        ("POST /messages/{peer}", TEXT, anyone(201).but(Blocked, is(403, "blocked"))),
        ("PATCH /messages/{message}", EDIT, no_member().but(Owner, ok(200)).but(Deleted, recalled)),
        ("PATCH /messages/{direct_message}", EDIT, pair(200).but(Other, FORBIDDEN).but(Deleted, recalled)),
        ("DELETE /messages/{message}", NONE, members(204).but(Deleted, ok(204))),
        ("DELETE /messages/{direct_message}", NONE, pair(204).but(Deleted, ok(204))),
        (
            "POST /messages/{message}/forward",
            r#"{"conversation_ids":["{live_group}"],"temp_id":"1"}"#,
            members(201).but(Deleted, recalled),
        ),
        (
            "POST /messages/{direct_message}/forward",
            r#"{"conversation_ids":["{live_direct}"],"temp_id":"1"}"#,
            pair(201).but(Deleted, recalled),
        ),
        // Into what one is not in.
        (
            "POST /messages/{message}/forward",
            r#"{"conversation_ids":["{live_direct}"],"temp_id":"1"}"#,
            own(201).but(Deleted, recalled),
        ),
        ("GET /messages/{message}/receipts", NONE, members(200).but(Deleted, ok(200))),
        ("PUT /messages/{message}/reactions/{emoji}", NONE, members(200).but(Deleted, recalled)),
        ("PUT /messages/{direct_message}/reactions/{emoji}", NONE, pair(200).but(Deleted, recalled)),
        (
            "PUT /messages/{quarrel_message}/reactions/{emoji}",
            NONE,
            nobody().but(Owner, is(403, "blocking")).but(Blocked, is(403, "blocked")).but(Deleted, recalled),
        ),
        ("DELETE /messages/{message}/reactions/{emoji}", NONE, members(204).but(Deleted, recalled)),
        ("PUT /messages/{message}/pin", NONE, admins(200).but(Deleted, recalled)),
        ("PUT /messages/{direct_message}/pin", NONE, pair(200).but(Deleted, recalled)),
        (
            "PUT /messages/{quarrel_message}/pin",
            NONE,
            nobody().but(Owner, is(403, "blocking")).but(Blocked, is(403, "blocked")).but(Deleted, recalled),
        ),
        // Recalled, it is pinned no more: there is nothing to do.
        ("DELETE /messages/{message}/pin", NONE, admins(204).but(Deleted, ok(204))),
        ("DELETE /messages/{direct_message}/pin", NONE, pair(204).but(Deleted, ok(204))),
        ("POST /messages/{message}/read", NONE, members(204).but(Deleted, ok(204))),
        ("POST /messages/{direct_message}/read", NONE, pair(204).but(Deleted, ok(204))),
        // The owner's, by an admin; a member's, by whoever rules, or by itself.
        ("POST /messages/{message}/recall", NONE, no_member().but(Owner, ok(200)).but(Deleted, ok(200))),
        ("POST /messages/{admin_message}/recall", NONE, admins(200).but(Deleted, ok(200))),
        ("POST /messages/{member_message}/recall", NONE, members(200).but(Deleted, ok(200))),
        ("POST /messages/{direct_message}/recall", NONE, pair(200).but(Other, FORBIDDEN).but(Deleted, ok(200))),
    ]
}

fn told() -> Vec<Line> {
    vec![
        ("GET /notifications", NONE, anyone(200)),
        ("POST /notifications/{notification}/read", NONE, own(200)),
        ("POST /notifications/read-all", NONE, anyone(204)),
        ("DELETE /notifications/{notification}", NONE, own(204)),
        ("POST /notifications/{notification}/delete", NONE, own(204)),
        ("GET /broadcasts", NONE, anyone(200)),
        ("POST /broadcasts", BROADCAST, system(201)),
        ("POST /events", EVENT, anyone(201)),
        ("POST /events", r#"{"type":"test.matrix","level":"info","payload":[0]}"#, anyone(201)),
        ("GET /events", NONE, system(200)),
    ]
}

fn admin() -> Vec<Line> {
    vec![
        ("GET /admin/audit", NONE, system(200)),
        ("GET /admin/dead-letters", NONE, system(200)),
        ("GET /admin/nodes", NONE, system(200)),
        ("GET /admin/notification-templates", NONE, system(200)),
        ("POST /admin/notification-templates", TEMPLATE, system(201).but(Deleted, ok(201))),
        ("GET /admin/notification-templates/{template}", NONE, system(200)),
        ("PATCH /admin/notification-templates/{template}", r#"{"title":"N"}"#, system(200)),
        ("DELETE /admin/notification-templates/{template}", NONE, system(204)),
        ("POST /admin/notifications", TOLD, system(201)),
        ("POST /admin/notifications", r#"{"all":true,"title":"T","content":"C"}"#, system(201)),
        ("GET /admin/settings", NONE, system(200)),
        ("POST /admin/settings/reload", NONE, system(204)),
        ("POST /admin/settings/{setting}", r#"{"value":900}"#, system(200)),
        ("GET /admin/stats", NONE, system(200)),
        ("GET /admin/subscriptions", NONE, system(200)),
        ("POST /admin/subscriptions", SUBSCRIPTION, system(201)),
        ("DELETE /admin/subscriptions/{subscription}", NONE, system(204)),
        ("GET /admin/users", NONE, system(200)),
        // Administrators see that an account is deleted; nothing brings it back.
        ("GET /admin/users/{peer}", NONE, system(200).but(Deleted, ok(200))),
        ("PATCH /admin/users/{peer}", r#"{"disabled":true}"#, system(200)),
        ("PATCH /admin/users/{peer}", r#"{"roles":["moderator"]}"#, system(200)),
        ("DELETE /admin/users/{peer}/sessions", NONE, system(204)),
        ("GET /moderation/users", NONE, moderators(200)),
        ("GET /moderation/users/{peer}", NONE, moderators(200).but(Deleted, ok(200))),
        ("PATCH /moderation/users/{peer}", r#"{"disabled":true}"#, moderators(200)),
        // Nobody rules their equals.
        ("PATCH /moderation/users/{moderator}", r#"{"disabled":true}"#, system(200)),
        ("PATCH /moderation/users/{system}", r#"{"disabled":true}"#, system(200).but(System, FORBIDDEN)),
        ("DELETE /moderation/users/{peer}/sessions", NONE, moderators(204)),
        ("DELETE /moderation/users/{moderator}/sessions", NONE, system(204)),
        ("GET /health", NONE, public(200)),
    ]
}

fn operations() -> Vec<Line> {
    let routes = [
        "GET /health",
        "GET /livez",
        "GET /readyz",
        "GET /docs",
        "GET /docs/style.css",
        "GET /openapi.json",
        "GET /asyncapi.json",
    ];
    // The token comes over the socket: who has none is told there (1008).
    let sockets = ["GET /ws", "GET /ws/chat", "GET /api/v1/ws/chat", "GET /api/v1/realtime"];
    let each = |routes: &[&'static str], status| routes.iter().map(|route| (*route, NONE, public(status))).collect();
    let mut all: Vec<Line> = each(&routes, 200);
    all.extend::<Vec<Line>>(each(&sockets, 101));
    all
}
