//! The command line: one file per command.

mod admin;
mod check_config;
pub mod dev;
mod doctor;
mod logging;
mod migrate;
mod serve;
mod token;

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, ConfigError, Sources};

/// Herald, a clustered instant-messaging server.
#[derive(Debug, Parser)]
#[command(name = "herald", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one node.
    Serve(serve::ServeArgs),
    /// Runs a whole cluster on this machine, from nothing. For development only.
    Dev(Box<dev::DevArgs>),
    /// Brings the directory and all shards to this program's schema. Safe when several do it at once.
    Migrate(ConfigArgs),
    /// Reads the configuration and says what is wrong with it, without connecting anywhere.
    CheckConfig(check_config::CheckConfigArgs),
    /// Looks at all that a node needs: databases, slots, Redis, clocks, limits of this machine.
    Doctor(ConfigArgs),
    /// Makes access tokens for testing.
    Token(token::TokenArgs),
    /// Administrators.
    Admin(admin::AdminArgs),
}

/// Where the configuration comes from: defaults < file < environment < flags.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// A configuration file (TOML).
    #[arg(long, env = "HERALD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One key of the configuration, or a run-time setting's initial value; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// All sources, one over the other, ready for use.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let sources =
            Sources { file: self.config.clone(), environment: config::environment(), flags: self.set.clone() };
        Config::load(&sources)?.prepare()
    }
}

/// Any error, on its way to the terminal.
pub type CliError = Box<dyn Error + Send + Sync>;

pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => on_all_cores(serve::serve(args)),
        Command::Dev(args) => dev::main(*args),
        Command::Migrate(args) => on_one_core(migrate::migrate(args)),
        Command::CheckConfig(args) => check_config::check_config(&args),
        Command::Doctor(args) => on_one_core(doctor::doctor(args)),
        Command::Token(args) => on_one_core(token::token(args)),
        Command::Admin(args) => on_one_core(admin::admin(args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("herald: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it, on one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn on_all_cores(task: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(task)
}

fn on_one_core(task: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task)
}
