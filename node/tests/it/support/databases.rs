//! The databases of one test: a directory and shards, dropped with it.

use herald_node::config::{ShardDatabase, SlotRange};
use herald_node::storage::provision;
use tokio_postgres::Client;

use super::services::{self, DIRECTORY, SHARD, services};

pub struct Databases {
    pub directory_url: String,
    pub shards: Vec<ShardDatabase>,
    names: Vec<String>,
}

impl Databases {
    pub async fn new(shard_count: u16) -> Self {
        let number = services::unique();
        let mut names = vec![format!("t{number}_directory")];
        let directory_url = services().clone_database(DIRECTORY, &names[0]).await;
        let mut shards = Vec::new();
        for index in 0..shard_count {
            let name = format!("t{number}_shard_{}", index + 1);
            let url = services().clone_database(SHARD, &name).await;
            let slots = SlotRange::part(index, shard_count);
            let client = provision::connect(&url).await.unwrap();
            client
                .execute(
                    "insert into slot (slot) select generate_series($1::int4, $2::int4)::int2",
                    &[&i32::from(slots.first), &i32::from(slots.last)],
                )
                .await
                .unwrap();
            shards.push(ShardDatabase {
                name: format!("shard-{}", index + 1),
                url,
                slots: slots.to_string(),
                pool_size: 4,
                ..ShardDatabase::default()
            });
            names.push(name);
        }
        Self { directory_url, shards, names }
    }

    /// A connection to the directory, for a look or a lock.
    pub async fn directory(&self) -> Client {
        provision::connect(&self.directory_url).await.unwrap()
    }

    /// A connection to a shard; the first is 0.
    pub async fn shard(&self, index: usize) -> Client {
        provision::connect(&self.shards[index].url).await.unwrap()
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for name in &self.names {
            services().drop_database(name);
        }
    }
}

/// Connections to this database that wait for a lock.
pub async fn lock_waiters(client: &Client) -> i64 {
    let sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    client.query_one(sql, &[]).await.unwrap().get(0)
}
