-- What administrators look for and count, without a look at every account.

create index account_by_email on account (email_key collate "C", id) where email_key is not null;
-- Names of deleted accounts are in no search index, but stay taken.
create index account_deleted on account (username_key collate "C", id) where deleted_at is not null;
create index account_disabled on account (id) where disabled_at is not null and deleted_at is null;
