//! Templates of notifications.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::Row;

use super::{Directory, audit};
use crate::domain::audit::{AuditRecord, Author};
use crate::domain::ids::TemplateId;
use crate::domain::notification::NotificationKind;
use crate::domain::template::{Template, Wording};
use crate::storage::StorageError;

pub const STATEMENTS: &[&str] = &[
    LOCK_NAMES,
    INSERT_TEMPLATE,
    LOCK_TEMPLATE,
    UPDATE_TEMPLATE,
    DELETE_TEMPLATE,
    READ_TEMPLATE,
    FIND_TEMPLATE,
    LIST_TEMPLATES,
    HAS_OTHER_TEMPLATE,
];

/// One after the other: a name that is free stays free until it is taken.
const LOCK_NAMES: &str = "select pg_advisory_xact_lock(hashtextextended('herald.templates', 0))";

const INSERT_TEMPLATE: &str = "\
insert into notification_template (id, name, kind, title, content, languages) values ($1, $2, $3, $4, $5, $6)
on conflict (name) do nothing
returning id, name, kind, title, content, languages, created_at, updated_at";

/// `None`: the name is another's.
pub async fn insert_template(
    directory: &Directory,
    template: &Template,
    author: &Author,
) -> Result<Option<Template>, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    transaction.query_one(LOCK_NAMES, &[]).await?;
    let (kind, languages) = (template.r#type.as_str(), languages_json(template));
    let Wording { title, content } = &template.wording;
    let row = transaction
        .query_opt(INSERT_TEMPLATE, &[&template.id, &template.name, &kind, title, content, &languages])
        .await?;
    let inserted = row.as_ref().map(template_of).transpose()?;
    if let Some(inserted) = &inserted {
        let (target, after) = (inserted.id.to_string(), value_of(inserted));
        audit::write(
            &transaction,
            AuditRecord {
                author,
                action: "notification_template.create",
                target: Some(&target),
                before: None,
                after: Some(&after),
            },
        )
        .await?;
    }
    transaction.commit().await?;
    Ok(inserted)
}

const LOCK_TEMPLATE: &str = "\
select id, name, kind, title, content, languages, created_at, updated_at from notification_template
where id = $1 for update";

const HAS_OTHER_TEMPLATE: &str = "select 1 from notification_template where name = $1 and id <> $2";

const UPDATE_TEMPLATE: &str = "\
update notification_template
set name = $2, kind = $3, title = $4, content = $5, languages = $6, updated_at = clock_timestamp()
where id = $1
returning id, name, kind, title, content, languages, created_at, updated_at";

/// What became of a change.
#[derive(Clone, Debug)]
pub enum Changed<E> {
    Done(Box<Template>),
    NameTaken,
    NotFound,
    /// As `change` said.
    Refused(E),
}

/// Changes one under its lock: `change` makes the new from the old.
pub async fn update_template<E>(
    directory: &Directory,
    id: TemplateId,
    author: &Author,
    change: impl FnOnce(Template) -> Result<Template, E>,
) -> Result<Changed<E>, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    transaction.query_one(LOCK_NAMES, &[]).await?;
    let Some(row) = transaction.query_opt(LOCK_TEMPLATE, &[&id]).await? else {
        transaction.commit().await?;
        return Ok(Changed::NotFound);
    };
    let old = template_of(&row)?;
    let before = value_of(&old);
    let new = match change(old) {
        Ok(new) => new,
        Err(error) => {
            transaction.commit().await?;
            return Ok(Changed::Refused(error));
        }
    };
    if transaction.query_opt(HAS_OTHER_TEMPLATE, &[&new.name, &id]).await?.is_some() {
        transaction.commit().await?;
        return Ok(Changed::NameTaken);
    }
    let (kind, languages) = (new.r#type.as_str(), languages_json(&new));
    let Wording { title, content } = &new.wording;
    let row = transaction.query_one(UPDATE_TEMPLATE, &[&id, &new.name, &kind, title, content, &languages]).await?;
    let new = template_of(&row)?;
    let (target, after) = (id.to_string(), value_of(&new));
    audit::write(
        &transaction,
        AuditRecord {
            author,
            action: "notification_template.change",
            target: Some(&target),
            before: Some(&before),
            after: Some(&after),
        },
    )
    .await?;
    transaction.commit().await?;
    Ok(Changed::Done(Box::new(new)))
}

const DELETE_TEMPLATE: &str = "\
delete from notification_template where id = $1
returning id, name, kind, title, content, languages, created_at, updated_at";

/// False: there is none.
pub async fn delete_template(directory: &Directory, id: TemplateId, author: &Author) -> Result<bool, StorageError> {
    let mut client = directory.client().await?;
    let transaction = client.transaction().await?;
    let deleted = transaction.query_opt(DELETE_TEMPLATE, &[&id]).await?;
    if let Some(row) = &deleted {
        let (target, before) = (id.to_string(), value_of(&template_of(row)?));
        audit::write(
            &transaction,
            AuditRecord {
                author,
                action: "notification_template.delete",
                target: Some(&target),
                before: Some(&before),
                after: None,
            },
        )
        .await?;
    }
    transaction.commit().await?;
    Ok(deleted.is_some())
}

const READ_TEMPLATE: &str = "\
select id, name, kind, title, content, languages, created_at, updated_at from notification_template where id = $1";

pub async fn read_template(directory: &Directory, id: TemplateId) -> Result<Option<Template>, StorageError> {
    let client = directory.client().await?;
    client.query_opt(READ_TEMPLATE, &[&id]).await?.as_ref().map(template_of).transpose()
}

const FIND_TEMPLATE: &str = "\
select id, name, kind, title, content, languages, created_at, updated_at from notification_template where name = $1";

pub async fn find_template(directory: &Directory, name: &str) -> Result<Option<Template>, StorageError> {
    let client = directory.client().await?;
    client.query_opt(FIND_TEMPLATE, &[&name]).await?.as_ref().map(template_of).transpose()
}

const LIST_TEMPLATES: &str = "\
select id, name, kind, title, content, languages, created_at, updated_at from notification_template
where id > $1 order by id limit $2";

/// In the order of their ids, after `after`.
pub async fn list_templates(
    directory: &Directory,
    after: TemplateId,
    limit: usize,
) -> Result<Vec<Template>, StorageError> {
    let client = directory.client().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    client.query(LIST_TEMPLATES, &[&after, &limit]).await?.iter().map(template_of).collect()
}

fn value_of(template: &Template) -> Value {
    serde_json::to_value(template).unwrap_or_default()
}

fn languages_json(template: &Template) -> String {
    serde_json::to_string(&template.languages).unwrap_or_else(|_| "{}".to_owned())
}

fn template_of(row: &Row) -> Result<Template, StorageError> {
    let kind: String = row.try_get(2)?;
    let languages: String = row.try_get(5)?;
    let languages: BTreeMap<String, Wording> =
        serde_json::from_str(&languages).map_err(|error| StorageError::Failed(Box::new(error)))?;
    Ok(Template {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        // A kind of a newer version is shown as one that says nothing.
        r#type: NotificationKind::parse(&kind).unwrap_or(NotificationKind::Custom),
        wording: Wording { title: row.try_get(3)?, content: row.try_get(4)? },
        languages,
        created_at: row.try_get(6)?,
        updated_at: row.try_get(7)?,
    })
}
