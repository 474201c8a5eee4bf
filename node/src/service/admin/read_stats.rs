//! The cluster in a few figures. Those of large tables are the databases' own estimates.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;

use super::list_nodes::list_nodes;
use crate::app::App;
use crate::error::Result;
use crate::storage::directory::{admin_accounts, broadcasts, events};
use crate::storage::shard::read_sizes::read_sizes;

/// Reports are counted as far back as this.
const EVENTS_BACK: Duration = Duration::from_hours(1);
/// Nodes that are added up.
const NODES_MAX: usize = 1_000;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Stats {
    pub users: UserStats,
    /// Open sockets over all nodes, as they last said.
    pub sessions: i64,
    pub nodes: usize,
    pub broadcasts: i64,
    /// Reports of the last hour by level.
    pub events_last_hour: BTreeMap<String, i64>,
    pub shards: Vec<ShardStats>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct UserStats {
    pub total: i64,
    pub disabled: i64,
    pub deleted: i64,
}

/// Estimates; null where the shard cannot be asked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShardStats {
    pub name: String,
    pub conversations: Option<i64>,
    pub entries: Option<i64>,
}

pub async fn read_stats(app: &App) -> Result<Stats> {
    let (total, disabled, deleted) = admin_accounts::count_accounts(&app.directory).await?;
    let nodes = list_nodes(app, None, NODES_MAX).await?;
    let shards = join_all(app.shards.all().iter().map(async |shard| {
        let sizes = read_sizes(shard).await.ok();
        ShardStats {
            name: shard.name.clone(),
            conversations: sizes.map(|sizes| sizes.conversations),
            entries: sizes.map(|sizes| sizes.entries),
        }
    }));
    Ok(Stats {
        users: UserStats { total, disabled, deleted },
        sessions: nodes.iter().map(|node| node.sessions).sum(),
        nodes: nodes.iter().filter(|node| node.status != "gone").count(),
        broadcasts: broadcasts::newest_number(&app.directory).await?,
        events_last_hour: events::count_events(&app.directory, EVENTS_BACK).await?.into_iter().collect(),
        shards: shards.await,
    })
}
