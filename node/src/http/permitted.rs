//! Who may call what is not for everyone. The rule is `domain::roles`; these extractors are the one place that asks it. No token is
//! told before no role, and both before anything of the request is looked at.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::problem::HttpError;
use super::server::address::ClientAddress;
use crate::app::App;
use crate::auth::Caller;
use crate::domain::Refusal;
use crate::domain::audit::Author;

/// An administrator, and from where: what the audit log says of whatever is changed.
#[derive(Clone, Debug)]
pub struct Admin(pub Author);

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if !caller.is_admin() {
            return Err(Refusal::Forbidden.into());
        }
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0.to_string());
        Ok(Self(Author { id: caller.user, address: address.unwrap_or_default() }))
    }
}
