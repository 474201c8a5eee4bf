//! A token for one WebSocket: it may stand in a URL, because it is worth nothing once it was used.

use crate::app::App;
use crate::auth::Caller;
use crate::auth::tokens::sign_ws;
use crate::error::{Error, Result};

/// The token, and for how many seconds it is good.
pub fn issue_ws_token(app: &App, caller: &Caller) -> Result<(String, i64)> {
    sign_ws(&app.keys, caller, app.clock.now()).map_err(Error::internal)
}
