//! What no signature says: a line about each route, and the refusals of its own. (Those of a token, a body, a path, a query and of any
//! service are known from the handler's parameters.) Both prefixes of a group's routes, and aliases, share a line.

use std::borrow::Cow;

use crate::domain::Refusal;
use crate::domain::Refusal::{
    AlreadyFriends, Blocked, Blocking, EditWindowPassed, EmailTaken, FirstMessageLimit, Forbidden, GroupFull,
    InvalidCredentials, InvalidRefreshToken, Muted, NotEditable, NotFound, NotFriends, OwnerMustTransfer,
    RecallWindowPassed, TempIdReused, TooManyPins, UsernameTaken,
};

/// About one route.
pub struct Words {
    /// `POST /auth/login`; below `/api/v1` without it.
    route: &'static str,
    pub summary: &'static str,
    pub refusals: &'static [Refusal],
}

const fn words(route: &'static str, summary: &'static str, refusals: &'static [Refusal]) -> Words {
    Words { route, summary, refusals }
}

const FORWARD: &[Refusal] = &[Blocking, Blocked, NotFriends, FirstMessageLimit, Muted, NotEditable, TempIdReused];
const SEND: &[Refusal] = &[NotFound, Blocking, Blocked, NotFriends, FirstMessageLimit, Muted, TempIdReused];
const REACT: &[Refusal] = &[
    Refusal::InvalidRequest(Vec::new()),
    Refusal::InvalidText(Cow::Borrowed("")),
    NotEditable,
    Muted,
    Blocked,
    Blocking,
];

const WORDS: &[Words] = &[
    words("POST /auth/register", "Makes an account and logs it in.", &[UsernameTaken, EmailTaken]),
    words("POST /auth/login", "Logs in, by username or email.", &[InvalidCredentials]),
    words("POST /auth/refresh", "Gives a new pair of tokens; a refresh token works once.", &[InvalidRefreshToken]),
    words("POST /auth/logout", "Ends the refresh token's login, if it has one.", &[]),
    words("GET /auth/sessions", "One's logins, newest first.", &[]),
    words("DELETE /auth/sessions/{id}", "Ends one of one's logins: its tokens and its sockets.", &[]),
    words("POST /auth/ws-token", "A token for one WebSocket, to be used in its URL.", &[]),
    words("GET /users/me", "One's own account.", &[]),
    words("PATCH /users/me", "Changes one's profile.", &[]),
    words("POST /users/me/password", "Changes one's password and ends all other logins.", &[InvalidCredentials]),
    words("GET /users/{id}", "What is shown of a user.", &[]),
    words("POST /relationships/block", "Blocks a user, from now on and everywhere.", &[NotFound]),
    words("POST /relationships/unblock", "Ends a block.", &[NotFound]),
    words("GET /relationships/blocked", "Whom one blocks.", &[]),
    words("GET /conversations", "One's conversations, newest first, pinned ones ahead.", &[]),
    words("POST /conversations", "The direct conversation with a user.", &[NotFound]),
    words("GET /groups", "One's groups, newest first, pinned ones ahead.", &[]),
    words(
        "POST /groups",
        "Makes a group; its creator owns it.",
        &[NotFound, Blocked, Blocking, GroupFull, TempIdReused],
    ),
    words("GET /groups/{id}", "A conversation, as one sees it.", &[]),
    words("PUT /groups/{id}", "Changes a group: its name, its picture and the like.", &[Forbidden]),
    words("DELETE /groups/{id}", "Dissolves a group.", &[Forbidden]),
    words(
        "POST /groups/{id}/leave",
        "Leaves a group; as its only member, dissolves it.",
        &[Forbidden, OwnerMustTransfer],
    ),
    words("GET /groups/{id}/members", "A group's members.", &[]),
    words("POST /groups/{id}/members", "Adds members.", &[Forbidden, Blocked, Blocking, GroupFull]),
    words("POST /groups/{id}/members/remove", "Removes members.", &[Forbidden]),
    words("DELETE /groups/{id}/members/{user_id}", "Removes a member.", &[Forbidden]),
    words("POST /groups/{id}/members/{user_id}/mute", "Mutes a member until a time, or no longer.", &[Forbidden]),
    words(
        "POST /groups/{id}/members/{user_id}/role",
        "Gives a member a role; `owner` hands the group over.",
        &[Forbidden],
    ),
    words("GET /groups/{id}/messages", "History, newest first, or oldest first after a seq.", &[]),
    words("POST /groups/{id}/messages", "Sends; 200 for a repeated `temp_id`.", SEND),
    words("POST /groups/{id}/read", "Everything up to here is read; without a body, all of it.", &[]),
    words("PATCH /groups/{id}/settings", "What one has set for this conversation.", &[]),
    words(
        "GET /groups/{id}/pins",
        "Messages pinned for all, the last pinned first; without those one has hidden.",
        &[],
    ),
    words("GET /groups/{id}/invites", "Links into a group.", &[Forbidden]),
    words("POST /groups/{id}/invites", "Makes a link into a group.", &[Forbidden]),
    words("DELETE /groups/{id}/invites/{invite_id}", "Withdraws a link.", &[Forbidden]),
    words("POST /groups/join", "Joins a group by a link.", &[NotFound, Blocked, Blocking, GroupFull]),
    words("GET /messages/unread-count", "Unread messages, by conversation and in all.", &[]),
    words("GET /messages/{id}", "History with the user of this id.", &[]),
    words("POST /messages/{id}", "Sends to the user of this id; 200 for a repeated `temp_id`.", SEND),
    words(
        "PATCH /messages/{id}",
        "Gives one's own text another content.",
        &[Forbidden, NotEditable, EditWindowPassed, Muted],
    ),
    words("POST /messages/{id}/read", "Everything up to this message is read.", &[]),
    words("POST /messages/{id}/recall", "Takes a message back.", &[Forbidden, RecallWindowPassed, NotEditable]),
    words(
        "PUT /messages/{id}/pin",
        "Pins a message for all: either of a pair, owner and admins of a group; 50 in a conversation. A recalled one is pinned no more.",
        &[Forbidden, NotEditable, Blocked, Blocking, TooManyPins],
    ),
    words("DELETE /messages/{id}/pin", "Takes a pin away, for all; who may pin may do that.", &[Forbidden]),
    words("PUT /messages/{id}/reactions/{emoji}", "Adds one's reaction.", REACT),
    words("DELETE /messages/{id}/reactions/{emoji}", "Takes one's reaction away.", REACT),
    words("DELETE /users/me", "Deletes one's account, for good: its name stays taken.", &[]),
    words("GET /users/me/export", "All of one's data.", &[]),
    words("GET /users", "Finds users by name.", &[]),
    words("POST /users/presence", "Who is here, of friends and of those one shares a conversation with.", &[]),
    words(
        "POST /friends/request",
        "Asks to be friends; 200 while it waits.",
        &[NotFound, Blocked, Blocking, AlreadyFriends],
    ),
    words("POST /friends/{id}/accept", "Becomes the friend of who asked.", &[Blocked, Blocking, AlreadyFriends]),
    words("POST /friends/{id}/reject", "Refuses a request.", &[]),
    words("DELETE /friends/{id}", "Ends a friendship, or takes back one's request.", &[]),
    words("GET /friends", "One's friends.", &[]),
    words("GET /friends/pending", "Requests that wait.", &[]),
    words("GET /groups/{id}/export", "A conversation, streamed.", &[]),
    words("GET /messages/search", "Finds messages by words, newest first.", &[NotFound]),
    words("DELETE /messages/{id}", "Hides a message for oneself.", &[]),
    words("POST /messages/{id}/forward", "Forwards a message to conversations.", FORWARD),
    words("GET /messages/{id}/receipts", "Who has read a message.", &[]),
    words("GET /notifications", "What one was told, newest first.", &[]),
    words("POST /notifications/{id}/read", "Marks a notification read.", &[]),
    words("POST /notifications/read-all", "Marks all notifications read.", &[]),
    words("DELETE /notifications/{id}", "Deletes a notification.", &[]),
    words("POST /notifications/{id}/delete", "Deletes a notification.", &[]),
    words("POST /broadcasts", "Tells everyone, those offline too.", &[]),
    words("GET /broadcasts", "What everyone was told, newest first.", &[]),
    words("POST /events", "Reports an event.", &[]),
    words("GET /events", "Reported events, newest first.", &[]),
    words("GET /admin/settings", "Run-time settings.", &[]),
    words("POST /admin/settings/{key}", "Sets a run-time setting, on every node.", &[]),
    words("POST /admin/settings/reload", "Reads the settings anew, on every node.", &[]),
    words("GET /admin/notification-templates", "Templates of notifications.", &[]),
    words("POST /admin/notification-templates", "Keeps a template.", &[]),
    words("GET /admin/notification-templates/{id}", "A template.", &[]),
    words("PATCH /admin/notification-templates/{id}", "Changes a template.", &[]),
    words("DELETE /admin/notification-templates/{id}", "Deletes a template.", &[]),
    words("POST /admin/notifications", "Tells some users, or all.", &[NotFound]),
    words(
        "GET /admin/users",
        "Accounts, as administrators see them: all, or those found by how a name or address begins.",
        &[],
    ),
    words("GET /admin/users/{id}", "An account, as administrators see it.", &[]),
    words("PATCH /admin/users/{id}", "Disables an account or gives it roles.", &[]),
    words("DELETE /admin/users/{id}/sessions", "Ends all logins of a user.", &[]),
    words("GET /moderation/users", "Accounts, as moderators see them: without addresses.", &[]),
    words("GET /moderation/users/{id}", "An account, as moderators see it.", &[]),
    words(
        "PATCH /moderation/users/{id}",
        "Disables an account, or lets it in again: of a user, not of one's equal or of who is above.",
        &[],
    ),
    words("DELETE /moderation/users/{id}/sessions", "Ends all logins of a user, likewise.", &[]),
    words("GET /admin/nodes", "The nodes: sessions, lag, version.", &[]),
    words("GET /admin/stats", "How much there is of everything.", &[]),
    words("GET /admin/subscriptions", "What is done about what happens.", &[]),
    words("POST /admin/subscriptions", "Has alerts or audit follow a pattern of topics.", &[]),
    words("DELETE /admin/subscriptions/{id}", "Ends a subscription.", &[]),
    words("GET /admin/dead-letters", "What consumers could not do, newest first.", &[]),
    words("GET /admin/audit", "What administrators did, newest first.", &[]),
    words("GET /health", "Each dependency by name.", &[]),
    words("GET /livez", "The process answers.", &[]),
    words("GET /readyz", "Requests can be served here now.", &[]),
    words("GET /ws", "The WebSocket; its frames are in /asyncapi.json.", &[]),
    words("GET /docs", "These documents, for people.", &[]),
    words("GET /docs/style.css", "How the page of the documents looks.", &[]),
    words("GET /openapi.json", "REST, as OpenAPI 3.1.", &[]),
    words("GET /asyncapi.json", "The WebSocket's frames, as AsyncAPI 3.0.", &[]),
];

/// Paths that lead to the same as another.
const ALIASES: &[(&str, &str)] = &[
    ("/users/register", "/auth/register"),
    ("/users/login", "/auth/login"),
    ("/message/ws-token", "/auth/ws-token"),
    ("/conversations/group", "/groups"),
    ("/ws/chat", "/ws"),
    ("/realtime", "/ws"),
];

/// What is said about a route; none is a fault that the test of the documents finds.
pub fn words_of(method: &str, path: &str) -> Option<&'static Words> {
    let route = format!("{} {}", method.to_ascii_uppercase(), canonical(path));
    WORDS.iter().find(|words| words.route == route)
}

fn canonical(path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    if let Some((_, canonical)) = ALIASES.iter().find(|(alias, _)| *alias == path) {
        return (*canonical).to_owned();
    }
    match path.strip_prefix("/conversations/{id}") {
        Some(rest) => format!("/groups/{{id}}{rest}"),
        None => path.to_owned(),
    }
}

/// Lines about routes that there are not.
pub fn stray_words() -> Vec<&'static str> {
    let routes = crate::http::documented_routes().into_list();
    let is_known = |words: &&Words| {
        let leads_here = |found: &Words| found.route == words.route;
        routes.iter().any(|route| words_of(route.method, &route.path).is_some_and(leads_here))
    };
    WORDS.iter().filter(|words| !is_known(words)).map(|words| words.route).collect()
}
