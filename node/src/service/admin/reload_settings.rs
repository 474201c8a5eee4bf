//! Lets every node read the settings anew, this one before it answers.

use crate::app::App;
use crate::domain::audit::Author;
use crate::error::Result;
use crate::service::feed::follow_changes::hasten;
use crate::service::feed::load_settings::load_settings;
use crate::storage::directory::settings::tell_reload;

pub async fn reload_settings(app: &App, author: &Author) -> Result<()> {
    tell_reload(&app.directory, author).await?;
    load_settings(app).await?;
    hasten(app);
    Ok(())
}
