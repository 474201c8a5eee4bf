//! Removes a template of notifications. What was sent by it stays as it was sent.

use crate::app::App;
use crate::domain::Refusal;
use crate::domain::audit::Author;
use crate::domain::ids::TemplateId;
use crate::error::Result;
use crate::storage::directory::templates;

pub async fn delete_template(app: &App, author: &Author, id: TemplateId) -> Result<()> {
    if templates::delete_template(&app.directory, id, author).await? { Ok(()) } else { Err(Refusal::NotFound.into()) }
}
