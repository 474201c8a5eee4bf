//! The configuration: defaults < TOML file < environment < flags. Unknown keys are refused.

mod load;
mod prepare;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use load::{ConfigError, Sources, check_flag, environment, postgres_preload, search_path};
pub use prepare::SlotRange;

/// Everything a node is told when it starts. Run-time settings are in `domain::settings`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of this node, unique in the cluster; empty: the host's name and the port.
    pub node_id: String,
    /// Where clients connect.
    pub listen: String,
    /// Where operators look: /metrics, /livez, /readyz, /health.
    pub internal_listen: String,
    /// What clients call this server, for `ws_url`; empty: the request's `Host`.
    pub public_url: String,
    /// What links into groups look like, with `{token}` in the place of the token; empty: clients make links of the token themselves.
    pub invite_url: String,
    /// Origins of browsers beside the request's own host; also for CORS. `*` allows all.
    pub allowed_origins: Vec<String>,
    /// Networks (address or CIDR) whose X-Forwarded-For counts.
    pub trusted_proxies: Vec<String>,
    /// Seconds from SIGTERM to the last closed socket.
    pub drain_s: u64,
    pub auth: Auth,
    pub directory: Database,
    /// Shard databases with the slots that they hold when they are new; empty: the directory's database holds all.
    pub shards: Vec<ShardDatabase>,
    pub redis: Redis,
    pub events: Events,
    pub limits: Limits,
    pub log: Log,
    /// Initial values of run-time settings, by their name; what an administrator changed later wins.
    pub settings: toml::Table,
    /// Only `herald dev` accepts it: a point at which the node kills itself. See `storage::shard::crash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash_point: Option<String>,
    /// Set by `herald dev` for its nodes.
    pub is_development: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub issuer: String,
    pub audience: String,
    /// The key that signs: its `kid` in `keys`. Empty: the first.
    pub signing_kid: String,
    /// All keys that are good for checking, several for rotation.
    pub keys: Vec<Key>,
    pub access_token_s: u64,
    pub refresh_token_s: u64,
    /// Others whose access tokens are accepted, by a name of our own. Their users are made on first sight.
    pub issuers: BTreeMap<String, Issuer>,
}

/// Another issuer of tokens, and the one place where its keys are.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Issuer {
    /// As in the claim `iss`, to the letter.
    pub issuer: String,
    /// Must be among those of the claim `aud`.
    pub audience: String,
    /// `sub` is a UUID and is the user's id here. Else the id is a hash of issuer and `sub`.
    pub same_ids: bool,
    /// HS256: the secret as UTF-8 text, at least 32 bytes.
    pub secret: String,
    pub secret_file: Option<PathBuf>,
    /// PEM (SPKI) of an RSA (RS256), P-256 (ES256), P-384 (ES384) or Ed25519 (EdDSA) key.
    pub public_key: String,
    pub public_key_file: Option<PathBuf>,
    /// A JSON Web Key Set (RFC 7517), read again when a token names a key that it lacked.
    pub jwks_file: Option<PathBuf>,
    /// Where to fetch one: `https://` or `http://`.
    pub jwks_url: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Key {
    pub kid: String,
    /// `HS256` or `EdDSA`.
    pub algorithm: String,
    /// HS256: the secret as UTF-8 text, at least 32 bytes.
    pub secret: String,
    pub secret_file: Option<PathBuf>,
    /// EdDSA: PKCS#8 PEM; without it the key only checks.
    pub private_key: String,
    pub private_key_file: Option<PathBuf>,
    /// EdDSA: SPKI PEM.
    pub public_key: String,
    pub public_key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://user:password@host:port/database`; encrypted with `?sslmode=verify-full`, see `storage::connect`.
    pub url: String,
    pub url_file: Option<PathBuf>,
    pub pool_size: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardDatabase {
    /// Label in metrics and logs.
    pub name: String,
    pub url: String,
    pub url_file: Option<PathBuf>,
    pub pool_size: usize,
    /// Writer lanes of this node on this shard, one connection each.
    pub lanes: usize,
    /// `FIRST-LAST`, inclusive, of 0-1023: what this database holds when its slot table is empty.
    pub slots: String,
    /// A standby confirms every commit: then a new timeline loses nothing.
    pub is_synchronous: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// `redis://host:port/db`, encrypted `rediss://`; several addresses are the seeds of a Redis Cluster.
    pub urls: Vec<String>,
    pub url_file: Option<PathBuf>,
    pub key_prefix: String,
    /// With `rediss`: PEM of who may have signed the server's certificate; empty: those whom this machine trusts.
    pub ca: String,
    pub ca_file: Option<PathBuf>,
    /// PEM of the certificate that this node shows, where the server asks for one, and its key.
    pub certificate: String,
    pub certificate_file: Option<PathBuf>,
    pub private_key: String,
    pub private_key_file: Option<PathBuf>,
}

/// What happens, for programs outside: the same on all nodes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Each by its name, which is in that of its stream in Redis.
    pub subscriptions: BTreeMap<String, EventSubscription>,
    /// Rows of each database's outbox, about: those that wait for Redis and those that were published within the hour. Past it the
    /// oldest go, and are counted.
    pub outbox_rows_max: u32,
}

/// What one program, or several of one kind, wants to know of.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventSubscription {
    /// Patterns, as `domain::topic` has them.
    pub topics: Vec<String>,
    /// Entries that its stream keeps, about; the oldest go first, read or not.
    pub entries_max: u32,
    /// Bytes of Redis's memory that its stream takes, about; the same.
    pub bytes_max: u64,
}

/// Limits of one node, each with its unit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open client sockets, all kinds.
    pub connections_max: usize,
    /// Open client sockets per address; loopback is not capped in development.
    pub connections_per_address_max: usize,
    /// Seconds that an HTTP connection may rest between two requests: longer than a load balancer keeps it, or requests meet its end.
    pub keep_alive_s: u64,
    /// New sessions that may be in their first queries at once.
    pub admissions_max: usize,
    /// Bytes that may wait for one session before it is closed with 4030.
    pub outgoing_bytes_max: usize,
    /// Sends of one connection that may wait for their commit.
    pub sends_in_flight_max: usize,
    /// Requests that may wait in one lane.
    pub lane_queue_max: usize,
    /// Password hashes computed at once.
    pub password_hashes_max: usize,
    /// Members of all groups whose member sets are kept in memory.
    pub cached_members_max: usize,
    /// Conversations whose gate is kept.
    pub gates_max: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: String,
    /// As `tracing_subscriber::EnvFilter` reads it.
    pub filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_id: String::new(),
            listen: "0.0.0.0:8080".to_owned(),
            internal_listen: "0.0.0.0:9080".to_owned(),
            public_url: String::new(),
            invite_url: String::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            drain_s: 30,
            auth: Auth::default(),
            directory: Database::default(),
            shards: Vec::new(),
            redis: Redis::default(),
            events: Events::default(),
            limits: Limits::default(),
            log: Log::default(),
            settings: toml::Table::new(),
            crash_point: None,
            is_development: false,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            issuer: "herald".to_owned(),
            audience: "herald".to_owned(),
            signing_kid: String::new(),
            keys: Vec::new(),
            access_token_s: 900,
            refresh_token_s: 30 * 24 * 3600,
            issuers: BTreeMap::new(),
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { url: String::new(), url_file: None, pool_size: 16 }
    }
}

impl Default for ShardDatabase {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            url_file: None,
            pool_size: 16,
            lanes: 1,
            slots: String::new(),
            is_synchronous: false,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            urls: vec!["redis://127.0.0.1:6379".to_owned()],
            url_file: None,
            key_prefix: "herald:".to_owned(),
            ca: String::new(),
            ca_file: None,
            certificate: String::new(),
            certificate_file: None,
            private_key: String::new(),
            private_key_file: None,
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { subscriptions: BTreeMap::new(), outbox_rows_max: 1_000_000 }
    }
}

impl Default for EventSubscription {
    fn default() -> Self {
        Self { topics: Vec::new(), entries_max: 100_000, bytes_max: 64 << 20 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 200_000,
            connections_per_address_max: 1_000,
            keep_alive_s: 75,
            admissions_max: 64,
            outgoing_bytes_max: 1 << 20,
            sends_in_flight_max: 256,
            lane_queue_max: 8_192,
            password_hashes_max: 2,
            cached_members_max: 2_000_000,
            gates_max: 1_000_000,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: "text".to_owned(), filter: "info".to_owned() }
    }
}
