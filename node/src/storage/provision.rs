//! Databases as a whole: is a server there, is a database there. For `herald dev`, `herald doctor` and the tests.

use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

use super::StorageError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const DATABASE_EXISTS: &str = "select 1 from pg_database where datname = $1";

/// A connection of its own, outside all pools. Its background half ends with the client.
#[expect(clippy::disallowed_methods, reason = "the task ends with its client, which the caller owns")]
pub async fn connect(url: &str) -> Result<Client, StorageError> {
    let mut config = Config::from_str(url)?;
    config.connect_timeout(CONNECT_TIMEOUT).application_name("herald-admin");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // How it ended is what the client's calls answer.
        let _ = connection.await;
    });
    Ok(client)
}

/// Whether a server answers a query.
pub async fn check_connection(url: &str) -> Result<(), StorageError> {
    connect(url).await?.simple_query("select 1").await?;
    Ok(())
}

/// Makes a database where it is missing. `name` comes from our own code: letters, digits, `_` and `-`.
pub async fn create_database(server_url: &str, name: &str) -> Result<(), StorageError> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !is_plain {
        return Err(StorageError::Failed("the name of a database has letters, digits, `_` and `-`".into()));
    }
    let client = connect(server_url).await?;
    if client.query_opt(DATABASE_EXISTS, &[&name]).await?.is_none() {
        // A name cannot be bound; it was checked above.
        client.batch_execute(&["create database \"", name, "\""].concat()).await?;
    }
    Ok(())
}
