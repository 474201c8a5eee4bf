//! What users chose to be shown as, and when they were last there.

use redis::{Cmd, Pipeline, Value};
use uuid::Uuid;

use crate::{Router, RouterError, value};

/// Kept for as long as this without being set again.
const TTL_MS: u64 = 90 * 24 * 60 * 60 * 1_000;

impl Router {
    /// The chosen status of each user, `None` where nothing was chosen.
    pub async fn get_status(&self, users: &[Uuid]) -> Result<Vec<Option<String>>, RouterError> {
        let answers = self.get_many(users.iter().map(|user| self.shared.keys.status(*user))).await?;
        Ok(answers.iter().map(|answer| value::text(answer).map(str::to_owned)).collect())
    }

    pub async fn set_status(&self, user: Uuid, status: &str) -> Result<(), RouterError> {
        let mut command = redis::cmd("SET");
        command.arg(self.shared.keys.status(user)).arg(status).arg("PX").arg(TTL_MS);
        self.shared.run_one(command).await.map(drop)
    }

    /// When each user was last seen, in ms since 1970.
    pub async fn get_last_seen(&self, users: &[Uuid]) -> Result<Vec<Option<i64>>, RouterError> {
        let answers = self.get_many(users.iter().map(|user| self.shared.keys.last_seen(*user))).await?;
        Ok(answers.iter().map(value::int).collect())
    }

    pub async fn set_last_seen(&self, users: &[(Uuid, i64)]) -> Result<(), RouterError> {
        let mut pipeline = Pipeline::with_capacity(users.len());
        for (user, at_ms) in users {
            let mut command = redis::cmd("SET");
            command.arg(self.shared.keys.last_seen(*user)).arg(*at_ms).arg("PX").arg(TTL_MS);
            pipeline.add_command(command);
        }
        self.shared.run(&pipeline).await.map(drop)
    }

    /// The values of many keys, in one command. In a cluster the client splits it by server.
    pub(crate) async fn get_many(&self, keys: impl Iterator<Item = String>) -> Result<Vec<Value>, RouterError> {
        let mut command = Cmd::new();
        command.arg("MGET");
        let mut count = 0;
        for key in keys {
            command.arg(key);
            count += 1;
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        match self.shared.run_one(command).await? {
            Value::Array(answers) if answers.len() == count => Ok(answers),
            _ => Err(RouterError::Unexpected("MGET")),
        }
    }
}
