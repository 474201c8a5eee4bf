//! Who did what.

use crate::app::App;
use crate::domain::Timestamp;
use crate::domain::audit::AuditEntry;
use crate::domain::ids::AuditId;
use crate::error::Result;
use crate::storage::directory::audit;
pub use crate::storage::directory::audit::AuditFilter;

/// Newest first, `before` the last one of the page before.
pub async fn list_audit(
    app: &App,
    filter: &AuditFilter,
    before: (Timestamp, AuditId),
    limit: usize,
) -> Result<Vec<AuditEntry>> {
    Ok(audit::list_audit(&app.directory, filter, before, limit).await?)
}
