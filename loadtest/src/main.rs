//! `herald-loadtest`. Exit code 0: all was right; 1: something was not; 2: the run could not be made.

use clap::Parser as _;
use herald_loadtest::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    match herald_loadtest::run(&Cli::parse()) {
        Ok(Some(report)) if !report.is_right() => ExitCode::from(1),
        Ok(_) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("herald-loadtest: {reason}");
            ExitCode::from(2)
        }
    }
}
