//! A node's life on one page: what is made, in which order, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ::metrics::gauge;
use arc_swap::ArcSwap;
use herald_router::{Event, Router, RouterConfig};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tracing::info;

use crate::app::App;
use crate::auth::issuers::{IssuerError, Issuers};
use crate::auth::keys::{KeyError, Keys};
use crate::auth::password::Passwords;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::NodeId;
use crate::domain::settings::Settings;
use crate::http;
use crate::http::server::serve;
use crate::hub::Hub;
use crate::inbox;
use crate::memory::away::Away;
use crate::memory::burials::Burials;
use crate::memory::foreign_users::ForeignUsers;
use crate::memory::gates::Gates;
use crate::memory::health::HealthMemory;
use crate::memory::known_conversations::KnownConversations;
use crate::memory::limits::Limits;
use crate::memory::login_failures::Failures;
use crate::memory::members::Members;
use crate::memory::pairs::PairMemory;
use crate::memory::presence::Presence;
use crate::memory::rates::Rates;
use crate::memory::search_notes::SearchNotes;
use crate::memory::sessions::Sessions;
use crate::memory::standing::Standing;
use crate::memory::subscriptions::Subscriptions;
use crate::memory::told_broadcasts::ToldBroadcasts;
use crate::memory::unread::UnreadCounts;
use crate::memory::used_tokens::UsedTokens;
use crate::metrics;
use crate::service::accounts::{follow_key_sets, spread_used_tokens};
use crate::service::admin::report_node;
use crate::service::delivery::deliver::start_delivery;
use crate::service::events::measure_topics::measure_topics;
use crate::service::events::{consume_topics, relay_topics};
use crate::service::feed::follow_changes;
use crate::service::messages::index_messages;
use crate::service::operations::measure_queues::measure_queues;
use crate::service::operations::sweep::start_sweeps;
use crate::service::presence::announce_presence;
use crate::service::recovery::await_database;
use crate::service::sessions::drain::drain;
use crate::service::sessions::watch_sessions;
use crate::storage::shard::lane::Commit;
use crate::storage::shard::open::Providers;
use crate::storage::{Database, Directory, migrate, shard};
use crate::tasks::Tasks;

/// What is left of a node's tasks after the drain has this long.
const TASKS_END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running node.
pub struct Node {
    pub app: Arc<App>,
    /// Where clients connect; the port is known only now if it was given as 0.
    pub address: SocketAddr,
    pub internal_address: SocketAddr,
}

/// Why a node did not start. Databases and Redis that cannot be reached are no reason: it starts, and serves what it can.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("node_id must be 1 to 64 visible ASCII characters, not `{0}`")]
    NodeId(String),
    #[error("settings")]
    Settings(#[from] crate::domain::settings::SettingError),
    #[error(transparent)]
    Schema(#[from] migrate::MigrateError),
    #[error("storage")]
    Storage(#[from] crate::storage::StorageError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Issuers(#[from] IssuerError),
    #[error("trusted_proxies: `{0}` is neither an address nor a network")]
    Proxies(String),
    #[error("router")]
    Router(#[from] herald_router::RouterError),
    #[error("{address} cannot be listened on")]
    Listen { address: String, source: std::io::Error },
}

impl Node {
    /// Starts a node with a configuration that is [`Config::prepare`]d. It answers when clients can connect.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        metrics::install();
        migrate::check(&config).await?;

        let tasks = Tasks::default();
        let settings = Arc::new(ArcSwap::from_pointee(config.initial_settings()?));
        let database = &config.directory;
        let directory = Directory::new(Database::new("directory", &database.url, database.pool_size, &tasks)?);
        let (router, events) = Router::start(router_config(&config)?).await?;
        let subscriptions = Subscriptions::new(&config.events);
        let (shards, commits) =
            shard::open::open(&config, providers(&router, &settings, &subscriptions), &tasks).await?;

        let app = Arc::new(App {
            clock: Clock::default(),
            tasks,
            settings,
            directory,
            shards,
            router,
            hub: Hub::default(),
            sessions: Sessions::new(config.limits.admissions_max),
            away: Away::new(&config.auth),
            rates: Rates::default(),
            limits: Limits::default(),
            gates: Gates::new(config.limits.gates_max),
            members: Members::new(config.limits.cached_members_max),
            unread: UnreadCounts::default(),
            search_notes: SearchNotes::default(),
            presence: Presence::default(),
            changes: Notify::new(),
            burials: Burials::default(),
            known_conversations: KnownConversations::default(),
            pair_memory: PairMemory::default(),
            keys: Keys::from_config(&config.auth)?,
            issuers: Issuers::from_config(&config.auth)?,
            foreign_users: ForeignUsers::default(),
            passwords: Passwords::new(config.limits.password_hashes_max),
            standing: Standing::default(),
            subscriptions,
            used_tokens: UsedTokens::default(),
            login_failures: Failures::default(),
            health: HealthMemory::default(),
            told_broadcasts: ToldBroadcasts::default(),
            draining: AtomicBool::new(false),
            config,
        });
        start_tasks(&app, commits, events).await;

        let (internal, internal_address) = listen(&app.config.internal_listen).await?;
        let (clients, address) = listen(&app.config.listen).await?;
        serve::serve_internal(&app.tasks, internal, http::internal_routes(&app));
        serve::serve_clients(&app, clients, http::client_routes(&app)).map_err(StartError::Proxies)?;
        info!(node = %app.config.node_id, %address, %internal_address, "node is ready");
        Ok(Self { app, address, internal_address })
    }

    /// Leaves the cluster in good order: clients are told to reconnect elsewhere, everything is written, all tasks end.
    pub async fn shutdown(self) {
        info!(node = %self.app.config.node_id, "node is leaving");
        let begun = Instant::now();
        gauge!("herald_draining").set(1.0);
        drain(&self.app).await;
        self.app.tasks.shutdown(TASKS_END_TIMEOUT).await;
        self.app.router.clone().shutdown().await;
        info!(node = %self.app.config.node_id, took_s = begun.elapsed().as_secs_f64(), "node has left");
    }
}

/// All that runs beside the sessions. What delivers comes first, what brings new work last.
async fn start_tasks(app: &Arc<App>, commits: Vec<mpsc::Receiver<Commit>>, events: mpsc::Receiver<Event>) {
    start_delivery(app, commits);
    inbox::start(app, events);
    start_sweeps(app);
    announce_presence::start(app);
    app.tasks.spawn("tell-when-back", await_database::tell_when_back(Arc::clone(app)));
    watch_sessions::start(app);
    index_messages::start(app);
    app.tasks.spawn("metrics-upkeep", metrics::keep_up(app.tasks.clone()));
    app.tasks.spawn("measure-queues", measure_queues(Arc::clone(app)));

    follow_changes::start(app).await;
    spread_used_tokens::start(app);
    follow_key_sets::start(app);
    relay_topics::start(app);
    consume_topics::start(app);
    app.tasks.spawn("measure-topics", measure_topics(Arc::clone(app)));
    app.tasks.spawn("report-node", report_node::report_regularly(Arc::clone(app)));
}

/// What the router is told of Redis.
pub fn router_config(config: &Config) -> Result<RouterConfig, StartError> {
    let node_id = NodeId::parse(&config.node_id).ok_or_else(|| StartError::NodeId(config.node_id.clone()))?;
    let mut router = RouterConfig::new("", node_id);
    router.urls.clone_from(&config.redis.urls);
    router.key_prefix.clone_from(&config.redis.key_prefix);
    router.tls.ca.clone_from(&config.redis.ca);
    router.tls.certificate.clone_from(&config.redis.certificate);
    router.tls.private_key.clone_from(&config.redis.private_key);
    Ok(router)
}

/// What the lanes ask anew for every batch.
fn providers(router: &Router, settings: &Arc<ArcSwap<Settings>>, subscriptions: &Subscriptions) -> Providers {
    let (router, settings, subscriptions) = (router.clone(), Arc::clone(settings), subscriptions.clone());
    Providers {
        boot: Arc::new(move || router.boot()),
        policy: Arc::new(move || settings.load().policy()),
        subscribed: Arc::new(move || subscriptions.of_entries()),
    }
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
