//! `herald migrate`

use super::{CliError, ConfigArgs};
use crate::storage::migrate as schema;

pub async fn migrate(args: ConfigArgs) -> Result<(), CliError> {
    let done = schema::migrate(&args.load()?).await?;
    for migration in &done {
        println!("applied {migration}");
    }
    if done.is_empty() {
        println!("nothing to do: directory and shards are up to date");
    }
    Ok(())
}
