//! Run-time settings: what administrators changed, over what the configuration says. Every node follows them by the feed.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tracing::{info, warn};

use super::follow_changes;
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::audit::Author;
use crate::domain::settings::{self as known, SettingError, Settings};
use crate::error::{Error, Result};
use crate::storage::directory::settings;

/// A setting as administrators see it: what it is here and now, what it is where nothing is said, and the range of a number.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Setting")]
pub struct SettingView {
    pub key: &'static str,
    pub value: Value,
    pub default: Value,
    pub min: Option<u32>,
    pub max: Option<u32>,
}

/// All of them, in their order.
pub fn list_settings(app: &App) -> Vec<SettingView> {
    let (present, default) = (app.settings.load(), Settings::default());
    known::NAMES.iter().filter_map(|name| view_of(name, &present, &default)).collect()
}

fn view_of(key: &'static str, present: &Settings, default: &Settings) -> Option<SettingView> {
    let (min, max) = known::range(key).ok()?.unzip();
    Some(SettingView { key, value: present.get(key)?, default: default.get(key)?, min, max })
}

/// Reads them all anew.
pub async fn load_settings(app: &App) -> Result<()> {
    let mut all = app.config.initial_settings().map_err(Error::internal)?;
    for (name, json) in settings::read_settings(&app.directory).await? {
        let value = serde_json::from_str(&json).unwrap_or(Value::Null);
        // A newer or older node may know other settings, or other ranges.
        if let Err(error) = all.set(&name, &value) {
            warn!(%error, "a setting is left as configured");
        }
    }
    if **app.settings.load() != all {
        info!(?all, "settings have changed");
        app.settings.store(Arc::new(all));
    }
    Ok(())
}

/// Sets one for all nodes; here at once.
pub async fn set_setting(app: &App, author: &Author, name: &str, value: &Value) -> Result<SettingView> {
    let mut copy = (**app.settings.load()).clone();
    copy.set(name, value).map_err(|error| match error {
        SettingError::Unknown(_) => Refusal::NotFound,
        SettingError::Invalid { wanted, .. } => Refusal::field("value", format!("must be {wanted}")),
    })?;
    let configured = app.config.initial_settings().ok().and_then(|initial| initial.get(name));
    settings::write_setting(&app.directory, name, value, configured, author).await?;
    load_settings(app).await?;
    follow_changes::hasten(app);
    let key = known::NAMES.iter().find(|key| **key == name).ok_or(Refusal::NotFound)?;
    // As it was set, whatever another administrator has done since.
    Ok(view_of(key, &copy, &Settings::default()).ok_or(Refusal::NotFound)?)
}
