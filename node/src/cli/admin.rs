//! `herald admin create`: the first administrator.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, ConfigArgs};
use crate::auth::password::{Password, hash_now};
use crate::domain::UserId;
use crate::domain::account::Username;
use crate::storage::directory::seed;
use crate::storage::provision;

#[derive(Args, Debug)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Makes an account with the role `admin`. Its password is read from a file or from standard input.
    Create(CreateArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[arg(long)]
    username: String,
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub async fn admin(args: AdminArgs) -> Result<(), CliError> {
    let AdminCommand::Create(args) = args.command;
    let config = args.config.load()?;
    let name = Username::parse(&args.username).map_err(|refusal| format!("username: {refusal:?}"))?;
    let text = match &args.password_file {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None => read_line()?,
    };
    let password =
        Password::parse("password", text.trim_end_matches(['\r', '\n'])).map_err(|refusal| format!("{refusal:?}"))?;
    let hash = hash_now(&password)?;
    let client = provision::connect(&config.directory.url).await?;
    let id = UserId::random();
    let made = seed::insert_accounts(&client, &[(id, name)], &hash, &["admin".to_owned()]).await?;
    if made == 0 {
        return Err(format!("the username {} is taken", args.username).into());
    }
    println!("{id}");
    Ok(())
}

fn read_line() -> Result<String, CliError> {
    if std::io::stdin().is_terminal() {
        eprint!("password (it will be seen): ");
        std::io::stderr().flush()?;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}
