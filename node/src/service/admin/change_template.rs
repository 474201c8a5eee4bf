//! Changes a template of notifications.

use std::collections::BTreeMap;

use super::create_template::name_is_taken;
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::audit::Author;
use crate::domain::ids::TemplateId;
use crate::domain::notification::NotificationKind;
use crate::domain::template::{Template, Wording};
use crate::error::Result;
use crate::storage::directory::templates::{Changed, update_template};

/// What changes; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct TemplateChange {
    pub name: Option<String>,
    pub kind: Option<NotificationKind>,
    pub title: Option<String>,
    pub content: Option<String>,
    pub languages: Option<BTreeMap<String, Wording>>,
}

impl TemplateChange {
    fn apply(self, mut template: Template) -> Result<Template, Refusal> {
        template.name = self.name.unwrap_or(template.name);
        template.r#type = self.kind.unwrap_or(template.r#type);
        template.wording.title = self.title.unwrap_or(template.wording.title);
        template.wording.content = self.content.unwrap_or(template.wording.content);
        template.languages = self.languages.unwrap_or(template.languages);
        template.check()?;
        Ok(template)
    }
}

pub async fn change_template(app: &App, author: &Author, id: TemplateId, change: TemplateChange) -> Result<Template> {
    match update_template(&app.directory, id, author, |template| change.apply(template)).await? {
        Changed::Done(template) => Ok(*template),
        Changed::NameTaken => Err(name_is_taken().into()),
        Changed::NotFound => Err(Refusal::NotFound.into()),
        Changed::Refused(refusal) => Err(refusal.into()),
    }
}
