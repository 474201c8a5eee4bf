//! What Redis answers to taking and renewing a lease.

use redis::Value;

use crate::error::RouterError;
use crate::peers::{Lease, parse_table};
use crate::shared::EntryId;
use crate::value;

/// What a renewal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Stands,
    Lapsed,
    Lost,
}

pub(super) struct LeaseAnswer {
    pub(super) standing: Standing,
    pub(super) counter: u64,
    pub(super) now_ms: u64,
    pub(super) table: Vec<Lease>,
}

pub(super) fn read_lease(answer: &Value) -> Result<LeaseAnswer, RouterError> {
    if let Value::ServerError(error) = answer {
        return Err(RouterError::Refused(error.clone().into()));
    }
    let unexpected = RouterError::Unexpected("lease");
    let Some([now_ms, standing, counter, table]) = value::array(answer) else {
        return Err(unexpected);
    };
    let (Some(now_ms), Some(counter)) = (value::unsigned(now_ms), value::unsigned(counter)) else {
        return Err(unexpected);
    };
    let standing = match value::text(standing) {
        Some("stands") => Standing::Stands,
        Some("lapsed") => Standing::Lapsed,
        Some("missing" | "rewound") => Standing::Lost,
        _ => return Err(unexpected),
    };
    Ok(LeaseAnswer { standing, counter, now_ms, table: parse_table(table, now_ms) })
}

pub(super) fn read_top(answer: &Value) -> Result<Option<EntryId>, RouterError> {
    match answer {
        Value::Nil | Value::Boolean(false) => Ok(None),
        Value::ServerError(error) => Err(RouterError::Refused(error.clone().into())),
        other => {
            let id = value::text(other).and_then(EntryId::parse);
            id.map(Some).ok_or(RouterError::Unexpected("inbox"))
        }
    }
}
