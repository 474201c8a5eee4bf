//! Which servers Redis is, and whether they are fit to be used.

use redis::{RedisError, Value};

use crate::connection::Connection;
use crate::error::RouterError;
use crate::value;

/// What a server says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of every primary: another one means that a process ended, and what it had in memory with it.
    pub(super) run_ids: Vec<String>,
    pub(super) version: String,
    pub(super) eviction: String,
}

pub(super) async fn identify(connection: &mut Connection) -> Result<Identity, RedisError> {
    let mut identity = Identity::default();
    for section in ["server", "memory"] {
        let mut command = redis::cmd("INFO");
        command.arg(section);
        let answer = connection.run_one(command).await?;
        let texts: Vec<&str> = match &answer {
            Value::ServerError(error) => return Err(error.clone().into()),
            Value::Map(servers) => servers.iter().filter_map(|(_, info)| value::text(info)).collect(),
            info => value::text(info).into_iter().collect(),
        };
        for line in texts.iter().flat_map(|text| text.lines()) {
            match line.split_once(':') {
                Some(("run_id", id)) => identity.run_ids.push(id.trim().to_owned()),
                Some(("redis_version", version)) => {
                    version.trim().clone_into(&mut identity.version);
                }
                Some(("maxmemory_policy", policy)) if identity.eviction.is_empty() || policy != "noeviction" => {
                    policy.trim().clone_into(&mut identity.eviction);
                }
                _ => {}
            }
        }
    }
    identity.run_ids.sort_unstable();
    Ok(identity)
}

/// Refused at the start; a server that is changed later is only complained of, since leaving would help nobody.
pub(super) fn check_identity(identity: &Identity, has_taken: bool) -> Result<(), RouterError> {
    let is_old =
        identity.version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < 7);
    let error = if is_old {
        RouterError::Version(identity.version.clone())
    } else if !identity.eviction.is_empty() && identity.eviction != "noeviction" {
        RouterError::EvictionPolicy(identity.eviction.clone())
    } else {
        return Ok(());
    };
    if has_taken {
        tracing::error!(%error, "redis is not fit to be used");
        return Ok(());
    }
    Err(error)
}
