//! What others see of a user.

use schemars::JsonSchema;
use serde::Serialize;

use super::ids::UserId;
use super::timestamp::Timestamp;

/// Serialised as the contract's User.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub struct Profile {
    pub id: UserId,
    /// None for users of other issuers, and for deleted ones.
    pub username: Option<String>,
    pub display_name: String,
    pub avatar_url: Option<String>,
    pub status_text: Option<String>,
    pub created_at: Timestamp,
    /// Disabled or deleted: nobody can write to this user or invite it.
    #[serde(skip)]
    pub is_out: bool,
}
