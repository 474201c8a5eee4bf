//! What a cluster consists of, where its files lie, and the configuration that each of its nodes gets.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rand::Rng as _;

use super::postgres::PostgresOptions;
use super::process::free_port;
use super::redis::RedisOptions;
use super::{DevOptions, StartError};
use crate::config::{self, Config, ConfigError, Key, ShardDatabase, SlotRange, Sources};

/// Seconds that a node of ours takes to leave.
const DRAIN_S: u64 = 10;
/// Connections of one node to the directory, and to each shard beside its lanes.
const POOL_SIZE: usize = 8;
const KID: &str = "dev";

/// A cluster as planned, before anything is started.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Absolute.
    pub data_dir: PathBuf,
    pub redis: RedisOptions,
    /// With the names by which they are restarted: `postgres`, or `directory`, `shard-1`, ...
    pub postgres: Vec<(String, PostgresOptions)>,
    pub jwt_secret: String,
    pub nodes: Vec<NodeLayout>,
}

#[derive(Clone, Debug)]
pub struct NodeLayout {
    pub id: String,
    pub port: u16,
    pub config: Config,
    /// Of the command line, for this node.
    pub flags: Vec<String>,
}

impl Layout {
    /// Plans the cluster. Refuses unknown keys before anything else is done.
    pub fn plan(options: &DevOptions) -> Result<Self, StartError> {
        for flag in &options.set {
            let flag = flag_of_any(flag);
            config::check_flag(flag).map_err(|error: ConfigError| StartError::new(error.to_string()))?;
        }
        fs::create_dir_all(&options.data_dir).map_err(StartError::io(&options.data_dir))?;
        let data_dir = options.data_dir.canonicalize().map_err(StartError::io(&options.data_dir))?;
        let redis = RedisOptions { directory: data_dir.join("redis"), port: port()? };
        let mut layout = Self {
            jwt_secret: jwt_secret(&data_dir)?,
            postgres: plan_postgres(&data_dir, options)?,
            redis,
            data_dir,
            nodes: Vec::new(),
        };
        for index in 0..options.nodes {
            let node = layout.plan_node(index, options)?;
            layout.nodes.push(node);
        }
        Ok(layout)
    }

    /// Where a database of ours is.
    pub fn directory_url(&self) -> String {
        self.postgres.first().map(|(_, server)| server.url("herald_directory")).unwrap_or_default()
    }

    /// `index` from 0.
    pub fn shard_url(&self, index: u16) -> String {
        let server = if self.postgres.len() == 1 { 0 } else { usize::from(index) + 1 };
        let database = format!("herald_shard_{}", index + 1);
        self.postgres.get(server).map(|(_, server)| server.url(&database)).unwrap_or_default()
    }

    fn plan_node(&self, index: u16, options: &DevOptions) -> Result<NodeLayout, StartError> {
        let id = format!("node-{}", index + 1);
        let port =
            options.port.checked_add(index).ok_or_else(|| StartError::new("too many nodes above this --port"))?;
        let internal_port = port.checked_add(1_000).ok_or_else(|| StartError::new("--port is too high"))?;
        let mut config = Config {
            node_id: id.clone(),
            listen: format!("127.0.0.1:{port}"),
            internal_listen: format!("127.0.0.1:{internal_port}"),
            drain_s: DRAIN_S,
            is_development: true,
            ..Config::default()
        };
        config.directory.url = self.directory_url();
        config.directory.pool_size = POOL_SIZE;
        config.redis.urls = vec![self.redis.url()];
        config.auth.keys.push(Key {
            kid: KID.to_owned(),
            algorithm: "HS256".to_owned(),
            secret: self.jwt_secret.clone(),
            ..Key::default()
        });
        for shard in 0..options.shards {
            config.shards.push(ShardDatabase {
                name: format!("shard-{}", shard + 1),
                url: self.shard_url(shard),
                pool_size: POOL_SIZE,
                slots: SlotRange::part(shard, options.shards).to_string(),
                ..ShardDatabase::default()
            });
        }
        let flags = options.set.iter().filter_map(|flag| flag_of(&id, flag)).map(str::to_owned).collect();
        Ok(NodeLayout { id, port, config, flags })
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.data_dir.join("logs").join(format!("{name}.log"))
    }
}

impl NodeLayout {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.port)
    }

    pub const fn internal_port(&self) -> u16 {
        self.port + 1_000
    }

    pub fn internal_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.internal_port())
    }

    /// Where the node reads its configuration.
    pub fn config_file(&self, data_dir: &Path) -> PathBuf {
        data_dir.join("nodes").join(format!("{}.toml", self.id))
    }

    /// The configuration as the node will have it.
    pub fn effective_config(&self, data_dir: &Path) -> Result<Config, StartError> {
        let sources =
            Sources { file: Some(self.config_file(data_dir)), environment: Vec::new(), flags: self.flags.clone() };
        Config::load(&sources)
            .and_then(Config::prepare)
            .map_err(|error| StartError::caused(&format!("configuration of {}", self.id), &error))
    }

    pub fn write_config(&self, data_dir: &Path) -> Result<(), StartError> {
        let file = self.config_file(data_dir);
        let text = self.config.to_toml().map_err(|error| StartError::caused("configuration", &error))?;
        write_private(&file, &text)
    }
}

/// `node-2/KEY=VALUE` is for that node alone.
fn flag_of<'a>(id: &str, flag: &'a str) -> Option<&'a str> {
    match flag.split_once('/') {
        Some((node, rest)) if is_node_name(node) => (node == id).then_some(rest),
        _ => Some(flag),
    }
}

fn flag_of_any(flag: &str) -> &str {
    flag.split_once('/').filter(|(node, _)| is_node_name(node)).map_or(flag, |(_, rest)| rest)
}

fn is_node_name(text: &str) -> bool {
    text.strip_prefix("node-")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn plan_postgres(data_dir: &Path, options: &DevOptions) -> Result<Vec<(String, PostgresOptions)>, StartError> {
    let names: Vec<String> = if options.separate_shards {
        std::iter::once("directory".to_owned())
            .chain((1..=options.shards).map(|shard| format!("shard-{shard}")))
            .collect()
    } else {
        vec!["postgres".to_owned()]
    };
    // Each node's pools and lanes on every database, each restarted node's for a while beside the old ones, and some to look around.
    let per_node = (u32::from(options.shards) + 1) * 16;
    let max_connections = (u32::from(options.nodes) * per_node * 2 + 50).min(2_000);
    names
        .into_iter()
        .map(|name| {
            let directory = data_dir.join(if name == "postgres" { name.clone() } else { format!("postgres-{name}") });
            let preload = config::postgres_preload();
            Ok((name, PostgresOptions { directory, port: port()?, is_durable: true, max_connections, preload }))
        })
        .collect()
}

fn port() -> Result<u16, StartError> {
    free_port().map_err(|error| StartError::new(format!("no free port on loopback: {error}")))
}

/// The secret outlives a restart, and with it the tokens that clients hold.
fn jwt_secret(data_dir: &Path) -> Result<String, StartError> {
    let file = data_dir.join("jwt_secret");
    if let Ok(secret) = fs::read_to_string(&file)
        && secret.len() >= 32
    {
        return Ok(secret);
    }
    let secret: String = rand::rng().sample_iter(rand::distr::Alphanumeric).take(48).map(char::from).collect();
    write_private(&file, &secret)?;
    Ok(secret)
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(file: &Path, text: &str) -> Result<(), StartError> {
    let io = || StartError::io(file);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(io())?;
    }
    let draft = file.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut out = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft).map_err(io())?;
    out.write_all(text.as_bytes()).map_err(io())?;
    fs::rename(&draft, file).map_err(io())
}
