-- Links by which users join a group themselves. With the group's rows, so that the lane that adds the member counts the use in
-- the same transaction. A withdrawn link is deleted.
create table invite (
    conversation_id uuid not null,
    id              uuid not null,                -- version 7: newer ones are greater
    secret          uuid not null,                -- random; with the conversation's id it is the link's token
    created_by      uuid not null,
    created_at      timestamptz not null default clock_timestamp(),
    expires_at      timestamptz,                  -- null: never
    max_uses        int4,                         -- null: any number
    uses            int4 not null default 0,
    primary key (conversation_id, id)
);
create unique index invite_secret on invite (conversation_id, secret);

-- Events to be published, as in the directory; this is the directory's where a database is both.
create table if not exists outbox (
    id           uuid primary key,
    topic        text not null,
    payload      text not null,                   -- JSON
    created_at   timestamptz not null default clock_timestamp(),
    published_at timestamptz
);
create index if not exists outbox_waiting on outbox (created_at, id) where published_at is null;
create index if not exists outbox_published on outbox (published_at) where published_at is not null;
