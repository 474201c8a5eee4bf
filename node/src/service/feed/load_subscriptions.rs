//! Who subscribes to what, read anew when the feed says that it changed.

use crate::app::App;
use crate::error::Result;
use crate::storage::directory::topics;

pub async fn load_subscriptions(app: &App) -> Result<()> {
    let _turn = app.subscriptions.turn().await;
    app.subscriptions.replace(topics::read_subscriptions(&app.directory).await?);
    Ok(())
}
