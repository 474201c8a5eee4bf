-- Messages pinned for all of a conversation, fifty at most. No row: not pinned, or no longer; a recalled message has none.
create table pin (
    message_id uuid primary key,                  -- as an address: those of a conversation are a range
    pinned_by  uuid not null,
    pinned_at  timestamptz not null,
    seq        int8 not null                      -- of the entry that pinned it
);
