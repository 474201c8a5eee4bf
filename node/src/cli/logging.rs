//! Structured logs, as text or JSON, to standard error.

use tracing_subscriber::EnvFilter;

use super::CliError;
use crate::config::Log;

pub fn start(log: &Log) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| format!("log.filter: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format.as_str() {
        "text" => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        "json" => lines.json().flatten_event(true).init(),
        other => return Err(format!("log.format: `text` or `json`, not `{other}`").into()),
    }
    Ok(())
}
