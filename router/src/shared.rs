//! What the router's tasks and its callers share, and the gate that every command of a caller passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Moment;
use crate::config::RouterConfig;
use crate::connection::{Connection, Server, is_away, timed_out};
use crate::error::RouterError;
use crate::event::Event;
use crate::events::EventQueue;
use crate::ids::BootId;
use crate::keys::Keys;
use crate::metrics::RouterMetrics;
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::scripts::Scripts;

/// Own boots that are remembered, so that routes of before a pause are recognised as own.
const OWN_BOOTS_MAX: usize = 16;

/// The id of a stream's entry: ms by the server's clock, and a number within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId {
    pub ms: u64,
    pub number: u64,
}

impl EntryId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (ms, number) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, number: number.parse().ok()? })
    }
}

/// Where the inbox is read, and from where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub boot: BootId,
    pub start: EntryId,
}

/// How far the assigned inbox has been read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub cursor: EntryId,
    /// All that was sent to this node before has been handed to it.
    pub read_through: Moment,
}

/// The server's clock, as last told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerClock {
    pub ms: u64,
    pub at: Moment,
}

pub(crate) struct Shared {
    pub config: RouterConfig,
    pub keys: Keys,
    pub scripts: Scripts,
    pub server: Server,
    pub metrics: RouterMetrics,
    pub events: EventQueue,
    pub outbox: Outbox,
    pub peers: Mutex<Peers>,
    pub progress: Mutex<Progress>,
    pub assignment: watch::Sender<Option<Assignment>>,
    /// Something broke: the keeper should look at once.
    pub broken: Notify,
    pub shutdown: CancellationToken,
    pub server_clock: Mutex<Option<ServerClock>>,
    pub born_ms: AtomicU64,
    /// When the last renewal that stood was sent.
    pub last_renewal_ms: AtomicU64,
    last_tick_ms: AtomicU64,
    is_up: AtomicBool,
    was_down: AtomicBool,
    /// The connection for callers, with a number that tells it from those before. `None` while Redis is away.
    main: RwLock<Option<(u64, Connection)>>,
    /// The present boot first, then those before.
    boots: RwLock<Vec<BootId>>,
}

impl Shared {
    pub(crate) fn new(config: RouterConfig, server: Server, events: EventQueue, boot: BootId, now: Moment) -> Self {
        let progress = Progress { cursor: EntryId::default(), read_through: now };
        Self {
            keys: Keys::new(&config.key_prefix),
            scripts: Scripts::new(),
            server,
            metrics: RouterMetrics::new(),
            events,
            outbox: Outbox::new(boot, config.outbox_bytes_max),
            peers: Mutex::new(Peers::new(config.lease(), now)),
            progress: Mutex::new(progress),
            assignment: watch::Sender::new(None),
            broken: Notify::new(),
            shutdown: CancellationToken::new(),
            server_clock: Mutex::new(None),
            born_ms: AtomicU64::new(0),
            last_renewal_ms: AtomicU64::new(now.as_millis()),
            last_tick_ms: AtomicU64::new(now.as_millis()),
            is_up: AtomicBool::new(false),
            was_down: AtomicBool::new(false),
            main: RwLock::new(None),
            boots: RwLock::new(vec![boot]),
            config,
        }
    }

    pub(crate) fn boot(&self) -> BootId {
        self.boots.read().first().copied().unwrap_or(BootId(uuid::Uuid::nil()))
    }

    pub(crate) fn own_boots(&self) -> Vec<BootId> {
        self.boots.read().clone()
    }

    pub(crate) fn change_boot(&self, boot: BootId) {
        let mut boots = self.boots.write();
        boots.insert(0, boot);
        boots.truncate(OWN_BOOTS_MAX);
    }

    /// Boots whose routes may be dropped: seen to die or leave, and the own ones of before a pause.
    pub(crate) fn gone_boots(&self) -> Vec<BootId> {
        let mut gone = self.peers.lock().gone();
        gone.extend(self.boots.read().iter().skip(1));
        gone
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire) && !self.is_paused(Moment::now())
    }

    /// True if this node has not run for longer than its lease, so that others may have declared it dead.
    pub(crate) fn is_paused(&self, now: Moment) -> bool {
        now.since(Moment::from_millis(self.last_tick_ms.load(Ordering::Acquire))) > self.config.lease()
    }

    pub(crate) fn tick(&self, now: Moment) {
        self.last_tick_ms.store(now.as_millis(), Ordering::Release);
    }

    /// The last moment at which the lease stood and all that had been sent to this node was handed to it.
    pub(crate) fn last_well(&self) -> Moment {
        let renewed = Moment::from_millis(self.last_renewal_ms.load(Ordering::Acquire));
        renewed.min(self.progress.lock().read_through)
    }

    /// The server's time of now, as well as it can be told from here.
    pub(crate) fn server_now_ms(&self) -> Option<u64> {
        let clock = (*self.server_clock.lock())?;
        Some(clock.ms.saturating_add(u64::try_from(clock.at.ago().as_millis()).unwrap_or(0)))
    }

    /// Gives the reader another inbox.
    pub(crate) fn assign(&self, assignment: Assignment, now: Moment) {
        let mut progress = self.progress.lock();
        *progress = Progress { cursor: assignment.start, read_through: now };
        self.assignment.send_replace(Some(assignment));
    }

    /// Changes how far the reader is, if this is still what it reads.
    pub(crate) fn progress_of(&self, assignment: Assignment, change: impl FnOnce(&mut Progress)) -> Option<Progress> {
        let mut progress = self.progress.lock();
        let is_current = *self.assignment.borrow() == Some(assignment);
        is_current.then(|| {
            change(&mut progress);
            *progress
        })
    }

    pub(crate) fn set_up(&self, number: u64, connection: Connection) {
        *self.main.write() = Some((number, connection));
        if !self.is_up.load(Ordering::Acquire) {
            // Before anything is sent: see there.
            self.outbox.greet(self.was_down.swap(false, Ordering::AcqRel));
        }
        if !self.is_up.swap(true, Ordering::AcqRel) {
            tracing::info!(boot = %self.boot(), "redis is up");
            self.metrics.is_up.set(1.0);
            self.events.tell(Event::Up);
        }
    }

    pub(crate) fn set_down(&self, why: &str) {
        *self.main.write() = None;
        self.was_down.store(true, Ordering::Release);
        if self.is_up.swap(false, Ordering::AcqRel) {
            tracing::warn!(why, "redis is down");
            self.metrics.is_up.set(0.0);
            self.peers.lock().be_quiet(Moment::now());
            self.events.tell(Event::Down);
        }
        self.outbox.release_waiting();
    }

    /// The connection that callers use now.
    pub(crate) fn main(&self) -> Result<(u64, Connection), RouterError> {
        if !self.is_up() {
            return Err(RouterError::Down);
        }
        self.main.read().clone().ok_or(RouterError::Down)
    }

    pub(crate) fn main_number(&self) -> Option<u64> {
        self.main.read().as_ref().map(|(number, _)| *number)
    }

    /// A caller met a broken or silent connection: nobody else shall wait for it.
    pub(crate) fn mark_broken(&self, number: u64, error: &RedisError) {
        if self.main_number() == Some(number) {
            self.set_down(&error.to_string());
        }
        self.broken.notify_one();
    }

    /// Runs a caller's commands in one round trip. Any refusal is an error.
    pub(crate) async fn run(&self, pipeline: &Pipeline) -> Result<Vec<Value>, RouterError> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let (number, mut connection) = self.main()?;
        let sent = Instant::now();
        let running = tokio::time::timeout(self.config.command_timeout(), connection.run(pipeline)).await;
        let answers = running.unwrap_or_else(|_| Err(timed_out())).map_err(|error| self.judge(number, error))?;
        self.metrics.round_trip_seconds.record(sent.elapsed());
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                return Err(self.judge(number, RedisError::from(error.clone())));
            }
        }
        Ok(answers)
    }

    pub(crate) async fn run_one(&self, command: Cmd) -> Result<Value, RouterError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command);
        Ok(self.run(&pipeline).await?.into_iter().next().unwrap_or(Value::Nil))
    }

    fn judge(&self, number: u64, error: RedisError) -> RouterError {
        if is_away(&error) {
            self.mark_broken(number, &error);
            RouterError::Down
        } else {
            self.metrics.refused.increment(1);
            RouterError::Refused(error)
        }
    }
}

/// Boots as scripts take them: 16 bytes each, one after another.
pub(crate) fn pack_boots(boots: &[BootId]) -> Vec<u8> {
    boots.iter().flat_map(|boot| *boot.0.as_bytes()).collect()
}

pub(crate) type SharedRef = Arc<Shared>;
