//! Who did what, for the audit log.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::ids::{AuditId, UserId};
use super::timestamp::Timestamp;

/// An administrator who acts, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub id: UserId,
    pub address: String,
}

/// What is written beside a change, in its transaction. Never a secret.
#[derive(Clone, Copy, Debug)]
pub struct AuditRecord<'a> {
    pub author: &'a Author,
    /// `setting.change`: what kind of thing, and what was done to it.
    pub action: &'static str,
    pub target: Option<&'a str>,
    pub before: Option<&'a Value>,
    pub after: Option<&'a Value>,
}

/// An entry as administrators read it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuditEntry {
    pub id: AuditId,
    pub admin_id: UserId,
    pub action: String,
    pub target: Option<String>,
    pub before: Option<Box<RawValue>>,
    pub after: Option<Box<RawValue>>,
    pub address: Option<String>,
    pub created_at: Timestamp,
}
