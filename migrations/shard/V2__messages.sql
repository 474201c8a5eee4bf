-- What is around messages: hidden ones, when they were read, and the search index.

-- Messages that a user has hidden for himself. No entries: `own_tx` of the user's positions moves with each.
create table hidden (
    user_id    uuid not null,
    message_id uuid not null,
    tx         xid8 not null default pg_current_xact_id(),
    primary key (user_id, message_id)
);
create index hidden_message on hidden (message_id);

-- The last moves of a read position by reading (what moves it by sending is in the log itself): `seqs` with their `times`, oldest
-- first, a bounded number of them. So a receipt has its time without a row for each message.
create table read_mark (
    conversation_id uuid not null,
    user_id         uuid not null,
    seqs            int8[] not null,
    times           timestamptz[] not null,
    primary key (conversation_id, user_id)
) with (fillfactor = 70);

-- The search index is a filter in front of the log: blocks of some ten to a hundred messages with a bit for each word in them. What it
-- lets through is looked up in the log, so it may hold too much, never too little; what it does not cover yet is read instead. It
-- may be emptied at any time, and is made again.
create table search_block (
    conversation_id uuid not null,
    first_seq       int8 not null,
    last_seq        int8 not null,
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    bits            bit varying not null,         -- 8192 of them
    primary key (conversation_id, first_seq)
) with (fillfactor = 80);

-- How far the index of a log reaches, and the block that still grows (0: none). Its lock is the indexer's.
create table search_state (
    conversation_id uuid primary key,
    indexed_seq     int8 not null default 0,
    open_seq        int8 not null default 0
) with (fillfactor = 80);
