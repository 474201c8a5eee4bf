//! `DATA_DIR/cluster.json`: what runs where, for tests and tools. It appears when all is ready, is replaced at each change, and is
//! gone after a clean stop.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::StartError;
use super::layout::{self, Layout};
use super::member::Status;

#[derive(Serialize)]
struct ClusterFile<'a> {
    nodes: Vec<NodeEntry<'a>>,
    redis: ServerEntry,
    postgres: PostgresEntry,
    /// HS256, the secret as UTF-8 text.
    jwt_secret: &'a str,
}

#[derive(Serialize)]
struct NodeEntry<'a> {
    id: &'a str,
    pid: u32,
    url: String,
    ws_url: String,
    internal_url: String,
    exit_code: Option<i32>,
}

#[derive(Serialize)]
struct PostgresEntry {
    directory: ServerEntry,
    shards: Vec<ServerEntry>,
}

#[derive(Serialize)]
struct ServerEntry {
    pid: u32,
    url: String,
    exit_code: Option<i32>,
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("cluster.json")
}

/// `status` by a member's name.
pub fn write(layout: &Layout, shards: u16, status: impl Fn(&str) -> Status) -> Result<(), StartError> {
    let server = |name: &str, url: String| {
        let Status { pid, exit_code } = status(name);
        ServerEntry { pid, url, exit_code }
    };
    let is_separate = layout.postgres.len() > 1;
    let shard = |index: u16| {
        let name = if is_separate { format!("shard-{}", index + 1) } else { "postgres".to_owned() };
        server(&name, layout.shard_url(index))
    };
    let file = ClusterFile {
        nodes: layout.nodes.iter().map(|node| node_entry(node, status(&node.id))).collect(),
        redis: server("redis", layout.redis.url()),
        postgres: PostgresEntry {
            directory: server(if is_separate { "directory" } else { "postgres" }, layout.directory_url()),
            shards: (0..shards).map(shard).collect(),
        },
        jwt_secret: &layout.jwt_secret,
    };
    let mut text = serde_json::to_string_pretty(&file).map_err(|error| StartError::caused("cluster.json", &error))?;
    text.push('\n');
    layout::write_private(&path(&layout.data_dir), &text)
}

fn node_entry(node: &layout::NodeLayout, status: Status) -> NodeEntry<'_> {
    NodeEntry {
        id: &node.id,
        pid: status.pid,
        url: node.url(),
        ws_url: node.ws_url(),
        internal_url: node.internal_url(),
        exit_code: status.exit_code,
    }
}

pub fn remove(data_dir: &Path) {
    let _ = fs::remove_file(path(data_dir));
}
