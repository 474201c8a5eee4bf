-- What users are told beside messages, what they report, and what administrators do.

-- One row for each user told; those told by one call share the id.
create table notification (
    user_id    uuid not null,
    id         uuid not null,
    kind       text not null,                     -- system, friend, card_completed, custom
    title      text not null,
    content    text not null,
    data       text not null,                     -- a JSON object
    is_read    bool not null default false,
    created_at timestamptz not null,
    primary key (user_id, id)
);
create index notification_listed on notification (user_id, created_at desc, id desc);
create index notification_unread on notification (user_id, created_at desc, id desc) where not is_read;
create index notification_created_at on notification using brin (created_at) with (autosummarize = on);

-- What is told to everyone: one row, however many users there are.
create table broadcast (
    number     int8 primary key,                  -- 1, 2, 3, ... in the order of their commits: given out under the table's lock
    id         uuid not null unique,
    kind       text not null,
    title      text not null,
    content    text not null,
    data       text not null,
    created_by uuid not null,
    created_at timestamptz not null               -- grows with the number
);

-- Only of users who have read or deleted single broadcasts.
create table broadcast_state (
    user_id    uuid not null,
    number     int8 not null,
    is_read    bool not null,
    is_deleted bool not null,
    primary key (user_id, number)
);

-- Only of users who have read all: of broadcasts up to this number, of their own up to this time.
create table notification_position (
    user_id          uuid primary key,
    broadcast_number int8 not null,
    own_until        timestamptz not null
);

-- The newest broadcast when the account was made: a user sees those after it. Null, of older accounts: all.
create function newest_broadcast() returns int8 language sql stable as 'select coalesce(max(number), 0) from broadcast';
alter table account add column broadcast_base int8;
alter table account alter column broadcast_base set default newest_broadcast();

create table notification_template (
    id         uuid primary key,
    name       text not null unique,
    kind       text not null,
    title      text not null,
    content    text not null,
    languages  text not null,                     -- JSON: language -> {title, content}
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);

-- Reports of clients and servers around; old ones are removed.
create table event (
    id         uuid primary key,
    user_id    uuid not null,
    type       text not null,
    level      text not null,                     -- debug, info, warning, error, critical
    payload    text not null,                     -- JSON
    created_at timestamptz not null default clock_timestamp()
);
create index event_listed on event (created_at desc, id desc);
create index event_by_type on event (type, created_at desc, id desc);

-- What administrators did. Nothing changes or removes a row.
create table audit (
    id         uuid primary key,
    admin_id   uuid not null,
    action     text not null,
    target     text,
    before     text,                              -- JSON
    after      text,                              -- JSON
    address    text,
    created_at timestamptz not null default clock_timestamp()
);
create index audit_listed on audit (created_at desc, id desc);
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed or removed', tg_table_name;
end
$$;
create trigger audit_stays before update or delete or truncate on audit for each statement execute function refuse_change();

-- What each node says of itself every few seconds.
create table node_report (
    node_id     text primary key,
    boot_id     uuid not null,
    version     text not null,
    sessions    int8 not null,
    lag_ms      int8 not null,
    is_draining bool not null,
    started_at  timestamptz not null,
    reported_at timestamptz not null
) with (fillfactor = 50);
