//! Load on a cluster from outside, and an oracle that says whether what came back was right.

mod accounting;
pub mod cli;
mod clock;
mod cluster;
mod frame;
mod latency;
mod limits;
mod messaging;
mod net;
mod numbers;
mod oracle;
pub mod report;
mod rest;
mod scan;
pub mod scenario;
mod stamp;
mod template;
mod tokens;
mod users;

use cli::{Cli, Scenario};
use report::Report;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stamp::RunId;

/// Makes one run, prints its report and writes it where the command line says; nothing where there is none.
pub fn run(cli: &Cli) -> Result<Option<Report>, String> {
    let cluster = cluster::find_cluster(&cli.target)?;
    let report = match &cli.scenario {
        Scenario::Direct(args) => scenario::direct(cli, &cluster, args)?,
        Scenario::Group(args) => scenario::group(cli, &cluster, args)?,
        Scenario::Idle(args) => scenario::idle(cli, &cluster, args)?,
        Scenario::Connect(args) => scenario::connect(cli, &cluster, args)?,
        Scenario::Storm(args) => scenario::storm(cli, &cluster, args)?,
        Scenario::Users { count } => {
            let users = users::find_users(&cluster, &cli.users, *count)?;
            println!("{} users are ready", users.len());
            return Ok(None);
        }
        Scenario::Limits => Report::Limits(limits::probe(&cluster)),
    };
    report.print();
    if let Some(path) = &cli.target.json {
        let text = serde_json::to_vec_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(Some(report))
}

/// A mark that no other run has.
fn new_run_id() -> RunId {
    let mut run = [b'0'; 8];
    stamp::write_hex(u64::from(uuid::Uuid::new_v4().as_fields().0), Some(&mut run));
    run
}

/// Lets this process open so many files, as far as it may.
fn raise_file_limit(wanted: usize) {
    let wanted = numbers::count(wanted);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit { current: Some(wanted), maximum };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Without it the run fails at the first connection too many, and says so.
        let _ = setrlimit(Resource::Nofile, most);
        eprintln!("the limit of open files is {:?}, {wanted} are wanted", limit.maximum);
    }
}
