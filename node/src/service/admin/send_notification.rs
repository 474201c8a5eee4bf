//! Sends a notification to some users or to all, in given words or by a template.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::domain::audit::{AuditRecord, Author};
use crate::domain::ids::{NotificationId, TemplateId};
use crate::domain::notification::{NewNotification, NotificationKind};
use crate::domain::template::{Template, Variables};
use crate::domain::{FieldError, Refusal, Timestamp, UserId};
use crate::error::Result;
use crate::service::notifications::notify::keep_and_show;
use crate::service::notifications::send_broadcast::send_broadcast;
use crate::storage::directory::{profiles, templates};

#[derive(Clone, Debug)]
pub enum Receivers {
    /// At most as many as one statement takes.
    Users(Vec<UserId>),
    All,
}

/// The words: given, or made by a template.
#[derive(Clone, Debug)]
pub enum Words {
    Given(NewNotification),
    Template {
        /// Its name, or its id.
        template: String,
        variables: Variables,
        language: Option<String>,
        data: Option<Value>,
    },
}

/// What was sent, and to how many (`None`: to everyone).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SentNotification")]
pub struct Sent {
    pub id: NotificationId,
    pub r#type: NotificationKind,
    pub title: String,
    pub content: String,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub data: Value,
    pub all: bool,
    pub receiver_count: Option<usize>,
    pub created_at: Timestamp,
}

pub async fn send_notification(app: &App, author: &Author, receivers: Receivers, words: Words) -> Result<Sent> {
    let new = match words {
        Words::Given(new) => new,
        Words::Template { template, variables, language, data } => {
            let template = find_template(app, &template).await?;
            let wording = template.wording_in(language.as_deref());
            let (title, content) = (variables.fill(&wording.title)?, variables.fill(&wording.content)?);
            NewNotification::parse(template.r#type, title, content, data)?
        }
    };
    let (id, created_at, receiver_count) = match receivers {
        Receivers::All => {
            let broadcast = send_broadcast(app, author, &new).await?;
            (broadcast.id, broadcast.created_at, None)
        }
        Receivers::Users(mut users) => {
            users.sort_unstable();
            users.dedup();
            check_known(app, &users).await?;
            let after = json!({
                "type": new.kind, "title": new.title, "content": new.content, "data": new.data, "user_ids": users,
            });
            let record =
                AuditRecord { author, action: "notification.send", target: None, before: None, after: Some(&after) };
            let id = NotificationId::random();
            let created_at = keep_and_show(app, id, &users, &new, Some(record)).await?;
            (id, created_at, Some(users.len()))
        }
    };
    let NewNotification { kind, title, content, data } = new;
    let all = receiver_count.is_none();
    Ok(Sent { id, r#type: kind, title, content, data, all, receiver_count, created_at })
}

async fn find_template(app: &App, name: &str) -> Result<Template> {
    if let Some(template) = templates::find_template(&app.directory, name).await? {
        return Ok(template);
    }
    let by_id = match Uuid::parse_str(name) {
        Ok(id) => templates::read_template(&app.directory, TemplateId(id)).await?,
        Err(_) => None,
    };
    Ok(by_id.ok_or_else(|| {
        Refusal::NotFoundFields(vec![FieldError { field: "template".into(), message: "no such template".into() }])
    })?)
}

/// As for messages: those who are disabled or deleted are not known.
async fn check_known(app: &App, users: &[UserId]) -> Result<()> {
    let found = profiles::read_profiles(&app.directory, users).await?;
    let unknown: Vec<FieldError> = users
        .iter()
        .filter(|user| found.get(user).is_none_or(|profile| profile.is_out))
        .map(|user| FieldError { field: "user_ids".into(), message: format!("no such user: {user}").into() })
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refusal::NotFoundFields(unknown).into()) }
}
