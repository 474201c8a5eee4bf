-- Events for whoever subscribes: who does, what is to be published, what consumers have done.

create table subscription (
    id         uuid primary key,
    consumer   text not null,                     -- alert, audit
    pattern    text not null,
    level      text,                              -- at least; null: any
    created_by uuid not null,
    created_at timestamptz not null default clock_timestamp()
);

-- Written with what it tells of, and only where somebody subscribes. Kept for an hour after it was published. Shards have one too, which
-- is this one where a database is both.
create table if not exists outbox (
    id           uuid primary key,
    topic        text not null,
    payload      text not null,                   -- JSON
    created_at   timestamptz not null default clock_timestamp(),
    published_at timestamptz
);
create index if not exists outbox_waiting on outbox (created_at, id) where published_at is null;
create index if not exists outbox_published on outbox (published_at) where published_at is not null;

-- An event may come to a consumer more than once.
create table topic_handled (
    consumer   text not null,
    event_id   uuid not null,
    handled_at timestamptz not null default clock_timestamp(),
    primary key (consumer, event_id)
);
create index topic_handled_at on topic_handled using brin (handled_at) with (autosummarize = on);

-- What a consumer could not do, however often it tried.
create table dead_letter (
    consumer   text not null,
    event_id   uuid not null,
    topic      text not null,
    payload    text not null,
    error      text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (consumer, event_id)
);
create index dead_letter_listed on dead_letter (created_at desc, event_id desc);
