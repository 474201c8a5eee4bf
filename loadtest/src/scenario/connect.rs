//! Connect, authenticate, close, again: how many a second, and what each costs.

use super::opened::{add_reasons, count_reason, opening_of};
use crate::accounting::{CpuUse, cpu_between, take_account, with_generator};
use crate::cli::{Cli, ConnectArgs};
use crate::clock::{Clock, SECOND_NS};
use crate::cluster::Cluster;
use crate::latency::{Latency, LatencySummary};
use crate::limits::{Limits, probe};
use crate::net::{ClientId, Clients, Happening, Login, Opening};
use crate::numbers::{count, float, ratio};
use crate::report::Report;
use crate::users::{find_users, invent_users, pick};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Serialize)]
pub struct ConnectReport {
    pub connects: u64,
    pub parallel: u64,
    pub limits: Limits,
    pub seconds: f64,
    pub connects_per_s: f64,
    pub latency: LatencySummary,
    pub cpu: Vec<CpuUse>,
    /// Connects for each second of CPU of the nodes.
    pub connects_per_node_core_s: f64,
    pub failed: u64,
    pub downs: BTreeMap<String, u64>,
}

/// One thread's part.
struct Part {
    latency: Latency,
    downs: BTreeMap<String, u64>,
    connected: u64,
    failed: u64,
}

/// Failures beyond this end the run: it would only go on failing.
const FAILURES_MAX: u64 = 1_000;

pub fn connect(cli: &Cli, cluster: &Cluster, args: &ConnectArgs) -> Result<Report, String> {
    crate::raise_file_limit(args.parallel + 1_000);
    let users = if args.phantom_users {
        invent_users(cluster, &cli.users, args.users)?
    } else {
        find_users(cluster, &cli.users, args.users)?
    };
    let limits = probe(cluster);
    let threads = cli.target.threads.max(1);
    let parallel = args.parallel.max(threads);
    let opening = opening_of(cli, cluster, parallel, false);
    let processes = with_generator(&cluster.processes);
    let clock = Clock::start();
    let started = AtomicU64::new(0);
    let before = take_account(&processes);
    let begun_ns = clock.now_ns();
    let parts: Vec<Result<Part, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (opening, users, started) = (&opening, users.as_slice(), &started);
                let seats = parallel / threads;
                scope.spawn(move || storm(users, seats, args.connects, opening, clock, started))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a thread of the generator panicked".into())))
            .collect()
    });
    let seconds = float(clock.now_ns() - begun_ns) / 1e9;
    let after = take_account(&processes);
    let mut latency = Latency::new()?;
    let mut downs = BTreeMap::new();
    let (mut connects, mut failed) = (0, 0);
    for part in parts {
        let part = part?;
        latency.add(&part.latency);
        add_reasons(&mut downs, part.downs);
        connects += part.connected;
        failed += part.failed;
    }
    let cpu = cpu_between(&before, &after, seconds, connects);
    let node_s = crate::report::node_seconds(&cpu);
    Ok(Report::Connect(Box::new(ConnectReport {
        connects,
        parallel: count(parallel),
        limits,
        seconds,
        connects_per_s: ratio(float(connects), seconds),
        latency: latency.summary(),
        connects_per_node_core_s: ratio(float(connects), node_s),
        cpu,
        failed,
        downs,
    })))
}

/// One thread: keeps its seats busy until so many connects were begun in all.
fn storm(
    users: &[Arc<Login>],
    seats: usize,
    wanted: u64,
    opening: &Arc<Opening>,
    clock: Clock,
    started: &AtomicU64,
) -> Result<Part, String> {
    let mut clients = Clients::new(clock, opening.clone())?;
    let mut part = Part { latency: Latency::new()?, downs: BTreeMap::new(), connected: 0, failed: 0 };
    let mut open = 0_u64;
    let first = users.first().ok_or("no users")?;
    for node in (0..opening.nodes.len()).cycle().take(seats) {
        let client = clients.add(first.clone(), node);
        open += u64::from(begin(&mut clients, client, users, wanted, started));
    }
    let mut succeeded = vec![false; seats];
    while open > 0 {
        clients.turn(SECOND_NS, &mut |clients, happening| match happening {
            Happening::Live { client, took_ns } => {
                part.latency.record(took_ns);
                part.connected += 1;
                if let Some(seat) = succeeded.get_mut(client) {
                    *seat = true;
                }
                clients.close(client);
            }
            Happening::Down { client, reason } => {
                let was_live = succeeded.get_mut(client).is_some_and(std::mem::take);
                part.failed += u64::from(!was_live);
                count_reason(&mut part.downs, reason);
                if part.failed > FAILURES_MAX || !begin(clients, client, users, wanted, started) {
                    open -= 1;
                }
            }
            Happening::Text { .. } => {}
        })?;
    }
    Ok(part)
}

/// Opens a seat's next connection, as the user whose turn it is; false when all are begun.
fn begin(clients: &mut Clients, client: ClientId, users: &[Arc<Login>], wanted: u64, started: &AtomicU64) -> bool {
    let number = started.fetch_add(1, Ordering::Relaxed);
    let Some(login) = pick(users, number) else {
        return false;
    };
    if number >= wanted {
        return false;
    }
    clients.set_login(client, login);
    clients.open(client);
    true
}
