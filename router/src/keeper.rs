//! Keeps this node's lease: connects, renews, notices pauses and losses, and gives the node a new boot where it has to.
//!
//! One task does all of it, in one loop, so that the order of what it says is the order in which it happened.

mod identity;
mod lease_answer;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Pipeline, RedisError, Value};
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::Moment;
use crate::connection::{Connection, is_distrust, timed_out};
use crate::envelope::Outgoing;
use crate::error::RouterError;
use crate::event::{Event, RoutesGoneReason};
use crate::ids::BootId;
use crate::peers::{Lease, ask_leases, read_renewals};
use crate::scripts::call;
use crate::shared::{Assignment, ServerClock, Shared, SharedRef};
use crate::value;
use identity::{check_identity, identify};
use lease_answer::{LeaseAnswer, Standing, read_lease, read_top};

/// Between tries while Redis is away.
const RETRY: Duration = Duration::from_millis(200);
/// An inbox outlives its lease by this, so that an expiry a little early is not taken for a loss.
const INBOX_MARGIN_MS: u64 = 1_000;
/// `users:{boot}` is needed for a while after a death.
pub(crate) const USERS_TTL_MS: u64 = 60 * 60 * 1_000;
/// How often its time to live is prolonged, in renewals.
const USERS_TOUCH_RENEWALS: u64 = 600;

/// How often the servers of a cluster are asked who they are, in renewals.
const CLUSTER_LOOK_RENEWALS: u64 = 2;

/// A new boot waits this long, or half its lease, to be seen by all peers before it is used: each has read the table of leases with it
/// once it has renewed. Otherwise what goes "to all nodes" could pass by sessions that this one has just taken.
const SEEN_PATIENCE: Duration = Duration::from_millis(1_200);
const SEEN_POLL: Duration = Duration::from_millis(50);

struct Links {
    number: u64,
    /// For callers.
    main: Connection,
    /// For renewals, so that they do not queue behind callers' commands.
    lease: Connection,
}

pub(crate) struct Keeper {
    shared: SharedRef,
    links: Option<Links>,
    links_made: u64,
    run_ids: Vec<String>,
    counter: u64,
    renewals: u64,
    has_taken: bool,
    must_take: Option<RoutesGoneReason>,
    /// The boot that is being tried, where a new one is needed.
    next_boot: Option<BootId>,
}

impl Keeper {
    pub(crate) fn new(shared: SharedRef) -> Self {
        Self {
            shared,
            links: None,
            links_made: 0,
            run_ids: Vec::new(),
            counter: 0,
            renewals: 0,
            has_taken: false,
            must_take: None,
            next_boot: None,
        }
    }

    /// The first attempt, whose failure is no error unless Redis is there and cannot be used.
    pub(crate) async fn join(&mut self) -> Result<(), RouterError> {
        match self.step().await {
            Ok(()) => Ok(()),
            Err(error @ (RouterError::EvictionPolicy(_) | RouterError::Version(_) | RouterError::Untrusted(_))) => {
                Err(error)
            }
            Err(error) => {
                tracing::warn!(error = cause(&error), "starting without redis");
                self.links = None;
                self.shared.set_down("not there at the start");
                self.shared.events.tell(Event::Down);
                // Sessions that come before Redis does have no routes.
                self.must_take = Some(RoutesGoneReason::RedisLostData);
                Ok(())
            }
        }
    }

    pub(crate) async fn keep(mut self) {
        let mut due = Instant::now() + self.shared.config.renew();
        let mut has_failed = !self.has_taken;
        loop {
            tokio::select! {
                () = self.shared.shutdown.cancelled() => return,
                // While Redis is away it is tried at a steady pace, whoever finds out once more that it is.
                () = self.shared.broken.notified(), if !has_failed => {}
                () = sleep_until(due) => {}
            }
            due = Instant::now() + self.shared.config.renew();
            let result = self.step().await;
            has_failed = result.is_err();
            if let Err(error) = result {
                self.links = None;
                self.shared.set_down(&cause(&error));
                due = Instant::now() + RETRY;
            }
        }
    }

    /// One renewal, with all that may have to come before it.
    async fn step(&mut self) -> Result<(), RouterError> {
        let now = Moment::now();
        if self.shared.is_paused(now) && self.has_taken {
            tracing::warn!("this node was paused beyond its lease");
            self.shared.set_down("paused");
            self.must_take = Some(RoutesGoneReason::NewBoot);
        }
        self.shared.tick(now);
        if self.links.as_ref().map(|links| links.number) != self.shared.main_number() {
            // A caller found the connection broken.
            self.links = None;
        }
        if self.links.is_none() {
            self.connect().await?;
        }
        if self.has_taken && self.must_take.is_none() {
            self.renew().await?;
        }
        if self.has_taken && self.renewals.is_multiple_of(CLUSTER_LOOK_RENEWALS) {
            self.look_at_cluster().await?;
        }
        if !self.has_taken || self.must_take.is_some() {
            self.take().await?;
        }
        let Some(links) = &self.links else {
            return Err(RouterError::Down);
        };
        self.shared.set_up(links.number, links.main.clone());
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), RouterError> {
        let timeout = self.shared.config.command_timeout();
        let server = &self.shared.server;
        let (main, lease) = tokio::try_join!(server.connect(timeout), server.connect(timeout)).map_err(down)?;
        self.links_made += 1;
        let mut links = Links { number: self.links_made, main, lease };
        let preparing = async {
            let identity = identify(&mut links.lease).await?;
            links.main.load_scripts().await?;
            Ok(identity)
        };
        let identity = within(timeout, preparing).await?;
        check_identity(&identity, self.has_taken)?;
        let has_lost = self.note_run_ids(identity.run_ids);
        self.read_born(&mut links, has_lost).await?;
        self.links = Some(links);
        Ok(())
    }

    /// True if a server of before is no longer there, and what it held in memory with it.
    fn note_run_ids(&mut self, run_ids: Vec<String>) -> bool {
        let has_lost = self.has_taken && !self.run_ids.iter().all(|known| run_ids.contains(known));
        if has_lost {
            tracing::warn!("redis was restarted or replaced");
            self.must_take.get_or_insert(RoutesGoneReason::RedisLostData);
        }
        self.run_ids = run_ids;
        has_lost
    }

    /// A single server's end is seen by its connections. A cluster's client mends them by itself, so the servers are asked who they are.
    async fn look_at_cluster(&mut self) -> Result<(), RouterError> {
        let Some(links) = self.links.as_mut().filter(|links| links.lease.is_cluster()) else { return Ok(()) };
        let identity = within(self.shared.config.command_timeout(), identify(&mut links.lease)).await?;
        if self.note_run_ids(identity.run_ids)
            && let Some(mut links) = self.links.take()
        {
            self.read_born(&mut links, true).await?;
            self.links = Some(links);
        }
        Ok(())
    }

    async fn read_born(&self, links: &mut Links, has_lost: bool) -> Result<(), RouterError> {
        let mut command = call(&self.shared.scripts.born, &self.shared.keys.born());
        command.arg(i32::from(has_lost));
        let answer = within(self.shared.config.command_timeout(), links.lease.run_one(command)).await?;
        if let Value::ServerError(error) = answer {
            return Err(RouterError::Refused(error.into()));
        }
        let born = value::array(&answer).and_then(|items| items.get(1)).and_then(value::unsigned);
        self.shared.born_ms.store(born.ok_or(RouterError::Unexpected("born"))?, Ordering::Release);
        Ok(())
    }

    /// Renews lease and inbox, and sees whether they are still what they were.
    async fn renew(&mut self) -> Result<(), RouterError> {
        let Some(links) = &mut self.links else {
            return Err(RouterError::Down);
        };
        let shared = &self.shared;
        let (config, boot) = (&shared.config, shared.boot());
        let mut pipeline = Pipeline::with_capacity(3);
        let mut lease = call(&shared.scripts.lease_renew, &shared.keys.nodes());
        lease.arg(boot.0.to_string()).arg(config.node_id.as_str()).arg(config.lease_ms).arg(self.counter);
        let mut inbox = call(&shared.scripts.inbox_touch, &shared.keys.inbox(boot));
        inbox.arg(config.lease_ms + INBOX_MARGIN_MS);
        pipeline.add_command(lease).add_command(inbox);
        self.renewals += 1;
        if self.renewals.is_multiple_of(USERS_TOUCH_RENEWALS) {
            pipeline.cmd("PEXPIRE").arg(shared.keys.users(boot)).arg(USERS_TTL_MS);
        }
        let cursor = shared.progress.lock().cursor;
        let sent = Moment::now();
        // The callers' connection is tried beside it: it may be stuck alone.
        let both = async { tokio::try_join!(links.lease.run(&pipeline), links.main.run_one(redis::cmd("PING"))) };
        let (answers, _) = within(config.command_timeout(), both).await?;
        let [lease, inbox, ..] = answers.as_slice() else {
            return Err(RouterError::Unexpected("renewal"));
        };
        let lease = read_lease(lease)?;
        let top = read_top(inbox)?;
        let standing = if sent.ago() > config.lease() {
            // Answered too late to be believed: others may have seen it end meanwhile.
            Standing::Lapsed
        } else if lease.standing == Standing::Stands && top.is_none_or(|top| top < cursor) {
            Standing::Lost
        } else {
            lease.standing
        };
        match standing {
            Standing::Stands => {
                self.counter = lease.counter;
                self.believe(&lease, sent).await;
            }
            Standing::Lapsed => {
                tracing::warn!("the lease ended before it could be renewed");
                self.must_take = Some(RoutesGoneReason::NewBoot);
            }
            Standing::Lost => {
                tracing::warn!("redis has lost this node's lease or inbox");
                self.must_take = Some(RoutesGoneReason::RedisLostData);
                if let Some(mut links) = self.links.take() {
                    self.read_born(&mut links, true).await?;
                    self.links = Some(links);
                }
            }
        }
        Ok(())
    }

    /// Takes a lease and makes an inbox: at the start, after a pause under a new boot id, after a loss of Redis under the same.
    async fn take(&mut self) -> Result<(), RouterError> {
        let reason = self.must_take;
        let Some(links) = &mut self.links else {
            return Err(RouterError::Down);
        };
        let shared = &self.shared;
        let old = shared.boot();
        let is_new_boot = reason == Some(RoutesGoneReason::NewBoot);
        // A try that was not answered may have been applied, so the next one is for the same boot.
        let boot = if is_new_boot { *self.next_boot.get_or_insert_with(BootId::random) } else { old };
        if reason.is_some() {
            shared.set_down("the lease has to be taken anew");
        }
        if reason == Some(RoutesGoneReason::RedisLostData) {
            shared.peers.lock().forget_table(Moment::now());
        }
        let mut lease = call(&shared.scripts.lease_take, &shared.keys.nodes());
        lease.arg(boot.0.to_string()).arg(shared.config.node_id.as_str());
        lease.arg(if is_new_boot { old.0.to_string() } else { String::new() }).arg(self.counter);
        let mut made = Vec::new();
        Outgoing::Made.encode(boot, &mut made);
        let mut inbox = call(&shared.scripts.inbox_make, &shared.keys.inbox(boot));
        inbox.arg(shared.config.lease_ms + INBOX_MARGIN_MS).arg(made);
        let mut pipeline = Pipeline::with_capacity(2);
        // The inbox first: whoever sees the lease may write.
        pipeline.add_command(inbox).add_command(lease);
        let sent = Moment::now();
        let answers = within(shared.config.command_timeout(), links.lease.run(&pipeline)).await?;
        let [inbox, lease] = answers.as_slice() else {
            return Err(RouterError::Unexpected("taking a lease"));
        };
        let start = read_top(inbox)?.ok_or(RouterError::Unexpected("making an inbox"))?;
        let lease = read_lease(lease)?;
        if sent.ago() > shared.config.lease() {
            self.must_take = Some(RoutesGoneReason::NewBoot);
            return Err(RouterError::Down);
        }
        let well_at = shared.last_well();
        // What comes from now on is read after the news that routes are gone.
        shared.assignment.send_replace(None);
        be_seen(shared, links, &lease.table, boot).await?;
        if is_new_boot {
            self.next_boot = None;
            shared.change_boot(boot);
            shared.outbox.renumber(boot);
            shared.metrics.new_boots.increment(1);
        }
        self.counter = lease.counter;
        self.must_take = None;
        self.has_taken = true;
        let number = links.number;
        let main = links.main.clone();
        self.believe(&lease, sent).await;
        if let Some(reason) = reason {
            tracing::warn!(?reason, %boot, "routes are gone");
            self.shared.metrics.routes_gone.increment(1);
            self.shared.set_up(number, main);
            self.shared.events.tell(Event::RoutesGone { reason, well_at });
        }
        self.shared.assign(Assignment { boot, start }, sent);
        Ok(())
    }

    /// A renewal stood: what it said about the others is news.
    async fn believe(&mut self, lease: &LeaseAnswer, sent: Moment) {
        let shared = &self.shared;
        let now = Moment::now();
        shared.last_renewal_ms.store(sent.as_millis(), Ordering::Release);
        *shared.server_clock.lock() = Some(ServerClock { ms: lease.now_ms, at: now });
        let observed = shared.peers.lock().observe(&lease.table, shared.boot(), now);
        for event in observed.events {
            tracing::info!(?event, "peers");
            shared.events.tell(event);
        }
        if let (false, Some(links)) = (observed.outdated.is_empty(), &mut self.links) {
            let mut command = redis::cmd("HDEL");
            command.arg(shared.keys.nodes());
            for boot in &observed.outdated {
                command.arg(boot.0.to_string());
            }
            // Only tidying: whoever renews next would do it.
            let _ = within(shared.config.command_timeout(), links.lease.run_one(command)).await;
        }
    }
}

/// Waits for the next renewal of each peer that is there.
async fn be_seen(shared: &Shared, links: &mut Links, table: &[Lease], own: BootId) -> Result<(), RouterError> {
    let lease = shared.config.lease();
    let is_peer = |peer: &&Lease| peer.boot != own && peer.age <= lease;
    let before: HashMap<BootId, u64> = table.iter().filter(is_peer).map(|peer| (peer.boot, peer.counter)).collect();
    let mut waited: Vec<BootId> = before.keys().copied().collect();
    let deadline = Instant::now() + SEEN_PATIENCE.min(lease / 2);
    while !waited.is_empty() && Instant::now() < deadline {
        sleep(SEEN_POLL).await;
        let asking = links.lease.run_one(ask_leases(&shared.keys, &waited));
        let now = read_renewals(&waited, &within(shared.config.command_timeout(), asking).await?);
        waited.retain(|boot| now.get(boot).is_some_and(|counter| before.get(boot) == Some(counter)));
    }
    if !before.is_empty() {
        // The last of them has renewed in Redis, and is about to read the answer.
        sleep(SEEN_POLL).await;
    }
    Ok(())
}

/// Gives lease and inbox back, so that peers know at once.
pub(crate) async fn leave(shared: &Shared, mut connection: Connection) {
    let boot = shared.boot();
    let mut pipeline = Pipeline::with_capacity(3);
    pipeline.cmd("HDEL").arg(shared.keys.nodes()).arg(boot.0.to_string());
    pipeline.cmd("UNLINK").arg(shared.keys.inbox(boot));
    pipeline.cmd("UNLINK").arg(shared.keys.users(boot));
    if let Err(error) = within(shared.config.command_timeout(), connection.run(&pipeline)).await {
        tracing::warn!(error = %cause(&error), "left without giving the lease back");
    }
}

async fn within<T>(timeout: Duration, running: impl Future<Output = Result<T, RedisError>>) -> Result<T, RouterError> {
    tokio::time::timeout(timeout, running).await.unwrap_or_else(|_| Err(timed_out())).map_err(down)
}

/// For the keeper every failure is the same: Redis cannot be used now. What it was is said in the log.
fn down(error: RedisError) -> RouterError {
    if is_distrust(&error) { RouterError::Untrusted(error) } else { RouterError::Refused(error) }
}

fn cause(error: &RouterError) -> String {
    match error {
        RouterError::Refused(source) | RouterError::Untrusted(source) => source.to_string(),
        other => other.to_string(),
    }
}
