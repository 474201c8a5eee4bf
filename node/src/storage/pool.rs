//! One database as this node uses it for everything but its lanes: a pool of its own with bounds on every wait, and a memory of
//! being away, so that one dead database costs its own callers little and the others nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType};
use tokio::sync::Notify;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::StorageError;
use super::connect::Address;
use crate::tasks::Tasks;

/// Longest wait for a connection of the pool.
const WAIT: Duration = Duration::from_secs(1);
/// Longest wait for a new connection; with [`WAIT`] a dead database is `unavailable` within 2 s.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest statement; the server ends it by itself a little earlier (`statement_timeout`).
const STATEMENT: Duration = Duration::from_secs(2);
/// Pause between two looks at a database that is away.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Of every connection of a pool. `-c` settings travel with the connection's first packet.
const OPTIONS: &str =
    "-c statement_timeout=1900 -c lock_timeout=1500 -c idle_in_transaction_session_timeout=5000 -c jit=off";

/// A statement: its constant (prepared once per connection), or what `prepare_cached` made of it.
#[derive(Clone, Copy, Debug)]
pub enum Sql<'a> {
    Text(&'static str),
    Prepared(&'a Statement),
}

impl From<&'static str> for Sql<'_> {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Statement> for Sql<'a> {
    fn from(statement: &'a Statement) -> Self {
        Self::Prepared(statement)
    }
}

/// What queries take: shared references to values.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One database: its pool, its name in metrics and logs, and whether it is known to be away.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Database").field(&self.inner.name).finish()
    }
}

struct Inner {
    name: String,
    pool: Pool,
    address: Address,
    is_away: AtomicBool,
    probe: Notify,
    statements: AtomicU64,
}

impl Database {
    /// Makes the pool without connecting. A task of `tasks` looks after the database while it is away.
    pub fn new(name: &str, url: &str, pool_size: usize, tasks: &Tasks) -> Result<Self, StorageError> {
        let mut address = parse_url(url)?;
        address.config.options(OPTIONS).application_name("herald");
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.config.clone(), address.tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(pool_size.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .build()
            .map_err(|error| StorageError::Failed(Box::new(error)))?;
        let inner = Inner {
            name: name.to_owned(),
            pool,
            address,
            is_away: AtomicBool::new(false),
            probe: Notify::new(),
            statements: AtomicU64::new(0),
        };
        let database = Self { inner: Arc::new(inner) };
        tasks.spawn("database-probe", database.clone().probe_while_away(tasks.clone()));
        Ok(database)
    }

    /// Label in metrics and logs.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether the last attempt to reach it failed and no later one went well.
    pub fn is_away(&self) -> bool {
        self.inner.is_away.load(Ordering::Acquire)
    }

    /// How many connections are open, and how many callers wait for one.
    pub fn pool_usage(&self) -> (usize, usize) {
        let status = self.inner.pool.status();
        (status.size, status.waiting)
    }

    /// How many statements the pool's connections have been asked, ever.
    pub fn statements(&self) -> u64 {
        self.inner.statements.load(Ordering::Relaxed)
    }

    /// A connection; waits a bounded time, and not at all while the database is known to be away.
    pub async fn client(&self) -> Result<Client, StorageError> {
        if self.is_away() {
            return Err(StorageError::Unavailable(None));
        }
        match self.inner.pool.get().await {
            Ok(object) => Ok(Client { object: Some(object), in_flight: InFlight::default(), database: self.clone() }),
            Err(error) => {
                if matches!(error, PoolError::Backend(_) | PoolError::Timeout(TimeoutType::Create)) {
                    self.note_away();
                }
                Err(error.into())
            }
        }
    }

    /// Answers when the database does: for `/health`.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.client().await?.query_one(CHECK, &[]).await.map(|_| ())
    }

    fn note_away(&self) {
        if !self.inner.is_away.swap(true, Ordering::AcqRel) {
            tracing::warn!(database = self.name(), "database is away");
            metrics::gauge!("herald_database_up", "database" => self.inner.name.clone()).set(0.0);
            self.inner.probe.notify_one();
        }
    }

    async fn probe_while_away(self, tasks: Tasks) {
        loop {
            tokio::select! {
                () = self.inner.probe.notified() => {}
                () = tasks.stopping() => return,
            }
            while self.is_away() {
                tokio::select! {
                    () = tokio::time::sleep(PROBE_INTERVAL) => {}
                    () = tasks.stopping() => return,
                }
                if self.can_connect().await {
                    // Connections made before the database went away may hang for their whole time-out.
                    self.inner.pool.retain(|_, _| false);
                    self.inner.is_away.store(false, Ordering::Release);
                    metrics::gauge!("herald_database_up", "database" => self.inner.name.clone()).set(1.0);
                    tracing::info!(database = self.name(), "database is back");
                }
            }
        }
    }

    /// One connection of its own, one statement.
    async fn can_connect(&self) -> bool {
        let attempt = async {
            let (client, connection) = self.inner.address.connect().await.ok()?;
            let question = async move { client.simple_query(CHECK).await.ok() };
            let (answer, _) = futures_util::join!(question, connection);
            answer
        };
        matches!(tokio::time::timeout(CONNECT, attempt).await, Ok(Some(_)))
    }
}

const CHECK: &str = "select 1";

/// Statements of this file, for the test that prepares them all.
pub const STATEMENTS: &[&str] = &[CHECK];

/// A URL with the settings that every connection has, pooled or a lane's.
pub(super) fn parse_url(url: &str) -> Result<Address, StorageError> {
    let mut address = Address::parse(url)?;
    // Several hosts are tried one after the other: that the first has vanished leaves time for the others.
    let hosts = u32::try_from(address.config.get_hosts().len()).unwrap_or(1);
    let each = if hosts > 1 { CONNECT / (hosts + 1) } else { CONNECT };
    address
        .config
        .connect_timeout(each)
        .tcp_user_timeout(Duration::from_secs(5))
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10));
    Ok(address)
}

/// Statements that were sent and not answered yet. A future that was dropped in between leaves its count up.
#[derive(Debug, Default)]
struct InFlight(AtomicUsize);

impl InFlight {
    fn is_clean(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
    fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
    fn end(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection of the pool. It goes back only when everything asked of it was answered; else it is thrown away, because what
/// runs on it would run into the next caller's time. Statements are constants, prepared once per connection; futures of one
/// client that are polled together travel in one round trip.
#[derive(Debug)]
pub struct Client {
    object: Option<Object>,
    in_flight: InFlight,
    database: Database,
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.in_flight.is_clean()
        {
            drop(Object::take(object));
        }
    }
}

macro_rules! statement_methods {
    () => {
        /// Prepares a statement, once per connection. Only where several futures are to travel in one round trip: the others
        /// take the constant itself.
        pub async fn prepare_cached(&self, sql: &'static str) -> Result<Statement, StorageError> {
            let connection = self.connection()?;
            bounded(self.database(), self.in_flight(), connection.prepare_cached(sql)).await
        }

        /// All rows.
        pub async fn query<'s>(
            &self,
            sql: impl Into<Sql<'s>> + Send,
            params: Params<'_>,
        ) -> Result<Vec<Row>, StorageError> {
            let connection = self.connection()?;
            let sql = sql.into();
            bounded(self.database(), self.in_flight(), async {
                match sql {
                    Sql::Prepared(statement) => connection.query(statement, params).await,
                    Sql::Text(text) => connection.query(&connection.prepare_cached(text).await?, params).await,
                }
            })
            .await
        }

        /// The first row, if there is one.
        pub async fn query_opt<'s>(
            &self,
            sql: impl Into<Sql<'s>> + Send,
            params: Params<'_>,
        ) -> Result<Option<Row>, StorageError> {
            Ok(self.query(sql, params).await?.into_iter().next())
        }

        /// The first row of a statement that always has one.
        pub async fn query_one<'s>(
            &self,
            sql: impl Into<Sql<'s>> + Send,
            params: Params<'_>,
        ) -> Result<Row, StorageError> {
            let row = self.query_opt(sql, params).await?;
            row.ok_or_else(|| StorageError::Failed("a statement that always has a row had none".into()))
        }

        /// The number of rows changed.
        pub async fn execute<'s>(
            &self,
            sql: impl Into<Sql<'s>> + Send,
            params: Params<'_>,
        ) -> Result<u64, StorageError> {
            let connection = self.connection()?;
            let sql = sql.into();
            bounded(self.database(), self.in_flight(), async {
                match sql {
                    Sql::Prepared(statement) => connection.execute(statement, params).await,
                    Sql::Text(text) => connection.execute(&connection.prepare_cached(text).await?, params).await,
                }
            })
            .await
        }
    };
}

impl Client {
    statement_methods!();

    /// Begins a transaction. Dropped without `commit` it is rolled back, and the connection thrown away.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, StorageError> {
        let Self { object, in_flight, database } = self;
        let connection = object.as_mut().ok_or(StorageError::Unavailable(None))?;
        // Counted from here to the end of `commit`.
        in_flight.begin();
        let inner = bounded(database, in_flight, connection.transaction()).await?;
        Ok(Transaction { inner, in_flight, database })
    }

    fn connection(&self) -> Result<&Object, StorageError> {
        self.object.as_ref().ok_or(StorageError::Unavailable(None))
    }
    const fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }
    const fn database(&self) -> &Database {
        &self.database
    }
}

/// A transaction on a pooled connection.
pub struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    in_flight: &'a InFlight,
    database: &'a Database,
}

impl<'a> Transaction<'a> {
    statement_methods!();

    /// An error here that is `Unavailable` says that the outcome is unknown.
    pub async fn commit(self) -> Result<(), StorageError> {
        bounded(self.database, self.in_flight, self.inner.commit()).await?;
        self.in_flight.end();
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape that the shared methods call")]
    fn connection(&self) -> Result<&deadpool_postgres::Transaction<'a>, StorageError> {
        Ok(&self.inner)
    }
    const fn in_flight(&self) -> &InFlight {
        self.in_flight
    }
    const fn database(&self) -> &Database {
        self.database
    }
}

/// Runs one statement within its time. On a time-out, and when the future is dropped, `in_flight` stays up.
async fn bounded<T>(
    database: &Database,
    in_flight: &InFlight,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StorageError> {
    in_flight.begin();
    database.inner.statements.fetch_add(1, Ordering::Relaxed);
    let begun = Instant::now();
    let Ok(result) = tokio::time::timeout(STATEMENT, statement).await else {
        // The server ends a long statement by itself, so it is the server that does not answer.
        database.note_away();
        return Err(StorageError::Unavailable(None));
    };
    in_flight.end();
    metrics::histogram!("herald_database_query_seconds", "database" => database.inner.name.clone())
        .record(begun.elapsed().as_secs_f64());
    result.map_err(|error| {
        let error = StorageError::from(error);
        if matches!(error, StorageError::Unavailable(_)) {
            // The connection is of no more use to anyone.
            in_flight.begin();
        }
        error
    })
}
