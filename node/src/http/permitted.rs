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
use crate::domain::roles::{AccountRole, permit};

/// An administrator, and from where: what the audit log says of whatever is changed.
#[derive(Clone, Debug)]
pub struct Admin(pub Author);

/// A moderator or an administrator. On whom they may act is `domain::roles::may_moderate`, asked where the other's account is locked.
#[derive(Clone, Debug)]
pub struct Moderator {
    pub author: Author,
    pub roles: Vec<String>,
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        permitted(parts, app, AccountRole::Admin).await.map(|(author, _)| Self(author))
    }
}

impl FromRequestParts<Arc<App>> for Moderator {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HttpError> {
        let (author, roles) = permitted(parts, app, AccountRole::Moderator).await?;
        Ok(Self { author, roles })
    }
}

async fn permitted(parts: &mut Parts, app: &Arc<App>, needed: AccountRole) -> Result<(Author, Vec<String>), HttpError> {
    let caller = Caller::from_request_parts(parts, app).await?;
    if !permit(&caller.roles, needed) {
        return Err(Refusal::Forbidden.into());
    }
    let address = parts.extensions.get::<ClientAddress>().map(|address| address.0.to_string());
    Ok((Author { id: caller.user, address: address.unwrap_or_default() }, caller.roles))
}
