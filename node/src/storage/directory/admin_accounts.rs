//! Accounts as administrators see and change them. What all nodes must learn and what is kept in the audit log is written in the
//! transaction of the change.

use serde_json::{Value, json};
use tokio_postgres::Row;

use super::accounts::{self, Account};
use super::{Directory, audit};
use crate::domain::audit::{AuditRecord, Author};
use crate::domain::roles::{AccountRole, may_moderate, permit};
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
    END_LOGINS,
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

const FIND_ACCOUNTS: &str = "\
select id, username, email, display_name, avatar_url, status_text, roles, read_receipts,
       disabled_at is not null or deleted_at is not null, created_at, null::text, disabled_at, deleted_at
from account
where id > $1 and (strpos(username_key, $3) > 0 or strpos(lower(display_name), $3) > 0 or $4 and strpos(email_key, $3) > 0)
order by id limit $2";

/// In the order of their ids, after `after`; with `folded` those whose username, display name or, where it may be
/// asked for, address has it within.
pub async fn find_accounts(
    directory: &Directory,
    folded: Option<&str>,
    by_address: bool,
    after: UserId,
    limit: usize,
) -> Result<Vec<AdminAccount>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = match folded {
        None => client.query(LIST_ACCOUNTS, &[&after, &limit]).await?,
        Some(folded) => client.query(FIND_ACCOUNTS, &[&after, &limit, &folded, &by_address]).await?,
    };
    rows.iter().map(admin_account_of).collect()
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

const END_LOGINS: &str = "\
with ended as (
    update login set ended_at = $2 where user_id = $1 and ended_at is null returning id
), told as (
    insert into change (kind, subject) select 'login_ended', id::text from ended
)
select id from ended";

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
    let rows = transaction.query(END_LOGINS, &[&user, &now]).await?;
    let logins = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<LoginId>, StorageError>>()?;
    let (target, after) = (user.to_string(), json!({"ended": logins}));
    let record =
        AuditRecord { author, action: "user.end_sessions", target: Some(&target), before: None, after: Some(&after) };
    audit::write(&transaction, record).await?;
    transaction.commit().await?;
    Ok(Ended::Done(logins))
}

const COUNT_ACCOUNTS: &str = "\
select count(*), count(*) filter (where disabled_at is not null and deleted_at is null),
       count(*) filter (where deleted_at is not null)
from account";

/// How many accounts there are, and how many of them are disabled and deleted.
pub async fn count_accounts(directory: &Directory) -> Result<(i64, i64, i64), StorageError> {
    let client = directory.client().await?;
    let row = client.query_one(COUNT_ACCOUNTS, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

fn admin_account_of(row: &Row) -> Result<AdminAccount, StorageError> {
    Ok(AdminAccount {
        account: accounts::account_of(row)?,
        disabled_at: row.try_get(11)?,
        deleted_at: row.try_get(12)?,
    })
}
