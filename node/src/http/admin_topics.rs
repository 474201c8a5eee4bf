//! `/admin/subscriptions` and `/admin/dead-letters`: what is done about what happens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::extract::{Json, Page, Paging, Path, created};
use super::permitted::Admin;
use super::problem::HttpResult;
use crate::app::App;
use crate::domain::topic::{Consumer, PATTERN_MAX, Pattern, Subscription, Wish};
use crate::domain::{Refusal, Timestamp, UserId};
use crate::service::events::subscribe::{DeadLetter, list_dead_letters, list_subscriptions, subscribe, unsubscribe};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Subscription")]
pub struct SubscriptionJson {
    id: Uuid,
    #[schemars(with = "String", extend("enum" = ["alert", "audit"]))]
    consumer: Consumer,
    pattern: String,
    level: Option<String>,
    created_by: UserId,
    created_at: Timestamp,
}

impl From<Wish> for SubscriptionJson {
    fn from(wish: Wish) -> Self {
        let Wish { subscription, created_by, created_at } = wish;
        Self {
            id: subscription.id,
            consumer: subscription.consumer,
            pattern: subscription.pattern.as_str().to_owned(),
            level: subscription.level,
            created_by,
            created_at,
        }
    }
}

/// GET /admin/subscriptions
pub async fn list(State(app): State<Arc<App>>, _: Admin, paging: Paging) -> HttpResult<Json<Page<SubscriptionJson>>> {
    let after: Option<Uuid> = paging.after()?;
    let all = list_subscriptions(&app).await?;
    let rest = all.into_iter().filter(|wish| after.is_none_or(|after| wish.subscription.id > after));
    let items = rest.take(paging.limit + 1).map(SubscriptionJson::from).collect();
    Ok(Json(paging.page(items, |last: &SubscriptionJson| last.id)))
}

#[derive(Deserialize, JsonSchema)]
pub struct SubscriptionBody {
    #[schemars(extend("enum" = ["alert", "audit"]))]
    consumer: String,
    #[schemars(length(min = 1, max = PATTERN_MAX))]
    pattern: String,
    #[schemars(extend("enum" = ["debug", "info", "warning", "error", "critical", null]))]
    level: Option<String>,
}

/// POST /admin/subscriptions
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Json(body): Json<SubscriptionBody>,
) -> HttpResult<(StatusCode, Json<SubscriptionJson>)> {
    let consumer = Consumer::parse(&body.consumer);
    let consumer = consumer.ok_or_else(|| Refusal::field("consumer", "must be alert or audit"))?;
    let pattern = Pattern::parse(&body.pattern)?;
    if body.level.as_deref().is_some_and(|level| !Subscription::is_level(level)) {
        return Err(Refusal::field("level", "must be debug, info, warning, error or critical").into());
    }
    let new = Subscription { id: Uuid::now_v7(), consumer, pattern, level: body.level };
    Ok(created(subscribe(&app, &author, new).await?.into()))
}

/// DELETE /admin/subscriptions/{id}
pub async fn delete(State(app): State<Arc<App>>, Admin(author): Admin, Path(id): Path<Uuid>) -> HttpResult<StatusCode> {
    unsubscribe(&app, &author, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub struct DeadLetterJson {
    id: Uuid,
    consumer: String,
    topic: String,
    event: Value,
    error: String,
    created_at: Timestamp,
}

/// GET /admin/dead-letters
pub async fn dead_letters(
    State(app): State<Arc<App>>,
    _: Admin,
    paging: Paging,
) -> HttpResult<Json<Page<DeadLetterJson>>> {
    let found = list_dead_letters(&app, paging.after()?, paging.limit + 1).await?;
    let page = paging.page(found, DeadLetter::place);
    let items = page.items.into_iter().map(|letter| DeadLetterJson {
        id: letter.event_id,
        consumer: letter.consumer,
        topic: letter.topic,
        event: serde_json::from_str(&letter.payload).unwrap_or(Value::String(letter.payload)),
        error: letter.error,
        created_at: letter.created_at,
    });
    Ok(Json(Page { items: items.collect(), next_cursor: page.next_cursor }))
}
