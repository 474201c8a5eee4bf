//! `herald token`: access tokens for testing, signed with the configured key.

use std::time::Duration;

use clap::Args;

use super::{CliError, ConfigArgs};
use crate::auth::keys::Keys;
use crate::auth::tokens::{Bearer, sign_access};
use crate::clock::Clock;
use crate::domain::account::Username;
use crate::domain::{LoginId, UserId};
use crate::storage::directory::seed;
use crate::storage::provision;

#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Whose token, by id.
    #[arg(long, required_unless_present = "username", conflicts_with = "username")]
    user: Option<UserId>,
    /// Whose token, by name.
    #[arg(long)]
    username: Option<String>,
    /// How many, one a line, all of one login.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Seconds that they are good; by default as long as those that clients get.
    #[arg(long)]
    life_s: Option<u64>,
}

pub async fn token(args: TokenArgs) -> Result<(), CliError> {
    let config = args.config.load()?;
    let keys = Keys::from_config(&config.auth)?;
    let client = provision::connect(&config.directory.url).await?;
    let account = match (args.user, &args.username) {
        (Some(id), _) => seed::find_account(&client, id).await?,
        (None, Some(name)) => {
            let name = Username::parse(name).map_err(|_| "this cannot be a username")?;
            seed::find_accounts(&client, &[name]).await?.pop()
        }
        (None, None) => None,
    };
    let account = account.ok_or("there is no such user")?;
    let login = LoginId::random();
    seed::insert_login(&client, login, account.id, "herald token").await?;
    let bearer = Bearer {
        user: account.id,
        login,
        username: account.username.as_deref(),
        display_name: &account.display_name,
        roles: &account.roles,
    };
    let life = Duration::from_secs(args.life_s.unwrap_or(config.auth.access_token_s));
    for _ in 0..args.count {
        println!("{}", sign_access(&keys, &bearer, Clock::default().now(), life)?);
    }
    Ok(())
}
