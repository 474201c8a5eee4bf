//! `herald serve`: one node, until SIGTERM or Ctrl-C.

use clap::Args;
use rustix::process::{Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, ConfigArgs, logging};
use crate::run::Node;

#[derive(Args, Debug)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ends with this process, its parent: `herald dev` leaves no nodes behind, however it ends.
    #[arg(long, hide = true, value_name = "PID")]
    end_with: Option<i32>,
}

pub async fn serve(args: ServeArgs) -> Result<(), CliError> {
    if let Some(parent) = args.end_with {
        end_with(parent)?;
    }
    let config = args.config.load()?;
    logging::start(&config.log)?;
    if config.is_development {
        tracing::warn!("this node is for development only");
    }
    raise_file_limit();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let node = tokio::select! {
        node = Node::start(config) => node?,
        // Leaving before having come in full: there are no clients to tell.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        () = node.shutdown() => Ok(()),
        _ = terminate.recv() => Err("told twice to stop: clients were not waited for".into()),
        _ = interrupt.recv() => Err("told twice to stop: clients were not waited for".into()),
    }
}

fn end_with(parent: i32) -> Result<(), CliError> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before we asked.
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent) {
        return Err("the parent process has ended".into());
    }
    Ok(())
}

/// As many sockets as this machine's administrator permits.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        tracing::warn!(?limit.current, "the limit of open files was not raised");
    }
}
