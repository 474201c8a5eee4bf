//! `/admin/notifications` and `/admin/notification-templates`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Json, Page, Paging, Path, created};
use super::permitted::Admin;
use super::problem::HttpResult;
use crate::app::App;
use crate::domain::ids::TemplateId;
use crate::domain::notification::{NewNotification, NotificationKind};
use crate::domain::template::{Template, Variables, Wording};
use crate::domain::text::{
    CONTENT_MAX, IDS_MAX, NOTIFICATION_TITLE_MAX, TEMPLATE_LANGUAGES_MAX, TEMPLATE_NAME_MAX, check_length,
};
use crate::domain::{Refusal, UserId};
use crate::service::admin::change_template::{TemplateChange, change_template};
use crate::service::admin::create_template::{NewTemplate, create_template};
use crate::service::admin::delete_template::delete_template;
use crate::service::admin::list_templates::{list_templates, read_template};
use crate::service::admin::send_notification::{Receivers, Sent, Words, send_notification};

#[derive(Deserialize, JsonSchema)]
pub struct NotificationBody {
    #[schemars(length(min = 1, max = IDS_MAX))]
    user_ids: Option<Vec<UserId>>,
    all: Option<bool>,
    r#type: Option<String>,
    #[schemars(length(min = 1, max = NOTIFICATION_TITLE_MAX))]
    title: Option<String>,
    #[schemars(length(min = 1, max = CONTENT_MAX))]
    content: Option<String>,
    data: Option<Value>,
    #[schemars(length(min = 1, max = TEMPLATE_NAME_MAX))]
    template: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, Value>,
    language: Option<String>,
}

impl NotificationBody {
    fn parse(self) -> Result<(Receivers, Words), Refusal> {
        let receivers = match (self.user_ids, self.all.unwrap_or_default()) {
            (None, true) => Receivers::All,
            (Some(users), false) if users.is_empty() => return Err(Refusal::field("user_ids", "must not be empty")),
            (Some(users), false) if users.len() > IDS_MAX => {
                return Err(Refusal::field("user_ids", "at most 1,000 ids"));
            }
            (Some(users), false) => Receivers::Users(users),
            _ => return Err(Refusal::field("user_ids", "either user_ids or all:true says to whom")),
        };
        let Some(template) = self.template else {
            let kind = NotificationKind::parse_field(self.r#type.as_deref())?;
            let title = self.title.ok_or_else(|| Refusal::field("title", "is required, or template"))?;
            let content = self.content.ok_or_else(|| Refusal::field("content", "is required"))?;
            return Ok((receivers, Words::Given(NewNotification::parse(kind, title, content, self.data)?)));
        };
        check_length("template", &template, 1, TEMPLATE_NAME_MAX)?;
        let variables = Variables::parse(&self.variables)?;
        Ok((receivers, Words::Template { template, variables, language: self.language, data: self.data }))
    }
}

/// POST /admin/notifications
pub async fn send(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Json(body): Json<NotificationBody>,
) -> HttpResult<(StatusCode, Json<Sent>)> {
    let (receivers, words) = body.parse()?;
    Ok(created(send_notification(&app, &author, receivers, words).await?))
}

/// GET /admin/notification-templates
pub async fn list(State(app): State<Arc<App>>, _: Admin, paging: Paging) -> HttpResult<Json<Page<Template>>> {
    let found = list_templates(&app, paging.after()?, paging.limit + 1).await?;
    Ok(Json(paging.page(found, |last| last.id)))
}

/// GET /admin/notification-templates/{id}
pub async fn one(State(app): State<Arc<App>>, _: Admin, Path(id): Path<TemplateId>) -> HttpResult<Json<Template>> {
    Ok(Json(read_template(&app, id).await?))
}

#[derive(Deserialize, JsonSchema)]
pub struct TemplateBody {
    #[schemars(length(min = 1, max = TEMPLATE_NAME_MAX))]
    name: String,
    r#type: Option<String>,
    #[schemars(length(min = 1, max = NOTIFICATION_TITLE_MAX))]
    title: String,
    #[schemars(length(min = 1, max = CONTENT_MAX))]
    content: String,
    #[serde(default)]
    #[schemars(extend("maxProperties" = TEMPLATE_LANGUAGES_MAX))]
    languages: BTreeMap<String, Wording>,
}

/// POST /admin/notification-templates
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Json(body): Json<TemplateBody>,
) -> HttpResult<(StatusCode, Json<Template>)> {
    let new = NewTemplate {
        name: body.name,
        kind: NotificationKind::parse_field(body.r#type.as_deref())?,
        wording: Wording { title: body.title, content: body.content },
        languages: body.languages,
    };
    Ok(created(create_template(&app, &author, new).await?))
}

#[derive(Deserialize, JsonSchema)]
pub struct TemplatePatch {
    #[schemars(length(min = 1, max = TEMPLATE_NAME_MAX))]
    name: Option<String>,
    r#type: Option<String>,
    #[schemars(length(min = 1, max = NOTIFICATION_TITLE_MAX))]
    title: Option<String>,
    #[schemars(length(min = 1, max = CONTENT_MAX))]
    content: Option<String>,
    #[schemars(extend("maxProperties" = TEMPLATE_LANGUAGES_MAX))]
    languages: Option<BTreeMap<String, Wording>>,
}

/// PATCH /admin/notification-templates/{id}
pub async fn change(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Path(id): Path<TemplateId>,
    Json(body): Json<TemplatePatch>,
) -> HttpResult<Json<Template>> {
    let change = TemplateChange {
        name: body.name,
        kind: body.r#type.map(|kind| NotificationKind::parse_field(Some(&kind))).transpose()?,
        title: body.title,
        content: body.content,
        languages: body.languages,
    };
    Ok(Json(change_template(&app, &author, id, change).await?))
}

/// DELETE /admin/notification-templates/{id}
pub async fn delete(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Path(id): Path<TemplateId>,
) -> HttpResult<StatusCode> {
    delete_template(&app, &author, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
