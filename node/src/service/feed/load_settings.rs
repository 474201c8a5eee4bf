//! Run-time settings: what administrators changed, over what the configuration says. Every node follows them by the feed.

use std::sync::Arc;

use serde_json::Value;
use tracing::{info, warn};

use super::follow_changes;
use crate::app::App;
use crate::domain::Refusal;
use crate::domain::settings::SettingError;
use crate::error::{Error, Result};
use crate::storage::directory::settings;

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

/// Sets one for all nodes.
pub async fn set_setting(app: &App, name: &str, value: &Value) -> Result<()> {
    let mut copy = (**app.settings.load()).clone();
    copy.set(name, value).map_err(|error| match error {
        SettingError::Unknown(_) => Refusal::NotFound,
        SettingError::Invalid { wanted, .. } => Refusal::field("value", format!("must be {wanted}")),
    })?;
    settings::write_setting(&app.directory, name, &value.to_string()).await?;
    load_settings(app).await?;
    follow_changes::hasten(app);
    Ok(())
}
