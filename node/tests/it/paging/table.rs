//! Every list, and how an item comes into it. Whoever adds a list adds a row.

use super::world::Items::{self, Conversation, Group, Message, Nothing, Pin, Rows};

/// Where a new item of a rank stands among the others: small ranks come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Where its rank says, ranks being times or ids; the same rank twice is the same time, to the microsecond.
    ByRank,
    /// The same, but greater ids come first.
    ByFallingId,
    /// Before all others: the newest first.
    Front,
    /// After all others.
    Back,
    /// There are always the same.
    Fixed,
}

/// A list.
#[derive(Clone, Copy, Debug)]
pub struct List {
    pub route: &'static str,
    /// As it is asked for, with `{group}`, `{message}` and `{peer}` of the world.
    pub path: &'static str,
    /// Where an item says which it is.
    pub id: &'static str,
    pub order: Order,
    pub items: Items,
}

impl List {
    /// It can have more items than a page.
    pub const fn has_many(&self) -> bool {
        matches!(self.items, Rows { .. } | Message { .. })
    }
}

const fn list(route: &'static str, path: &'static str, id: &'static str, order: Order, items: Items) -> List {
    List { route, path, id, order, items }
}

/// Rows of the directory: `$1` is the item's id, `$2` its time, `$3` the reader. An account of the item's id is always there.
const fn rows(insert: &'static str, delete: &'static str) -> Items {
    Rows { insert, delete, of_group: false }
}

/// Rows of the shard of the group: `$1` is the item's id, `$2` its time, `$3` the group.
const fn rows_of_group(insert: &'static str, delete: &'static str) -> Items {
    Rows { insert, delete, of_group: true }
}

const LOGIN: Items = rows(
    "insert into login (id, user_id, refresh_hash, created_at) values ($1, $3, uuid_send($1), $2)",
    "update login set ended_at = now() where id = $1 and user_id = $2",
);
const FRIEND: Items = rows(
    "insert into friend (user_id, other_id, is_active, epoch, version, since) values ($3, $1, true, 1, 1, $2)",
    "update friend set is_active = false where other_id = $1 and user_id = $2",
);
const REQUEST: Items = rows(
    "insert into friend_request (user_id, other_id, direction, epoch, version, since) values ($3, $1, 2, 1, 1, $2)",
    "update friend_request set direction = 0 where other_id = $1 and user_id = $2",
);
const BLOCK: Items = rows(
    "insert into block (user_id, other_id, is_active, epoch, version, since) values ($3, $1, true, 1, 1, $2)",
    "update block set is_active = false where other_id = $1 and user_id = $2",
);
const NOTIFICATION: Items = rows(
    "insert into notification (user_id, id, kind, title, content, data, created_at) values ($3, $1, 'custom', 'T', 'C', '{}', $2)",
    "delete from notification where id = $1 and user_id = $2",
);
const BROADCAST: Items = rows(
    "insert into broadcast (number, id, kind, title, content, data, created_by, created_at)
     select coalesce(max(number), 0) + 1, $1, 'system', 'T', 'C', '{}', $3, greatest($2, max(created_at)) from broadcast",
    "delete from broadcast where id = $1 and created_by = $2",
);
const EVENT: Items = rows(
    "insert into event (id, user_id, type, level, payload, created_at) values ($1, $3, 'paged', 'info', '{}', $2)",
    "delete from event where id = $1 and user_id = $2",
);
/// Nothing removes an entry.
const AUDIT: Items =
    rows("insert into audit (id, admin_id, action, target, created_at) values ($1, $3, 'test.paged', 'paged', $2)", "");
/// One event that several consumers could not do anything about, at one moment.
const DEAD_LETTER: Items = rows(
    "insert into dead_letter (consumer, event_id, topic, payload, error, created_at)
     select $1::uuid::text, md5($2::timestamptz::text)::uuid, 'system.event', '{}', 'E', $2 where $3::uuid is not null",
    "delete from dead_letter where consumer = $1::uuid::text and $2::uuid is not null",
);
const NODE: Items = rows(
    "insert into node_report (node_id, boot_id, version, sessions, lag_ms, is_draining, started_at, reported_at)
     values ($1::uuid::text, $3, '0', 0, 0, false, $2, now())",
    "delete from node_report where node_id = $1::uuid::text and $2::uuid is not null",
);
const TEMPLATE: Items = rows(
    "insert into notification_template (id, name, kind, title, content, languages, created_at)
     select $1, $1::uuid::text, 'custom', 'T', 'C', '{}', $2 where $3::uuid is not null",
    "delete from notification_template where id = $1 and $2::uuid is not null",
);
const SUBSCRIPTION: Items = rows(
    "insert into subscription (id, consumer, pattern, created_by, created_at)
     values ($1, 'alert', 'user.status.online.' || $1::uuid::text, $3, $2)",
    "delete from subscription where id = $1 and $2::uuid is not null",
);
/// The account that is always there is all; its name begins with `paged` and goes on with its id.
const ACCOUNT: Items = rows(
    "select $1::uuid, $2::timestamptz, $3::uuid",
    "update account set username = null, display_name = 'gone' where id = $1 and $2::uuid is not null",
);
/// Of the second half of the ranks the names are only similar.
const FOUND: Items = rows(
    "update account set username = 'paget-' || id, username_key = 'paget-' || id
     where id = $1 and get_byte(uuid_send(id), 0) >= 128 and $2::timestamptz is not null and $3::uuid is not null",
    "update account set username = null, display_name = 'gone' where id = $1 and $2::uuid is not null",
);
const MEMBER: Items = rows_of_group(
    "insert into member (conversation_id, user_id, join_token, role, first_seq, first_ordinal, read_seq, read_ordinal,
                         delivered_seq, joined_at)
     select id, $1, $1, 0, 1, 0, last_seq, last_ordinal, last_seq, $2 from conversation where id = $3",
    "update member set left_seq = read_seq where user_id = $1 and conversation_id = $2",
);
const INVITE: Items = rows_of_group(
    "insert into invite (conversation_id, id, secret, created_by, created_at) values ($3, $1, $1, $1, $2)",
    "delete from invite where id = $1 and conversation_id = $2",
);

const IN_GROUP: Items = Message { to: "/groups/{group}/messages", content: "hay" };
const WITH_PEER: Items = Message { to: "/messages/{peer}", content: "hay" };
const NEEDLE: Items = Message { to: "/groups/{group}/messages", content: "needle" };

pub const LISTS: &[List] = {
    use Order::{Back, ByFallingId, ByRank, Fixed, Front};
    &[
        // First, while there are few users.
        list("/admin/users", "/admin/users", "/id", ByRank, ACCOUNT),
        list("/moderation/users", "/moderation/users", "/id", ByRank, ACCOUNT),
        list("/admin/users", "/admin/users?query=paged", "/id", ByRank, ACCOUNT),
        list("/moderation/users", "/moderation/users?query=paged", "/id", ByRank, ACCOUNT),
        list("/users", "/users?query=paged", "/id", ByRank, FOUND),
        list("/auth/sessions", "/auth/sessions", "/id", ByRank, LOGIN),
        list("/friends", "/friends", "/user/id", ByRank, FRIEND),
        list("/friends/pending", "/friends/pending", "/user/id", ByRank, REQUEST),
        list("/friends/pending", "/friends/pending?direction=incoming", "/user/id", ByRank, REQUEST),
        list("/relationships/blocked", "/relationships/blocked", "/user/id", ByRank, BLOCK),
        list("/conversations", "/conversations", "/id", ByRank, Conversation),
        list("/groups", "/groups", "/id", ByRank, Group),
        list("…/{id}/members", "…/{group}/members", "/user/id", ByRank, MEMBER),
        list("…/{id}/invites", "…/{group}/invites", "/id", ByFallingId, INVITE),
        list("…/{id}/pins", "…/{group}/pins", "/message/id", Front, Pin),
        list("…/{id}/messages", "…/{group}/messages", "/id", Front, IN_GROUP),
        list("…/{id}/messages", "…/{group}/messages?after_seq=0", "/id", Back, IN_GROUP),
        list("/messages/{id}", "/messages/{peer}", "/id", Front, WITH_PEER),
        list("/messages/{id}", "/messages/{peer}?after_seq=0", "/id", Back, WITH_PEER),
        list("/messages/{id}/receipts", "/messages/{message}/receipts", "/user/id", ByRank, MEMBER),
        list("/messages/search", "/messages/search?q=needle", "/id", Front, NEEDLE),
        list("/notifications", "/notifications", "/id", ByRank, NOTIFICATION),
        list("/notifications", "/notifications?unread_only=true", "/id", ByRank, NOTIFICATION),
        list("/broadcasts", "/broadcasts", "/id", Front, BROADCAST),
        list("/events", "/events", "/id", ByRank, EVENT),
        list("/events", "/events?type=paged", "/id", ByRank, EVENT),
        list("/admin/audit", "/admin/audit", "/id", ByRank, AUDIT),
        list("/admin/audit", "/admin/audit?action=test.paged", "/id", ByRank, AUDIT),
        list("/admin/dead-letters", "/admin/dead-letters", "/consumer", ByRank, DEAD_LETTER),
        list("/admin/nodes", "/admin/nodes", "/id", ByRank, NODE),
        list("/admin/notification-templates", "/admin/notification-templates", "/id", ByRank, TEMPLATE),
        list("/admin/settings", "/admin/settings", "/key", Fixed, Nothing),
        list("/admin/subscriptions", "/admin/subscriptions", "/id", ByRank, SUBSCRIPTION),
    ]
};
