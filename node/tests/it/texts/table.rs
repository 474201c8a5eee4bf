//! Every text field, how to send it, and where it is to be read. Whoever adds a field adds a row.
//!
//! `TEXT` in a body is the text; `{words}` are things of the world, and `…` is `/groups` and `/conversations` both.

use Fate::{Elsewhere, Kept, Key, Names, Sought};

/// What becomes of a text.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It is shown as it was sent: in the answer at this place, and by this path at that place.
    Kept(&'static str, &'static str, &'static str),
    /// It is a key of the object at this place of the answer.
    Key(&'static str),
    /// Whoever says it again gets the same, by its id at this place; another text is another.
    Names(&'static str),
    /// Something is looked for by it, or it is one of a few words: whatever it is, the answer has this status.
    Sought(u16),
    /// What else tests it.
    Elsewhere(&'static str),
}

pub struct Row {
    /// As `fields` names it.
    pub field: &'static str,
    pub path: &'static str,
    pub body: &'static str,
    pub fate: Fate,
}

const fn row(field: &'static str, path: &'static str, body: &'static str, fate: Fate) -> Row {
    Row { field, path, body, fate }
}

const fn elsewhere(field: &'static str, what: &'static str) -> Row {
    row(field, "", "", Elsewhere(what))
}

/// Of REST. The field begins with its method.
pub const ROWS: &[Row] = &[
    row(
        "PATCH /users/me display_name",
        "/users/me",
        r#"{"display_name":"TEXT"}"#,
        Kept("/display_name", "/users/me", "/display_name"),
    ),
    row(
        "PATCH /users/me avatar_url",
        "/users/me",
        r#"{"avatar_url":"TEXT"}"#,
        Kept("/avatar_url", "/users/me", "/avatar_url"),
    ),
    row(
        "PATCH /users/me status_text",
        "/users/me",
        r#"{"status_text":"TEXT"}"#,
        Kept("/status_text", "/users/me", "/status_text"),
    ),
    row("POST /groups name", "/groups", r#"{"name":"TEXT"}"#, Kept("/title", "/groups/{answer}", "/title")),
    row(
        "POST /groups avatar_url",
        "/groups",
        r#"{"name":"G","avatar_url":"TEXT"}"#,
        Kept("/avatar_url", "/groups", "/items/0/avatar_url"),
    ),
    row("POST /groups temp_id", "/groups", r#"{"name":"G","temp_id":"TEXT"}"#, Names("/id")),
    row(
        "POST /conversations/group name",
        "/conversations/group",
        r#"{"name":"TEXT"}"#,
        Kept("/title", "/conversations/{answer}", "/title"),
    ),
    row(
        "POST /conversations/group avatar_url",
        "/conversations/group",
        r#"{"name":"G","avatar_url":"TEXT"}"#,
        Kept("/avatar_url", "/conversations", "/items/0/avatar_url"),
    ),
    row("POST /conversations/group temp_id", "/conversations/group", r#"{"name":"G","temp_id":"TEXT"}"#, Names("/id")),
    row("PUT …/{id} name", "…/{group}", r#"{"name":"TEXT"}"#, Kept("/title", "…/{group}", "/title")),
    row(
        "PUT …/{id} avatar_url",
        "…/{group}",
        r#"{"avatar_url":"TEXT"}"#,
        Kept("/avatar_url", "…/{group}", "/avatar_url"),
    ),
    row(
        "PUT …/{id} announcement",
        "…/{group}",
        r#"{"announcement":"TEXT"}"#,
        Kept("/announcement", "…/{group}", "/announcement"),
    ),
    row(
        "POST /friends/request message",
        "/friends/request",
        r#"{"user_id":"{stranger}","message":"TEXT"}"#,
        Kept("/message", "/friends/pending", "/items/0/message"),
    ),
    row(
        "POST /messages/{id} content",
        "/messages/{peer}",
        r#"{"temp_id":"{free}","message_type":"text","content":"TEXT"}"#,
        Kept("/content", "/messages/{peer}", "/items/0/content"),
    ),
    row(
        "POST /messages/{id} temp_id",
        "/messages/{peer}",
        r#"{"temp_id":"TEXT","message_type":"text","content":"x"}"#,
        Kept("/temp_id", "/messages/{peer}", "/items/0/temp_id"),
    ),
    row(
        "POST /messages/{id} metadata.*",
        "/messages/{peer}",
        r#"{"temp_id":"{free}","message_type":"text","content":"x","metadata":{"TEXT":"TEXT"}}"#,
        Kept("/metadata", "/messages/{peer}", "/items/0/metadata"),
    ),
    row(
        "POST …/{id}/messages content",
        "…/{group}/messages",
        r#"{"temp_id":"{free}","message_type":"text","content":"TEXT"}"#,
        Kept("/content", "/conversations", "/items/0/last_message/content"),
    ),
    row(
        "POST …/{id}/messages temp_id",
        "…/{group}/messages",
        r#"{"temp_id":"TEXT","message_type":"text","content":"x"}"#,
        Kept("/temp_id", "…/{group}/messages", "/items/0/temp_id"),
    ),
    row(
        "POST …/{id}/messages metadata.*",
        "…/{group}/messages",
        r#"{"temp_id":"{free}","message_type":"text","content":"x","metadata":{"TEXT":"TEXT"}}"#,
        Kept("/metadata", "…/{group}/messages", "/items/0/metadata"),
    ),
    row(
        "PATCH /messages/{id} content",
        "/messages/{message}",
        r#"{"content":"TEXT"}"#,
        Kept("/content", "/messages/{peer}?after_seq=0", "/items/0/content"),
    ),
    row(
        "POST /messages/{id}/forward temp_id",
        "/messages/{message}/forward",
        r#"{"conversation_ids":["{other_group}"],"temp_id":"TEXT"}"#,
        Names("/items/0/id"),
    ),
    row("PUT /messages/{id}/reactions/{emoji} {emoji}", "/messages/{message}/reactions/TEXT", "", Key("/reactions")),
    row("DELETE /messages/{id}/reactions/{emoji} {emoji}", "/messages/{message}/reactions/TEXT", "", Sought(204)),
    row(
        "POST /broadcasts title",
        "/broadcasts",
        r#"{"title":"TEXT","content":"x"}"#,
        Kept("/title", "/broadcasts", "/items/0/title"),
    ),
    row(
        "POST /broadcasts content",
        "/broadcasts",
        r#"{"title":"x","content":"TEXT"}"#,
        Kept("/content", "/notifications", "/items/0/content"),
    ),
    row(
        "POST /broadcasts data.*",
        "/broadcasts",
        r#"{"title":"x","content":"x","data":{"TEXT":"TEXT"}}"#,
        Kept("/data", "/notifications", "/items/0/data"),
    ),
    row("POST /events type", "/events", r#"{"type":"TEXT","level":"info"}"#, Kept("/type", "/events", "/items/0/type")),
    row(
        "POST /events payload.*",
        "/events",
        r#"{"type":"x","level":"info","payload":{"TEXT":"TEXT"}}"#,
        Kept("/payload", "/events", "/items/0/payload"),
    ),
    row(
        "POST /admin/notifications title",
        "/admin/notifications",
        r#"{"user_ids":["{me}"],"title":"TEXT","content":"x"}"#,
        Kept("", "/notifications", "/items/0/title"),
    ),
    row(
        "POST /admin/notifications content",
        "/admin/notifications",
        r#"{"user_ids":["{me}"],"title":"x","content":"TEXT"}"#,
        Kept("", "/notifications", "/items/0/content"),
    ),
    row(
        "POST /admin/notifications data.*",
        "/admin/notifications",
        r#"{"user_ids":["{me}"],"title":"x","content":"x","data":{"TEXT":"TEXT"}}"#,
        Kept("", "/notifications", "/items/0/data"),
    ),
    row(
        "POST /admin/notifications variables.*",
        "/admin/notifications",
        r#"{"user_ids":["{me}"],"template":"filled","variables":{"word":"TEXT"}}"#,
        Kept("", "/notifications", "/items/0/content"),
    ),
    row(
        "POST /admin/notifications language",
        "/admin/notifications",
        r#"{"user_ids":["{me}"],"template":"filled","variables":{"word":"x"},"language":"TEXT"}"#,
        Sought(201),
    ),
    row(
        "POST /admin/notifications template",
        "/admin/notifications",
        r#"{"user_ids":["{me}"],"template":"TEXT"}"#,
        Sought(404),
    ),
    row(
        "POST /admin/notifications type",
        "/admin/notifications",
        r#"{"user_ids":["{me}"],"title":"x","content":"x","type":"TEXT"}"#,
        Sought(422),
    ),
    row(
        "POST /admin/notification-templates name",
        "/admin/notification-templates",
        r#"{"name":"TEXT","title":"x","content":"x"}"#,
        Kept("/name", "/admin/notification-templates/{answer}", "/name"),
    ),
    row(
        "POST /admin/notification-templates type",
        "/admin/notification-templates",
        r#"{"name":"{free}","title":"x","content":"x","type":"TEXT"}"#,
        Sought(422),
    ),
    row(
        "POST /admin/notification-templates title",
        "/admin/notification-templates",
        r#"{"name":"{free}","title":"TEXT","content":"x"}"#,
        Kept("/title", "/admin/notification-templates/{answer}", "/title"),
    ),
    row(
        "POST /admin/notification-templates content",
        "/admin/notification-templates",
        r#"{"name":"{free}","title":"x","content":"TEXT"}"#,
        Kept("/content", "/admin/notification-templates/{answer}", "/content"),
    ),
    row(
        "POST /admin/notification-templates languages.*.title",
        "/admin/notification-templates",
        r#"{"name":"{free}","title":"x","content":"x","languages":{"zh":{"title":"TEXT","content":"x"}}}"#,
        Kept("/languages/zh/title", "/admin/notification-templates/{answer}", "/languages/zh/title"),
    ),
    row(
        "POST /admin/notification-templates languages.*.content",
        "/admin/notification-templates",
        r#"{"name":"{free}","title":"x","content":"x","languages":{"zh":{"title":"x","content":"TEXT"}}}"#,
        Kept("/languages/zh/content", "/admin/notification-templates/{answer}", "/languages/zh/content"),
    ),
    row(
        "PATCH /admin/notification-templates/{id} name",
        "/admin/notification-templates/{template}",
        r#"{"name":"TEXT"}"#,
        Kept("/name", "/admin/notification-templates/{template}", "/name"),
    ),
    row(
        "PATCH /admin/notification-templates/{id} type",
        "/admin/notification-templates/{template}",
        r#"{"type":"TEXT"}"#,
        Sought(422),
    ),
    row(
        "PATCH /admin/notification-templates/{id} title",
        "/admin/notification-templates/{template}",
        r#"{"title":"TEXT"}"#,
        Kept("/title", "/admin/notification-templates/{template}", "/title"),
    ),
    row(
        "PATCH /admin/notification-templates/{id} content",
        "/admin/notification-templates/{template}",
        r#"{"content":"TEXT"}"#,
        Kept("/content", "/admin/notification-templates/{template}", "/content"),
    ),
    row(
        "PATCH /admin/notification-templates/{id} languages.*.title",
        "/admin/notification-templates/{template}",
        r#"{"languages":{"ja":{"title":"TEXT","content":"x"}}}"#,
        Kept("/languages/ja/title", "/admin/notification-templates/{template}", "/languages/ja/title"),
    ),
    row(
        "PATCH /admin/notification-templates/{id} languages.*.content",
        "/admin/notification-templates/{template}",
        r#"{"languages":{"ja":{"title":"x","content":"TEXT"}}}"#,
        Kept("/languages/ja/content", "/admin/notification-templates/{template}", "/languages/ja/content"),
    ),
    row("PATCH /admin/users/{id} roles[]", "/admin/users/{stranger}", r#"{"roles":["TEXT"]}"#, Sought(422)),
    row("POST /admin/settings/{key} {key}", "/admin/settings/TEXT", r#"{"value":1}"#, Sought(404)),
    row("POST /admin/settings/{key} value.*", "/admin/settings/edit_window_s", r#"{"value":"TEXT"}"#, Sought(422)),
    row(
        "POST /admin/subscriptions pattern",
        "/admin/subscriptions",
        r#"{"consumer":"alert","pattern":"TEXT"}"#,
        Sought(422),
    ),
    row("POST /auth/login username", "/auth/login", r#"{"username":"TEXT","password":"wrong-password"}"#, Sought(401)),
    row("POST /auth/login email", "/auth/login", r#"{"email":"TEXT","password":"wrong-password"}"#, Sought(401)),
    row(
        "POST /auth/login password",
        "/auth/login",
        r#"{"username":"nobody-of-this-name","password":"TEXT"}"#,
        Sought(401),
    ),
    row("POST /auth/logout refresh_token", "/auth/logout", r#"{"refresh_token":"TEXT"}"#, Sought(204)),
    row("POST /auth/refresh refresh_token", "/auth/refresh", r#"{"refresh_token":"TEXT"}"#, Sought(401)),
    row(
        "POST /auth/register display_name",
        "/auth/register",
        r#"{"username":"u{free}","password":"a good password","display_name":"TEXT"}"#,
        Kept("/user/display_name", "", ""),
    ),
    row("POST /groups/join token", "/groups/join", r#"{"token":"TEXT"}"#, Sought(404)),
    row("GET /users ?query", "/users?query=TEXT", "", Sought(200)),
    row("GET /admin/users ?query", "/admin/users?query=TEXT", "", Sought(200)),
    row("GET /moderation/users ?query", "/moderation/users?query=TEXT", "", Sought(200)),
    row("GET /events ?type", "/events?type=TEXT", "", Sought(200)),
    row("GET /admin/audit ?action", "/admin/audit?action=TEXT", "", Sought(200)),
    row("GET /admin/audit ?target", "/admin/audit?target=TEXT", "", Sought(200)),
    row("GET /messages/search ?q", "/messages/search?q=TEXT", "", Sought(200)),
    elsewhere("POST /auth/register username", "names: names_are_kept_as_written_and_compared_folded"),
    elsewhere("POST /auth/register email", "names: names_are_kept_as_written_and_compared_folded"),
    elsewhere("POST /auth/register password", "names: passwords_are_the_same_from_every_keyboard"),
    elsewhere("POST /users/me/password current_password", "names: passwords_are_the_same_from_every_keyboard"),
    elsewhere("POST /users/me/password new_password", "names: passwords_are_the_same_from_every_keyboard"),
    // The same handlers as above.
    elsewhere("POST /users/login username", "POST /auth/login"),
    elsewhere("POST /users/login email", "POST /auth/login"),
    elsewhere("POST /users/login password", "POST /auth/login"),
    elsewhere("POST /users/register username", "POST /auth/register"),
    elsewhere("POST /users/register email", "POST /auth/register"),
    elsewhere("POST /users/register password", "POST /auth/register"),
    elsewhere("POST /users/register display_name", "POST /auth/register"),
    elsewhere("GET /realtime ?token", "GET /ws"),
    elsewhere("GET /ws/chat ?token", "GET /ws"),
    elsewhere("GET /ws ?token", "frames: tokens_and_cursors_that_are_none_are_told_so"),
    elsewhere("auth token", "frames: tokens_and_cursors_that_are_none_are_told_so"),
    elsewhere("auth sync.cursor", "frames: tokens_and_cursors_that_are_none_are_told_so"),
];

/// Of WebSocket: a frame, and where in the direct answer the text is.
pub const FRAMES: &[(&str, &str, &str)] = &[
    (
        "chat.send data.content",
        r#"{"type":"chat","action":"send","data":{"receiver_id":"{peer}","temp_id":"{free}","message_type":"text","content":"TEXT"}}"#,
        "",
    ),
    (
        "chat.send data.metadata.*",
        r#"{"type":"chat","action":"send","data":{"receiver_id":"{peer}","temp_id":"{free}","message_type":"text","content":"x","metadata":{"TEXT":"TEXT"}}}"#,
        "",
    ),
    (
        "chat.send data.temp_id",
        r#"{"type":"chat","action":"send","data":{"receiver_id":"{peer}","temp_id":"TEXT","message_type":"text","content":"x"}}"#,
        "/data/temp_id",
    ),
    (
        "chat.edit data.content",
        r#"{"type":"chat","action":"edit","data":{"message_id":"{message}","content":"TEXT"}}"#,
        "/data/content",
    ),
    (
        "chat.react data.emoji",
        r#"{"type":"chat","action":"react","data":{"message_id":"{message}","emoji":"TEXT","add":true}}"#,
        "/data/emoji",
    ),
    ("sync data.cursor", r#"{"type":"sync","data":{"cursor":"TEXT"}}"#, "invalid_cursor"),
    ("auth id", r#"{"type":"auth","token":"{token}","id":"TEXT"}"#, "/id"),
    (
        "chat.send id",
        r#"{"type":"chat","action":"send","id":"TEXT","data":{"receiver_id":"{peer}","temp_id":"{free}","message_type":"text","content":"x"}}"#,
        "/id",
    ),
    (
        "chat.edit id",
        r#"{"type":"chat","action":"edit","id":"TEXT","data":{"message_id":"{message}","content":"{free}"}}"#,
        "/id",
    ),
    (
        "chat.react id",
        r#"{"type":"chat","action":"react","id":"TEXT","data":{"message_id":"{message}","emoji":"{free}","add":true}}"#,
        "/id",
    ),
    ("read id", r#"{"type":"read","id":"TEXT","data":{"conversation_id":"{group}"}}"#, "/id"),
    ("sync id", r#"{"type":"sync","id":"TEXT","data":{"conversations":[]}}"#, "/id"),
    ("ping id", r#"{"type":"ping","id":"TEXT"}"#, "/id"),
    ("heartbeat id", r#"{"type":"heartbeat","id":"TEXT"}"#, "/id"),
    // What has no answer when it is good has one when it is not.
    ("chat.recall id", r#"{"type":"chat","action":"recall","id":"TEXT","data":{}}"#, "/id"),
    ("ack id", r#"{"type":"ack","id":"TEXT","data":{}}"#, "/id"),
    ("status id", r#"{"type":"status","id":"TEXT","data":{}}"#, "/id"),
    ("typing id", r#"{"type":"typing","id":"TEXT","data":{}}"#, "/id"),
];
