//! Databases as a whole: is a server there, is a database there. For `herald dev`, `herald doctor` and the tests.

use std::time::Duration;

/// A connection outside all pools.
pub use tokio_postgres::Client as Connection;

use super::StorageError;
use super::connect::Address;
use crate::domain::Timestamp;

/// Statements of this file, for the test that prepares them all.
pub const STATEMENTS: &[&str] = &[INSPECT, DATABASE_EXISTS];

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const INSPECT: &str = "select current_setting('server_version_num')::int4, current_setting('server_encoding'), \
                       current_setting('synchronous_commit'), clock_timestamp()";
const DATABASE_EXISTS: &str = "select 1 from pg_database where datname = $1";

/// Connects. The background half ends with the client.
#[expect(clippy::disallowed_methods, reason = "the task ends with its client, which the caller owns")]
pub async fn connect(url: &str) -> Result<Connection, StorageError> {
    let mut address = Address::parse(url)?;
    address.config.connect_timeout(CONNECT_TIMEOUT).application_name("herald-admin");
    let (client, connection) = address.connect().await?;
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

/// What a server says about itself.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// As `server_version_num`: 150018.
    pub version: i32,
    pub encoding: String,
    pub synchronous_commit: String,
    pub now: Timestamp,
}

/// Asks a server about itself.
pub async fn inspect(url: &str) -> Result<Inspection, StorageError> {
    let row = connect(url).await?.query_one(INSPECT, &[]).await?;
    Ok(Inspection { version: row.get(0), encoding: row.get(1), synchronous_commit: row.get(2), now: row.get(3) })
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
