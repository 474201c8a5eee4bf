//! Connections to one Redis server or to a Redis Cluster, and running commands on them.

use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, Pipeline,
    ProtocolVersion, RedisError, ServerError, ServerErrorKind, TlsCertificates, Value,
};

use crate::config::RouterConfig;
use crate::error::RouterError;
use crate::scripts::Scripts;

/// Unacknowledged bytes end a connection after this long, so that a vanished server is noticed by the kernel too.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Many tasks share a connection; the default of 50 would make them wait for each other.
const PIPELINE_COMMANDS_MAX: usize = 1_024;

/// Where connections are made to.
pub(crate) enum Server {
    Single(Box<Client>),
    Cluster(Box<ClusterSeeds>),
}

pub(crate) struct ClusterSeeds {
    quick: ClusterClient,
    /// For reads that block: a response may take as long as they do.
    blocking: ClusterClient,
}

#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Server {
    pub(crate) fn new(config: &RouterConfig, block: Duration) -> Result<Self, RouterError> {
        let infos = config
            .urls
            .iter()
            .map(|url| connection_info(url).map_err(RouterError::Address))
            .collect::<Result<Vec<_>, _>>()?;
        let certificates = certificates(config);
        if infos.len() == 1 {
            let info = infos.into_iter().next().ok_or(RouterError::Config("no address of redis"))?;
            let client = match &certificates {
                Some(certificates) => Client::build_with_tls(info, certificates.clone()),
                None => Client::open(info),
            };
            return Ok(Self::Single(Box::new(client.map_err(RouterError::Address)?)));
        }
        let build = |response: Duration| {
            let mut builder = ClusterClient::builder(infos.clone());
            if let Some(certificates) = certificates.clone() {
                builder = builder.certs(certificates);
            }
            builder
                .use_protocol(ProtocolVersion::RESP3)
                .connection_timeout(config.command_timeout())
                .response_timeout(response)
                .overall_response_timeout(Some(response))
                .retries(3)
                .min_retry_wait(20)
                .max_retry_wait(200)
                .tcp_settings(tcp_settings())
                .build()
                .map_err(RouterError::Address)
        };
        Ok(Self::Cluster(Box::new(ClusterSeeds {
            quick: build(config.command_timeout())?,
            blocking: build(block + config.command_timeout())?,
        })))
    }

    /// A connection for commands that answer at once.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<Connection, RedisError> {
        self.open(timeout, Some(timeout), |seeds| &seeds.quick).await
    }

    /// A connection of one's own, for reads that block. Their caller bounds the wait.
    pub(crate) async fn connect_blocking(&self, timeout: Duration) -> Result<Connection, RedisError> {
        self.open(timeout, None, |seeds| &seeds.blocking).await
    }

    async fn open(
        &self,
        timeout: Duration,
        response: Option<Duration>,
        pick: impl Fn(&ClusterSeeds) -> &ClusterClient + Send,
    ) -> Result<Connection, RedisError> {
        let connecting = async {
            match self {
                Self::Single(client) => {
                    let config = AsyncConnectionConfig::new()
                        .set_connection_timeout(Some(timeout))
                        .set_response_timeout(response)
                        .set_pipeline_buffer_size(PIPELINE_COMMANDS_MAX);
                    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                    Ok(Connection::Single(connection))
                }
                Self::Cluster(seeds) => Ok(Connection::Cluster(pick(seeds).get_async_connection().await?)),
            }
        };
        tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| Err(timed_out()))
    }
}

impl Connection {
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Runs commands of any keys in one round trip (per server), and answers each, with `Value::ServerError` where it was refused.
    /// Scripts that the server has forgotten are given to it again.
    pub(crate) async fn run(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let mut answers = self.send(pipeline).await?;
        let unknown: Vec<usize> = answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| is_unknown_script(answer))
            .map(|(index, _)| index)
            .collect();
        if unknown.is_empty() {
            return Ok(answers);
        }
        self.load_scripts().await?;
        let commands: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let mut again = Pipeline::new();
        for index in &unknown {
            if let Some(command) = commands.get(*index) {
                again.add_command((*command).clone());
            }
        }
        for (index, answer) in unknown.into_iter().zip(self.send(&again).await?) {
            if let Some(slot) = answers.get_mut(index) {
                *slot = answer;
            }
        }
        Ok(answers)
    }

    /// Runs one command.
    pub(crate) async fn run_one(&mut self, command: Cmd) -> Result<Value, RedisError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command);
        self.run(&pipeline).await.map(|answers| answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Runs commands of one key, in their order.
    pub(crate) async fn run_in_order(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, 0, pipeline.len()).await,
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, 0, pipeline.len()).await,
        }
    }

    pub(crate) async fn load_scripts(&mut self) -> Result<(), RedisError> {
        for command in Scripts::load() {
            match self {
                Self::Single(connection) => command.query_async::<Value>(connection).await?,
                Self::Cluster(connection) => command.query_async::<Value>(connection).await?,
            };
        }
        Ok(())
    }

    async fn send(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, 0, pipeline.len()).await,
            Self::Cluster(connection) => {
                let answers = join_all(pipeline.cmd_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { connection.req_packed_command(command).await }
                }))
                .await;
                answers.into_iter().map(keep_server_error).collect()
            }
        }
    }
}

/// A cluster connection gives as an error what a single server's pipeline gives as an answer.
fn keep_server_error(answer: Result<Value, RedisError>) -> Result<Value, RedisError> {
    match answer {
        Err(error) if is_away(&error) => Err(error),
        Err(error) => ServerError::try_from(error).map(Value::ServerError),
        answered => answered,
    }
}

fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

pub(crate) fn timed_out() -> RedisError {
    RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))
}

/// True where another connection, or waiting, may help: the server is gone, stuck, still loading, or no longer the primary.
pub(crate) fn is_away(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound
                | ErrorKind::Parse
                | ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                        | ServerErrorKind::ClusterDown
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::ReadOnly
                        | ServerErrorKind::TryAgain
                )
        )
}

/// Of encrypted connections; `None` where there are none.
fn certificates(config: &RouterConfig) -> Option<TlsCertificates> {
    config.urls.iter().find(|url| url.starts_with("rediss://"))?;
    // The driver takes the process's provider, and there may be none, or two to choose from. Set before: then that one is taken.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let bytes = |pem: &String| (!pem.is_empty()).then(|| pem.clone().into_bytes());
    let tls = &config.tls;
    let client_tls = bytes(&tls.certificate)
        .zip(bytes(&tls.private_key))
        .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    Some(TlsCertificates { client_tls, root_cert: bytes(&tls.ca) })
}

/// What the driver keeps of errors that are not its own.
type SharedError = std::sync::Arc<dyn std::error::Error + Send + Sync>;

/// Whether the server's certificate was refused.
pub(crate) fn is_distrust(error: &RedisError) -> bool {
    let shared = std::error::Error::source(error).and_then(|source| source.downcast_ref::<SharedError>());
    let handshake = shared.and_then(|error| error.downcast_ref::<std::io::Error>());
    let refused = handshake.and_then(std::io::Error::get_ref).and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(refused, Some(rustls::Error::InvalidCertificate(_)))
}

fn connection_info(url: &str) -> Result<ConnectionInfo, RedisError> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_user_timeout(TCP_USER_TIMEOUT)
}
