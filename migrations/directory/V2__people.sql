-- People: friend requests, finding users by name, deleting accounts.

-- Copies of what pairs' rows in the shards say, written only by a greater (epoch, version); ended ones stay as rows.
create table friend_request (
    user_id    uuid not null,
    other_id   uuid not null,
    direction  int2 not null,                     -- 0 none any more, 1 outgoing, 2 incoming
    message    text,
    epoch      int8 not null,
    version    int8 not null,
    since      timestamptz not null,
    primary key (user_id, other_id)
);
create index friend_request_pending on friend_request (user_id, since desc, other_id desc) where direction <> 0;

-- Of a friend request on its way: only here until it is copied.
alter table pair_pending add column asker_id uuid;
alter table pair_pending add column message text;

-- How many friend requests a user may make now: a bucket that fills by the hour.
create table friend_budget (
    user_id    uuid primary key,
    tokens     float8 not null,
    counted_at timestamptz not null
) with (fillfactor = 70);

-- By what users are found: their username, and their display name from the beginning of each of its words on, folded and cut by
-- the program. Rows follow the account when somebody searches, or a minute later.
create extension if not exists pg_trgm;           -- contrib, trusted: the database's owner may make it
create table search_name (
    user_id    uuid not null,
    name       text collate "C" not null,
    word       text,                              -- the word that it begins with, where it is a whole one; similar ones go by it
    primary key (user_id, name)
);
create index search_name_beginning on search_name (name, user_id);
create index search_name_similar on search_name using gin (word gin_trgm_ops) with (fastupdate = off);

alter table account add column is_indexed bool not null default false;
create index account_unindexed on account (id) where not is_indexed;
create function unindex_account() returns trigger language plpgsql as $$
begin
    new.is_indexed := false;
    return new;
end
$$;
create trigger account_renamed before update of username, display_name, deleted_at on account for each row
    when (old.username is distinct from new.username or old.display_name is distinct from new.display_name
          or old.deleted_at is distinct from new.deleted_at)
    execute function unindex_account();

-- Deleted accounts whose groups, friendships and lists are not all ended yet. The row goes when they are.
create table deletion (
    user_id    uuid primary key,
    name       text not null,                     -- as the last entries of its groups show it
    begun_at   timestamptz not null default clock_timestamp(),
    tried_at   timestamptz not null default clock_timestamp()
);
create index deletion_tried on deletion (tried_at);
