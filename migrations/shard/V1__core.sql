-- A shard database: conversations, their members and their logs. Ids are addresses: the first 10 bits of a conversation's
-- id are its slot, the low 40 bits of a message's id are its seq.

create table slot (
    slot    int2 primary key check (slot between 0 and 1023),
    state   int2 not null default 0,              -- 0 held, 1 leaving, 2 gone
    version int8 not null default 1
);

-- One row. A restore raises `epoch`; a lane that meets another timeline does too.
create table epoch (
    is_only  bool primary key default true check (is_only),
    epoch    int8 not null,
    timeline text not null
);
insert into epoch (epoch, timeline) values (1, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8));

-- The row whose lock makes the log's order. Nothing that a message changes is indexed, so its updates are HOT.
create table conversation (
    id              uuid primary key,
    kind            int2 not null,                -- 1 direct, 2 group
    last_seq        int8 not null default 0,
    last_ordinal    int8 not null default 0,      -- number of entries that count as unread (messages)
    last_created_at timestamptz not null default clock_timestamp(),
    changed_tx      xid8 not null default pg_current_xact_id(),

    -- A pair: low_user < high_user. flags: 1 low blocks high, 2 high blocks low, 4 friends, 8 low wrote, 16 high wrote.
    low_user            uuid,
    high_user           uuid,
    pair_version        int8 not null default 0,
    pair_flags          int4 not null default 0,
    low_read_seq        int8 not null default 0,
    low_read_ordinal    int8 not null default 0,
    low_delivered_seq   int8 not null default 0,
    low_own_tx          xid8 not null default pg_current_xact_id(),
    high_read_seq       int8 not null default 0,
    high_read_ordinal   int8 not null default 0,
    high_delivered_seq  int8 not null default 0,
    high_own_tx         xid8 not null default pg_current_xact_id(),

    -- A group.
    title           text,
    avatar_url      text,
    announcement    text,
    is_muted        bool not null default false,
    is_dissolved    bool not null default false,
    owner_id        uuid,
    max_members     int4 not null default 0,
    member_count    int4 not null default 0,
    members_version int8 not null default 0
) with (fillfactor = 60);

-- Members of groups, one interval each: what they see is first_seq..left_seq.
create table member (
    conversation_id uuid not null,
    user_id         uuid not null,
    join_token      uuid not null,
    role            int2 not null,                -- 0 member, 1 admin, 2 owner
    first_seq       int8 not null,
    first_ordinal   int8 not null,                -- last_ordinal before first_seq
    left_seq        int8,
    read_seq        int8 not null,
    read_ordinal    int8 not null,
    delivered_seq   int8 not null,
    muted_until     timestamptz,
    joined_at       timestamptz not null,
    own_tx          xid8 not null default pg_current_xact_id(),
    primary key (conversation_id, user_id)
) with (fillfactor = 70);

-- What a user has set for one conversation, of either kind. `own_tx` moves in the row of the user's positions.
create table personal (
    conversation_id uuid not null,
    user_id         uuid not null,
    is_pinned       bool not null default false,
    muted_until     timestamptz,
    read_receipts   bool,                         -- null: as the user has it for all
    primary key (conversation_id, user_id)
);

create table entry (
    id          uuid not null,
    client_key  uuid not null,                    -- first 64 bits of id, SipHash of sender and temp_id; not unique
    sender_id   uuid not null,
    sender_name text not null,
    kind        int2 not null,
    body        text not null,                    -- JSON of the entry's present state
    temp_id     text,
    sent_hash   int8 not null default 0,          -- of what was first sent: edits change the row
    ordinal     int8 not null,
    tx          xid8 not null default pg_current_xact_id(),
    boot        uuid not null,
    created_at  timestamptz not null,
    primary key (id)
) partition by range (id);

create table entry_0 partition of entry for values from (minvalue) to ('20000000-0000-0000-0000-000000000000');
create table entry_1 partition of entry for values from ('20000000-0000-0000-0000-000000000000') to ('40000000-0000-0000-0000-000000000000');
create table entry_2 partition of entry for values from ('40000000-0000-0000-0000-000000000000') to ('60000000-0000-0000-0000-000000000000');
create table entry_3 partition of entry for values from ('60000000-0000-0000-0000-000000000000') to ('80000000-0000-0000-0000-000000000000');
create table entry_4 partition of entry for values from ('80000000-0000-0000-0000-000000000000') to ('a0000000-0000-0000-0000-000000000000');
create table entry_5 partition of entry for values from ('a0000000-0000-0000-0000-000000000000') to ('c0000000-0000-0000-0000-000000000000');
create table entry_6 partition of entry for values from ('c0000000-0000-0000-0000-000000000000') to ('e0000000-0000-0000-0000-000000000000');
create table entry_7 partition of entry for values from ('e0000000-0000-0000-0000-000000000000') to (maxvalue);

create index entry_client_key on entry (client_key);
create index entry_created_at on entry using brin (created_at) with (autosummarize = on, pages_per_range = 32);

-- Reactions as they are now; a removed one stays with is_present = false, so that a repeat finds the entry that removed it.
create table reaction (
    conversation_id uuid not null,
    message_seq     int8 not null,
    emoji           text not null,
    user_id         uuid not null,
    is_present      bool not null,
    seq             int8 not null,                -- of the entry that made this state
    primary key (conversation_id, message_seq, emoji, user_id)
);

-- Who is mentioned where; the nil user is `all`.
create table mention (
    conversation_id uuid not null,
    user_id         uuid not null,
    seq             int8 not null,
    primary key (conversation_id, user_id, seq)
);
