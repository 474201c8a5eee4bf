//! `herald check-config`

use clap::Args;

use super::{CliError, ConfigArgs, with_causes};
use crate::auth::issuers::Issuers;
use crate::auth::keys::Keys;
use crate::run::router_config;
use crate::storage::connect::Address;

#[derive(Args, Debug)]
pub struct CheckConfigArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Prints the configuration as it would be used, secrets as stars.
    #[arg(long)]
    print: bool,
}

pub fn check_config(args: &CheckConfigArgs) -> Result<(), CliError> {
    let config = args.config.load()?;
    Keys::from_config(&config.auth)?;
    Issuers::from_config(&config.auth)?;
    Address::parse(&config.directory.url).map_err(|error| format!("directory: {}", with_causes(&error)))?;
    for shard in &config.shards {
        Address::parse(&shard.url).map_err(|error| format!("shards `{}`: {}", shard.name, with_causes(&error)))?;
    }
    router_config(&config)?.check()?;
    if args.print {
        println!("{}", config.redacted().to_toml()?);
    } else {
        println!("the configuration is good");
    }
    Ok(())
}
