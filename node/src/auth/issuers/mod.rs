//! Other issuers whose tokens are accepted: whose tokens, checked with which keys, and who their bearers are here.

mod fetch;
mod issuer;
mod key_set;
mod token;

use std::sync::Arc;

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde::Deserialize;

pub use issuer::{Issuer, IssuerError, LoadError};
pub use token::{Checked, ForeignToken, TOKEN_LIFE_MAX};

use super::tokens::TOKEN_BYTES_MAX;
use crate::config::Auth;

/// All that are configured.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Arc<[Arc<Issuer>]>);

/// The one claim that is looked at before the signature: it says whose keys to check with.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

impl Issuers {
    pub fn from_config(auth: &Auth) -> Result<Self, IssuerError> {
        let mut issuers: Vec<Arc<Issuer>> = Vec::new();
        for (name, config) in &auth.issuers {
            let issuer = Issuer::from_config(name, config)?;
            if issuer.iss == auth.issuer || issuers.iter().any(|other| other.iss == issuer.iss) {
                return Err(IssuerError::Doubled(issuer.name));
            }
            issuers.push(Arc::new(issuer));
        }
        Ok(Self(issuers.into()))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.0.iter()
    }

    /// Whose token this says that it is.
    pub fn claimed_by(&self, token: &str) -> Option<&Arc<Issuer>> {
        if self.0.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let claimed: Claimed = insecure_decode_claims(token).ok()?;
        self.0.iter().find(|issuer| issuer.iss == claimed.iss)
    }
}
