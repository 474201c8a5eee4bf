//! `/admin/settings`: the run-time settings.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Json, Page, Paging, Path};
use super::permitted::Admin;
use super::problem::HttpResult;
use crate::app::App;
use crate::domain::Refusal;
use crate::service::admin::reload_settings::reload_settings;
use crate::service::feed::load_settings::{SettingView, list_settings, set_setting};

/// GET /admin/settings
pub async fn list(State(app): State<Arc<App>>, _: Admin, paging: Paging) -> HttpResult<Json<Page<SettingView>>> {
    let after: Option<String> = paging.after()?;
    let mut all = list_settings(&app);
    if let Some(after) = after {
        let at = all.iter().position(|setting| setting.key == after).ok_or(Refusal::InvalidCursor)?;
        all.drain(..=at);
    }
    Ok(Json(paging.page(all, |last| last.key)))
}

#[derive(Deserialize, JsonSchema)]
pub struct SettingBody {
    value: Value,
}

/// POST /admin/settings/{key}
pub async fn set(
    State(app): State<Arc<App>>,
    Admin(author): Admin,
    Path(key): Path<String>,
    Json(body): Json<SettingBody>,
) -> HttpResult<Json<SettingView>> {
    Ok(Json(set_setting(&app, &author, &key, &body.value).await?))
}

/// POST /admin/settings/reload
pub async fn reload(State(app): State<Arc<App>>, Admin(author): Admin) -> HttpResult<StatusCode> {
    reload_settings(&app, &author).await?;
    Ok(StatusCode::NO_CONTENT)
}
