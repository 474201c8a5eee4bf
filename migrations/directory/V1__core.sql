-- The directory database: users and what is listed by user. Every table is keyed by the user whose rows they are, so that it
-- can be sharded by user later; no foreign keys or joins between two users' rows.

create table account (
    id            uuid primary key,
    username      text,                           -- null for users of other issuers and deleted ones
    username_key  text unique,                    -- NFKC and case folded; stays when deleted
    email         text,
    email_key     text unique,
    display_name  text not null,
    avatar_url    text,
    status_text   text,
    password_hash text,                           -- null: no password login
    roles         text[] not null default '{}',
    read_receipts bool not null default true,
    disabled_at   timestamptz,
    deleted_at    timestamptz,
    created_at    timestamptz not null default clock_timestamp()
);
create index account_out on account (id) where disabled_at is not null or deleted_at is not null;

create table login (
    id                    uuid primary key,       -- `sid` of the tokens
    user_id               uuid not null,
    device                text,
    address               text,
    refresh_hash          bytea not null,         -- SHA-256 of the refresh token that is good now
    previous_hash         bytea,                  -- of the one before, good for 30 s while the successor is unused
    rotated_at            timestamptz,
    ended_at              timestamptz,
    created_at            timestamptz not null default clock_timestamp(),
    last_seen_at          timestamptz not null default clock_timestamp()
);
create index login_user on login (user_id, created_at);
create index login_refresh on login (refresh_hash);
create index login_previous on login (previous_hash) where previous_hash is not null;

-- What all nodes must learn: ended logins, disabled and deleted users, settings. Polled by (tx, id), see cursors.
create table change (
    id         int8 generated always as identity primary key,
    tx         xid8 not null default pg_current_xact_id(),
    kind       text not null,                     -- login_ended, user_disabled, user_enabled, user_deleted, roles_changed, setting
    subject    text not null,
    value      text,
    created_at timestamptz not null default clock_timestamp()
);
create index change_tx on change (tx, id);
create index change_created_at on change using brin (created_at) with (autosummarize = on);

create table setting (
    key        text primary key,
    value      text not null,                     -- JSON
    is_initial bool not null,                     -- from the configuration; false once an administrator has set it
    updated_at timestamptz not null default clock_timestamp()
);

-- A user's conversations. Pending rows (pending_at not null) are of joins that may not have been committed in the shard.
create table listing (
    user_id         uuid not null,
    conversation_id uuid not null,
    join_token      uuid not null,                -- nil for direct conversations
    kind            int2 not null,
    peer_id         uuid,                         -- the other user of a direct conversation
    pending_at      timestamptz,
    left_seq        int8,
    left_at         timestamptz,
    created_at      timestamptz not null default clock_timestamp(),
    primary key (user_id, conversation_id, join_token)
);
create index listing_pending on listing (pending_at) where pending_at is not null;
create index listing_left on listing (left_at) where left_at is not null;

-- Copies of what pairs' rows in the shards say, written only by a greater (epoch, version); ended ones stay as rows.
create table block (
    user_id    uuid not null,
    other_id   uuid not null,
    is_active  bool not null,
    epoch      int8 not null,
    version    int8 not null,
    since      timestamptz not null,
    primary key (user_id, other_id)
);
create index block_by_other on block (other_id) where is_active;

create table friend (
    user_id    uuid not null,
    other_id   uuid not null,
    is_active  bool not null,
    epoch      int8 not null,
    version    int8 not null,
    since      timestamptz not null,
    primary key (user_id, other_id)
);

-- Changes of pairs whose copies above may not be written yet: made before the shard's commit, deleted after the copies.
create table pair_pending (
    low_user   uuid not null,
    high_user  uuid not null,
    pending_at timestamptz not null default clock_timestamp(),
    token      uuid not null,
    primary key (low_user, high_user, token)
);
create index pair_pending_at on pair_pending (pending_at);

-- Single-use tokens used while Redis was away; rows older than a token's life are deleted.
create table used_token (
    id      uuid primary key,
    used_at timestamptz not null default clock_timestamp()
);
create index used_token_at on used_token (used_at);

