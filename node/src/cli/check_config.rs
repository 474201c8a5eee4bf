//! `herald check-config`

use clap::Args;

use super::{CliError, ConfigArgs};
use crate::auth::issuers::Issuers;
use crate::auth::keys::Keys;

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
    if args.print {
        println!("{}", config.redacted().to_toml()?);
    } else {
        println!("the configuration is good");
    }
    Ok(())
}
