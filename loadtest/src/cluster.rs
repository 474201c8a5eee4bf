//! What is under test: the nodes' addresses, the processes to account for, the key to make tokens with.

use crate::cli::TargetArgs;
use crate::net::NodeAddress;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// As `herald dev` writes it; only what is needed here.
#[derive(Deserialize)]
struct ClusterFile {
    nodes: Vec<NodeEntry>,
    redis: ServerEntry,
    postgres: PostgresEntry,
    jwt_secret: String,
}

#[derive(Deserialize)]
struct NodeEntry {
    id: String,
    pid: Option<u32>,
    ws_url: String,
}

#[derive(Deserialize)]
struct ServerEntry {
    pid: Option<u32>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct PostgresEntry {
    directory: ServerEntry,
    #[serde(default)]
    shards: Vec<ServerEntry>,
}

/// What part a process plays: nodes are also counted alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Node,
    Server,
    Generator,
}

/// A process and its children, accounted for under one name.
#[derive(Clone, Debug)]
pub struct ProcessName {
    pub name: String,
    pub pid: u32,
    pub role: Role,
}

#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<NodeAddress>,
    pub processes: Vec<ProcessName>,
    pub jwt_secret: Option<String>,
    pub redis_url: Option<String>,
    /// Where the databases keep their files, to probe that disk.
    pub data_dir: Option<PathBuf>,
}

/// From the `--cluster` directory or from single flags; flags add to the file.
pub fn find_cluster(args: &TargetArgs) -> Result<Cluster, String> {
    let mut cluster = match &args.cluster {
        Some(directory) => read_cluster_file(directory)?,
        None => Cluster { nodes: Vec::new(), processes: Vec::new(), jwt_secret: None, redis_url: None, data_dir: None },
    };
    for url in &args.url {
        cluster.nodes.push(NodeAddress::parse(url)?);
    }
    for text in &args.pid {
        cluster.processes.push(parse_process(text)?);
    }
    if args.jwt_secret.is_some() {
        cluster.jwt_secret.clone_from(&args.jwt_secret);
    }
    if args.redis_url.is_some() {
        cluster.redis_url.clone_from(&args.redis_url);
    }
    if args.data_dir.is_some() {
        cluster.data_dir.clone_from(&args.data_dir);
    }
    if cluster.nodes.is_empty() {
        return Err("no node: give --cluster DIR or --url ws://host:port/ws".into());
    }
    Ok(cluster)
}

fn read_cluster_file(directory: &Path) -> Result<Cluster, String> {
    let path = directory.join("cluster.json");
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file: ClusterFile = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut processes = Vec::new();
    let mut nodes = Vec::new();
    for node in file.nodes {
        nodes.push(NodeAddress::parse(&node.ws_url)?);
        add_process(&mut processes, &node.id, node.pid, Role::Node);
    }
    add_process(&mut processes, "redis", file.redis.pid, Role::Server);
    add_process(&mut processes, "postgres", file.postgres.directory.pid, Role::Server);
    for (number, shard) in (1..).zip(&file.postgres.shards) {
        add_process(&mut processes, &format!("postgres-shard-{number}"), shard.pid, Role::Server);
    }
    Ok(Cluster {
        nodes,
        processes,
        jwt_secret: Some(file.jwt_secret),
        redis_url: file.redis.url,
        data_dir: Some(directory.to_owned()),
    })
}

/// Adds a process once: shards that are databases of one server share its pid.
fn add_process(processes: &mut Vec<ProcessName>, name: &str, pid: Option<u32>, role: Role) {
    if let Some(pid) = pid
        && processes.iter().all(|known| known.pid != pid)
    {
        processes.push(ProcessName { name: name.to_owned(), pid, role });
    }
}

/// `name=pid`; a name that begins with `node` counts as a node.
fn parse_process(text: &str) -> Result<ProcessName, String> {
    let (name, pid) = text.split_once('=').ok_or_else(|| format!("{text}: expected NAME=PID"))?;
    Ok(ProcessName {
        name: name.to_owned(),
        pid: pid.parse().map_err(|error| format!("{text}: {error}"))?,
        role: if name.starts_with("node") { Role::Node } else { Role::Server },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_file_is_read_and_a_shared_server_is_counted_once() {
        let directory = std::env::temp_dir().join(format!("herald-loadtest-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(
            directory.join("cluster.json"),
            r#"{"nodes":[{"id":"node-1","pid":11,"url":"http://127.0.0.1:8080","ws_url":"ws://127.0.0.1:8080/ws","internal_url":"http://127.0.0.1:9080","exit_code":null},
                {"id":"node-2","pid":12,"url":"http://127.0.0.1:8081","ws_url":"ws://127.0.0.1:8081/ws","internal_url":"http://127.0.0.1:9081","exit_code":null}],
                "redis":{"pid":13,"url":"redis://127.0.0.1:6379","exit_code":null},
                "postgres":{"directory":{"pid":14,"url":"postgres://x"},"shards":[{"pid":14,"url":"postgres://y"},{"pid":15,"url":"postgres://z"}]},
                "jwt_secret":"secret"}"#,
        )
        .unwrap();
        let cluster = read_cluster_file(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let processes: Vec<_> = cluster.processes.iter().map(|one| (one.name.as_str(), one.pid)).collect();
        assert_eq!(
            processes,
            [("node-1", 11), ("node-2", 12), ("redis", 13), ("postgres", 14), ("postgres-shard-2", 15)]
        );
        assert_eq!(cluster.nodes.len(), 2);
        assert_eq!(cluster.redis_url.as_deref(), Some("redis://127.0.0.1:6379"));
    }

    #[test]
    fn processes_are_named_on_the_command_line_too() {
        assert_eq!(parse_process("node-9=7").unwrap().role, Role::Node);
        assert_eq!(parse_process("redis=8").unwrap().pid, 8);
        assert!(parse_process("redis").is_err());
        assert!(parse_process("redis=x").is_err());
    }
}
