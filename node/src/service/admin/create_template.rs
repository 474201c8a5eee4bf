//! Makes a template of notifications.

use std::collections::BTreeMap;

use crate::app::App;
use crate::domain::Refusal;
use crate::domain::audit::Author;
use crate::domain::ids::TemplateId;
use crate::domain::notification::NotificationKind;
use crate::domain::template::{Template, Wording};
use crate::error::Result;
use crate::storage::directory::templates;

/// What a template begins with.
#[derive(Clone, Debug)]
pub struct NewTemplate {
    pub name: String,
    pub kind: NotificationKind,
    pub wording: Wording,
    pub languages: BTreeMap<String, Wording>,
}

pub async fn create_template(app: &App, author: &Author, new: NewTemplate) -> Result<Template> {
    let now = app.clock.now();
    let template = Template {
        id: TemplateId::random(),
        name: new.name,
        r#type: new.kind,
        wording: new.wording,
        languages: new.languages,
        created_at: now,
        updated_at: now,
    };
    template.check()?;
    let inserted = templates::insert_template(&app.directory, &template, author).await?;
    Ok(inserted.ok_or_else(name_is_taken)?)
}

pub(super) fn name_is_taken() -> Refusal {
    Refusal::field("name", "is taken")
}
