//! `/admin/nodes`, `/admin/stats`, `/admin/audit`: what administrators look at.

use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::extract::{Json, Page, Paging, Query};
use super::permitted::Admin;
use super::problem::HttpResult;
use crate::app::App;
use crate::domain::audit::AuditEntry;
use crate::domain::ids::AuditId;
use crate::domain::text::{QUERY_MAX, check_length};
use crate::domain::{Refusal, UserId};
use crate::service::admin::list_audit::{AuditFilter, list_audit};
use crate::service::admin::list_nodes::{NodeView, list_nodes};
use crate::service::admin::read_stats::{Stats, read_stats};

/// GET /admin/nodes
pub async fn nodes(State(app): State<Arc<App>>, _: Admin, paging: Paging) -> HttpResult<Json<Page<NodeView>>> {
    let after: Option<String> = paging.after()?;
    let found = list_nodes(&app, after.as_deref(), paging.limit + 1).await?;
    Ok(Json(paging.page(found, |last| last.id.clone())))
}

/// GET /admin/stats
pub async fn stats(State(app): State<Arc<App>>, _: Admin) -> HttpResult<Json<Stats>> {
    Ok(Json(read_stats(&app).await?))
}

#[derive(Deserialize, JsonSchema)]
pub struct AuditQuery {
    #[schemars(with = "Option<UserId>")]
    admin_id: Option<String>,
    #[schemars(length(max = QUERY_MAX))]
    action: Option<String>,
    #[schemars(length(max = QUERY_MAX))]
    target: Option<String>,
}

impl AuditQuery {
    /// An empty value is none.
    fn parse(self) -> Result<AuditFilter, Refusal> {
        let given = |field: &'static str, text: Option<String>| match text.filter(|text| !text.is_empty()) {
            Some(text) => check_length(field, &text, 1, QUERY_MAX).map(|()| Some(text)),
            None => Ok(None),
        };
        let parse_id = |text: String| text.parse::<UserId>().map_err(|_| Refusal::field("admin_id", "must be a UUID"));
        Ok(AuditFilter {
            admin: given("admin_id", self.admin_id)?.map(parse_id).transpose()?,
            action: given("action", self.action)?,
            target: given("target", self.target)?,
        })
    }
}

/// GET /admin/audit
pub async fn audit(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(query): Query<AuditQuery>,
    paging: Paging,
) -> HttpResult<Json<Page<AuditEntry>>> {
    let found = list_audit(&app, &query.parse()?, paging.before(AuditId)?, paging.limit + 1).await?;
    Ok(Json(paging.page(found, |last| (last.created_at.0, last.id))))
}
