//! Reactions of one message, counted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// How often one emoji stands at a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReactionCount {
    pub count: i64,
    /// The reader's is among them.
    pub me: bool,
}

/// By emoji.
pub type Reactions = BTreeMap<String, ReactionCount>;
