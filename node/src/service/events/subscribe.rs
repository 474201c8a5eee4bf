//! Administrators say what is to be done about what happens.

use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::domain::Refusal;
use crate::domain::audit::{AuditRecord, Author};
use crate::domain::topic::{Subscription, Wish};
use crate::error::Result;
use crate::service::feed::follow_changes::hasten;
use crate::service::feed::load_subscriptions::load_subscriptions;
use crate::storage::directory::topics;
pub use crate::storage::directory::topics::{DeadLetter, Place};

/// Subscriptions of a cluster: each is compared with all that happens.
const SUBSCRIPTIONS_MAX: i64 = 100;

/// Counts on this node from the answer on, on all others within a second or two.
pub async fn subscribe(app: &App, author: &Author, new: Subscription) -> Result<Wish> {
    let target = new.id.to_string();
    let after = json!({"consumer": new.consumer, "pattern": new.pattern.as_str(), "level": new.level});
    let record =
        AuditRecord { author, action: "subscription.create", target: Some(&target), before: None, after: Some(&after) };
    let made = topics::insert_subscription(&app.directory, &new, SUBSCRIPTIONS_MAX, record).await?;
    let created_at = made.ok_or_else(|| Refusal::field("", "there are 100 subscriptions; remove one first"))?;
    load_subscriptions(app).await?;
    hasten(app);
    Ok(Wish { subscription: new, created_by: author.id, created_at })
}

pub async fn unsubscribe(app: &App, author: &Author, id: Uuid) -> Result<()> {
    let target = id.to_string();
    let record =
        AuditRecord { author, action: "subscription.delete", target: Some(&target), before: None, after: None };
    if !topics::delete_subscription(&app.directory, id, record).await? {
        return Err(Refusal::NotFound.into());
    }
    load_subscriptions(app).await?;
    hasten(app);
    Ok(())
}

/// All of them, the oldest first.
pub async fn list_subscriptions(app: &App) -> Result<Vec<Wish>> {
    Ok(topics::read_subscriptions(&app.directory).await?)
}

/// What consumers could not do, newest first, before `before`.
pub async fn list_dead_letters(app: &App, before: Option<Place>, limit: usize) -> Result<Vec<DeadLetter>> {
    Ok(topics::read_dead(&app.directory, before, i64::try_from(limit).unwrap_or(i64::MAX)).await?)
}
