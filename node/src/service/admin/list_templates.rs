//! Templates of notifications: all, or one.

use uuid::Uuid;

use crate::app::App;
use crate::domain::Refusal;
use crate::domain::ids::TemplateId;
use crate::domain::template::Template;
use crate::error::Result;
use crate::storage::directory::templates;

/// In the order of their ids, after `after`.
pub async fn list_templates(app: &App, after: Option<TemplateId>, limit: usize) -> Result<Vec<Template>> {
    let after = after.unwrap_or(TemplateId(Uuid::nil()));
    Ok(templates::list_templates(&app.directory, after, limit).await?)
}

pub async fn read_template(app: &App, id: TemplateId) -> Result<Template> {
    Ok(templates::read_template(&app.directory, id).await?.ok_or(Refusal::NotFound)?)
}
