//! `herald dev`: a whole cluster on this machine, from nothing, for development only.

mod cluster_file;
mod control;
mod layout;
mod member;
mod node;
pub mod postgres;
pub mod process;
pub mod redis;
mod seed;
mod supervise;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::CliError;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevArgs {
    #[command(subcommand)]
    action: Option<DevAction>,
    #[command(flatten)]
    options: DevOptions,
}

#[derive(Debug, Subcommand)]
enum DevAction {
    /// Starts a process of a running cluster again: node-2, redis, postgres (or directory, shard-1 with --separate-shards).
    Restart {
        name: String,
        #[arg(long, default_value = ".herald", value_name = "DIR")]
        data_dir: PathBuf,
    },
}

#[derive(Args, Clone, Debug)]
pub struct DevOptions {
    /// Nodes, each a process of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub nodes: u16,
    /// Shard databases.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
    /// A PostgreSQL server for the directory and one for each shard, instead of one for all.
    #[arg(long)]
    pub separate_shards: bool,
    /// Where clients of the first node connect; further nodes follow, internal ports are 1000 above.
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub port: u16,
    /// Holds everything that the cluster keeps.
    #[arg(long, default_value = ".herald", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// One key of every node's configuration, or a run-time setting's initial value; `node-2/KEY=VALUE` for one node. May be
    /// repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Starts again whatever ends.
    #[arg(long)]
    pub respawn: bool,
    /// Makes users u1 to uN, all with the password `loadtest-password`, and lists them in DATA_DIR/loadtest-users.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed_users: u32,
}

/// Why something could not be started, in words for the one who tries it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self(format!("{path}: {error}"))
    }

    pub(crate) fn caused(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self(format!("{what}: {}", super::with_causes(error)))
    }
}

/// All on this one thread: the children are told to end when it does.
pub fn main(args: DevArgs) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match args.action {
        Some(DevAction::Restart { name, data_dir }) => runtime.block_on(control::ask_restart(&data_dir, &name))?,
        None => runtime.block_on(supervise::run(args.options))?,
    }
    Ok(())
}
