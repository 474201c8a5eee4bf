//! Accounts as administrators see and change them. What all nodes must learn and what is kept in the audit log is written in the
//! transaction of the change.

use serde_json::{Value, json};
use tokio_postgres::Row;

use super::accounts::{self, Account};
use super::{Directory, audit, logins};
use crate::domain::audit::{AuditRecord, Author};
use crate::domain::roles::{AccountRole, may_moderate, permit};
use crate::domain::search_name::SearchQuery;
use crate::domain::{LoginId, Timestamp, UserId};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    LIST_ACCOUNTS,
    FIND_ACCOUNTS,
    READ_ADMIN_ACCOUNT,
    LOCK_ROLES,
    LOCK_ACCOUNT,
    HAS_OTHER_ADMIN,
    UPDATE_ACCOUNT,
    TELL_CHANGE,
    COUNT_ACCOUNTS,
];

/// An account with what only administrators see.
#[derive(Clone, Debug)]
pub struct AdminAccount {
    pub account: Account,
    pub disabled_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
}

impl AdminAccount {
    fn is_acting_admin(&self) -> bool {
        !self.account.is_out && permit(&self.account.roles, AccountRole::Admin)
    }

    fn audit_value(&self) -> Value {
        json!({"disabled": self.disabled_at.is_some(), "roles": self.account.roles})
    }
}

const LIST_ACCOUNTS: &str = "\
select id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
       disabled_at is not null or deleted_at is not null, created_at, null::text, disabled_at, deleted_at
from account where id > $1 order by id limit $2";

/// In the order of what was found: names, addresses and the taken names of deleted accounts that begin with the query. Each of the three
/// ends as soon as it has a page, so an account comes by each of its own that begins so; the first of them says so.
const FIND_ACCOUNTS: &str = "\
with found as (
    (select s.name as key, s.user_id as id from search_name s
     where s.name >= $1 and s.name < $2 and (s.name, s.user_id) > ($3, $4) order by s.name, s.user_id limit $5)
    union
    (select m.email_key collate \"C\", m.id from account m
     where $6 and m.email_key is not null and m.email_key collate \"C\" >= $1 and m.email_key collate \"C\" < $2
       and (m.email_key collate \"C\", m.id) > ($3, $4)
     order by m.email_key collate \"C\", m.id limit $5)
    union
    (select d.username_key collate \"C\", d.id from account d
     where d.deleted_at is not null and d.username_key collate \"C\" >= $1 and d.username_key collate \"C\" < $2
       and (d.username_key collate \"C\", d.id) > ($3, $4)
     order by d.username_key collate \"C\", d.id limit $5)
), page as materialized (select key, id from found order by key, id limit $5)
select a.id, a.username, a.email, a.display_name, a.avatar_url, a.status_text, a.roles, a.read_receipts,
       a.disabled_at is not null or a.deleted_at is not null, a.created_at, null::text, a.disabled_at, a.deleted_at, p.key,
       not exists (select from search_name e where e.user_id = a.id and e.name >= $1 and e.name < p.key)
       and not ($6 and coalesce(a.email_key collate \"C\" >= $1 and a.email_key collate \"C\" < p.key, false))
from page p join account a on a.id = p.id order by p.key, p.id";

/// All, in the order of their ids, after `after`.
pub async fn list_accounts(
    directory: &Directory,
    after: UserId,
    limit: usize,
) -> Result<Vec<AdminAccount>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    client.query(LIST_ACCOUNTS, &[&after, &limit]).await?.iter().map(admin_account_of).collect()
}

/// An account by something of its own that begins with a query.
#[derive(Clone, Debug)]
pub struct FoundAccount {
    pub account: AdminAccount,
    pub key: String,
    /// Nothing of its own that begins so comes earlier.
    pub is_first: bool,
}

/// Whatever begins with the query, after such a text and user: up to `limit`, some of them of the same account. Addresses count only where
/// they may be asked for.
pub async fn find_accounts(
    directory: &Directory,
    query: &SearchQuery,
    by_address: bool,
    after: Option<(&str, UserId)>,
    limit: usize,
) -> Result<Vec<FoundAccount>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (key, user) = after.unwrap_or((&query.beginning, UserId::ALL));
    let rows = client.query(FIND_ACCOUNTS, &[&query.beginning, &query.end, &key, &user, &limit, &by_address]).await?;
    let found =
        |row| Ok(FoundAccount { account: admin_account_of(row)?, key: row.try_get(13)?, is_first: row.try_get(14)? });
    rows.iter().map(found).collect()
}

const READ_ADMIN_ACCOUNT: &str = "\
select id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
       disabled_at is not null or deleted_at is not null, created_at, null::text, disabled_at, deleted_at
from account where id = $1";

pub async fn read_admin_account(directory: &Directory, user: UserId) -> Result<Option<AdminAccount>, StorageError> {
    let client = directory.client().await?;
    client.query_opt(READ_ADMIN_ACCOUNT, &[&user]).await?.as_ref().map(admin_account_of).transpose()
}

/// Whose account an author may act on.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'a> {
    Everyone,
    /// Those whom somebody with these roles may moderate.
    Moderated(&'a [String]),
}

impl Reach<'_> {
    fn has(self, other: &AdminAccount) -> bool {
        match self {
            Self::Everyone => true,
            Self::Moderated(own) => may_moderate(own, &other.account.roles),
        }
    }
}

/// What changes; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    pub is_disabled: Option<bool>,
    pub roles: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub enum Changed {
    Done(Box<AdminAccount>),
    /// There is no such user, or it is deleted.
    NotFound,
    /// Nobody would be left to undo it.
    LastAdmin,
    OutOfReach,
}

/// One after the other, so that of two administrators who take each other's role one stays.
const LOCK_ROLES: &str = "select pg_advisory_xact_lock(hashtextextended('herald.roles', 0))";

const LOCK_ACCOUNT: &str = "\
select id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
       disabled_at is not null or deleted_at is not null, created_at, null::text, disabled_at, deleted_at
from account where id = $1 and deleted_at is null for update";

const HAS_OTHER_ADMIN: &str = "\
select 1 from account where id <> $1 and 'admin' = any(roles) and disabled_at is null and deleted_at is null limit 1";

const UPDATE_ACCOUNT: &str = "\
update account
set disabled_at = case when $2 then coalesce(disabled_at, clock_timestamp()) end, roles = $3
where id = $1
returning id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
          disabled_at is not null or deleted_at is not null, created_at, null::text, disabled_at, deleted_at";

const TELL_CHANGE: &str = "insert into change (kind, subject, value) values ($1, $2, $3)";

/// Changes an account within reach, unless that would take the last administrator.
pub async fn change_account(
    directory: &Directory,
    user: UserId,
    change: &AccountChange,
    author: &Author,
    reach: Reach<'_>,
) -> Result<Changed, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    transaction.query_one(LOCK_ROLES, &[]).await?;
    let Some(row) = transaction.query_opt(LOCK_ACCOUNT, &[&user]).await? else {
        transaction.commit().await?;
        return Ok(Changed::NotFound);
    };
    let old = admin_account_of(&row)?;
    if !reach.has(&old) {
        transaction.commit().await?;
        return Ok(Changed::OutOfReach);
    }
    let is_disabled = change.is_disabled.unwrap_or(old.disabled_at.is_some());
    let roles = change.roles.as_ref().unwrap_or(&old.account.roles);
    if is_disabled == old.disabled_at.is_some() && *roles == old.account.roles {
        transaction.commit().await?;
        return Ok(Changed::Done(Box::new(old)));
    }
    let stays_admin = !is_disabled && permit(roles, AccountRole::Admin);
    if old.is_acting_admin() && !stays_admin && transaction.query_opt(HAS_OTHER_ADMIN, &[&user]).await?.is_none() {
        transaction.commit().await?;
        return Ok(Changed::LastAdmin);
    }
    let new = admin_account_of(&transaction.query_one(UPDATE_ACCOUNT, &[&user, &is_disabled, roles]).await?)?;
    let subject = user.to_string();
    if is_disabled != old.disabled_at.is_some() {
        let kind = if is_disabled { "user_disabled" } else { "user_enabled" };
        transaction.execute(TELL_CHANGE, &[&kind, &subject, &None::<String>]).await?;
    }
    if *roles != old.account.roles {
        let json = Value::from(roles.clone()).to_string();
        transaction.execute(TELL_CHANGE, &[&"roles_changed", &subject, &Some(json)]).await?;
    }
    let (before, after) = (old.audit_value(), new.audit_value());
    let record = AuditRecord {
        author,
        action: "user.change",
        target: Some(&subject),
        before: Some(&before),
        after: Some(&after),
    };
    audit::write(&transaction, record).await?;
    transaction.commit().await?;
    Ok(Changed::Done(Box::new(new)))
}

#[derive(Clone, Debug)]
pub enum Ended {
    /// Which they were.
    Done(Vec<LoginId>),
    NotFound,
    OutOfReach,
}

/// Ends all logins of a user within reach.
pub async fn end_logins(
    directory: &Directory,
    user: UserId,
    author: &Author,
    reach: Reach<'_>,
    now: Timestamp,
) -> Result<Ended, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let Some(row) = transaction.query_opt(LOCK_ACCOUNT, &[&user]).await? else {
        transaction.commit().await?;
        return Ok(Ended::NotFound);
    };
    if !reach.has(&admin_account_of(&row)?) {
        transaction.commit().await?;
        return Ok(Ended::OutOfReach);
    }
    let logins = logins::end_logins(&transaction, user, None, now).await?;
    let (target, after) = (user.to_string(), json!({"ended": logins}));
    let record =
        AuditRecord { author, action: "user.end_sessions", target: Some(&target), before: None, after: Some(&after) };
    audit::write(&transaction, record).await?;
    transaction.commit().await?;
    Ok(Ended::Done(logins))
}

/// Exact up to a bound, above it what the planner thinks: counting would read all of them. No count comes out smaller than the bound.
const COUNT_ACCOUNTS: &str = "\
with exact as (
    select (select count(*) from (select from account limit $1) t) as total,
           (select count(*) from (select from account where disabled_at is not null and deleted_at is null limit $1) t)
               as disabled,
           (select count(*) from (select from account where deleted_at is not null limit $1) t) as deleted
), estimate as (
    select coalesce(max(reltuples) filter (where relname = 'account'), 0)::int8 as total,
           coalesce(max(reltuples) filter (where relname = 'account_disabled'), 0)::int8 as disabled,
           coalesce(max(reltuples) filter (where relname = 'account_deleted'), 0)::int8 as deleted
    from pg_class
    where oid in ('account'::regclass, 'account_disabled'::regclass, 'account_deleted'::regclass)
)
select case when x.total < $1 then x.total else greatest(x.total, e.total) end,
       case when x.disabled < $1 then x.disabled else greatest(x.disabled, e.disabled) end,
       case when x.deleted < $1 then x.deleted else greatest(x.deleted, e.deleted) end
from exact x, estimate e";

/// Accounts of a kind that are counted one by one.
const COUNTED_MAX: i64 = 10_000;

/// How many accounts there are, and how many of them are disabled and deleted. Estimates where there are many.
pub async fn count_accounts(directory: &Directory) -> Result<(i64, i64, i64), StorageError> {
    let client = directory.client().await?;
    let row = client.query_one(COUNT_ACCOUNTS, &[&COUNTED_MAX]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

fn admin_account_of(row: &Row) -> Result<AdminAccount, StorageError> {
    Ok(AdminAccount {
        account: accounts::account_of(row)?,
        disabled_at: row.try_get(11)?,
        deleted_at: row.try_get(12)?,
    })
}
