//! Many connections that only stay: what each costs in memory and, held, in CPU.

use super::opened::{add_reasons, count_reason, opening_of};
use crate::accounting::{
    CpuUse, KernelMemory, MemoryUse, cpu_between, memory_between, take_account, take_kernel_memory, with_generator,
};
use crate::cli::{Cli, IdleArgs};
use crate::clock::{Clock, SECOND_NS};
use crate::cluster::{Cluster, Role};
use crate::latency::{Latency, LatencySummary};
use crate::limits::{Limits, probe};
use crate::net::{Clients, Happening, Login, Opening};
use crate::numbers::{count, float, ratio};
use crate::report::Report;
use crate::users::{find_users, invent_users};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[derive(Serialize)]
pub struct IdleReport {
    pub connections: u64,
    pub limits: Limits,
    pub opening_s: f64,
    pub connects_per_s: f64,
    pub opening: LatencySummary,
    pub cpu_opening: Vec<CpuUse>,
    pub hold_s: f64,
    pub cpu_holding: Vec<CpuUse>,
    pub memory: Vec<MemoryUse>,
    /// Growth of all nodes together for each connection.
    pub node_kib_per_connection: f64,
    pub kernel_before: KernelMemory,
    pub kernel_after: KernelMemory,
    /// Both ends of each connection are on this machine; this is the half of one end.
    pub kernel_kib_per_end: f64,
    pub downs: BTreeMap<String, u64>,
    pub not_opened: u64,
    pub lost_while_held: u64,
}

#[derive(Default)]
struct Progress {
    live: AtomicU64,
    gone: AtomicU64,
    is_stopped: AtomicBool,
}

/// An opening that has brought nobody for so long will bring nobody more.
const STALLED_NS: u64 = 30 * SECOND_NS;
const POLL: Duration = Duration::from_millis(20);

pub fn idle(cli: &Cli, cluster: &Cluster, args: &IdleArgs) -> Result<Report, String> {
    crate::raise_file_limit(args.connections + 1_000);
    let per_user = args.per_user.max(1);
    let wanted = args.connections.div_ceil(per_user);
    let users = if args.phantom_users {
        invent_users(cluster, &cli.users, wanted)?
    } else {
        find_users(cluster, &cli.users, wanted)?
    };
    let limits = probe(cluster);
    let opening = opening_of(cli, cluster, cli.target.open_parallel, false);
    let processes = with_generator(&cluster.processes);
    let logins: Vec<Arc<Login>> =
        users.iter().flat_map(|user| vec![user.clone(); per_user]).take(args.connections).collect();
    let threads = cli.target.threads.max(1);
    let clock = Clock::start();
    let progress = Progress::default();
    let kernel_before = take_kernel_memory();
    let empty = take_account(&processes);
    let (results, seen) = std::thread::scope(|scope| {
        let workers: Vec<_> = logins
            .chunks(logins.len().div_ceil(threads).max(1))
            .map(|part| {
                let (opening, progress) = (&opening, &progress);
                scope.spawn(move || hold(part, opening, clock, progress))
            })
            .collect();
        let opened_ns = wait_for_opening(count(logins.len()), clock, &progress);
        let full = take_account(&processes);
        let live = progress.live.load(Ordering::Relaxed);
        let gone_before = progress.gone.load(Ordering::Relaxed);
        eprintln!("{live} connections after {:.1} s, held for {} s", float(opened_ns) / 1e9, args.hold_s);
        clock.sleep_until(clock.now_ns() + args.hold_s * SECOND_NS);
        let held = take_account(&processes);
        let kernel_after = take_kernel_memory();
        let lost = progress.gone.load(Ordering::Relaxed) - gone_before;
        progress.is_stopped.store(true, Ordering::Relaxed);
        let results: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a thread of the generator panicked".into())))
            .collect();
        (results, (opened_ns, full, held, kernel_after, live, lost))
    });
    let (opened_ns, full, held, kernel_after, live, lost_while_held) = seen;
    let mut latency = Latency::new()?;
    let mut downs = BTreeMap::new();
    for result in results {
        let (part, reasons) = result?;
        latency.add(&part);
        add_reasons(&mut downs, reasons);
    }
    let memory = memory_between(&empty, &held);
    let node_growth: f64 = memory
        .iter()
        .filter(|one| one.role == Some(Role::Node))
        .map(|one| float(one.after_kib) - float(one.before_kib))
        .sum();
    let opening_s = float(opened_ns) / 1e9;
    let hold_s = float(args.hold_s);
    Ok(Report::Idle(Box::new(IdleReport {
        connections: live,
        limits,
        opening_s,
        connects_per_s: ratio(float(live), opening_s),
        opening: latency.summary(),
        cpu_opening: cpu_between(&empty, &full, opening_s, live),
        hold_s,
        cpu_holding: cpu_between(&full, &held, hold_s, live),
        memory,
        node_kib_per_connection: ratio(node_growth, float(live)),
        kernel_before,
        kernel_after,
        kernel_kib_per_end: ratio(kernel_growth_kib(kernel_before, kernel_after), 2.0 * float(live)),
        downs,
        not_opened: count(logins.len()).saturating_sub(live),
        lost_while_held,
    })))
}

fn kernel_growth_kib(before: KernelMemory, after: KernelMemory) -> f64 {
    float(after.tcp_buffers_kib + after.slab_kib) - float(before.tcp_buffers_kib + before.slab_kib)
}

/// Waits until all are live, or nobody has come for a while; gives the time of the last.
fn wait_for_opening(wanted: u64, clock: Clock, progress: &Progress) -> u64 {
    let mut last = (0, clock.now_ns());
    loop {
        std::thread::sleep(POLL);
        let live = progress.live.load(Ordering::Relaxed);
        if live > last.0 {
            last = (live, clock.now_ns());
        }
        if live >= wanted || clock.now_ns() - last.1 > STALLED_NS {
            return last.1;
        }
    }
}

/// One thread: opens its clients and keeps them alive until told to stop.
fn hold(
    logins: &[Arc<Login>],
    opening: &Arc<Opening>,
    clock: Clock,
    progress: &Progress,
) -> Result<(Latency, BTreeMap<String, u64>), String> {
    let mut clients = Clients::new(clock, opening.clone())?;
    for (login, node) in logins.iter().zip((0..opening.nodes.len()).cycle()) {
        let client = clients.add(login.clone(), node);
        clients.open(client);
    }
    let mut latency = Latency::new()?;
    let mut downs = BTreeMap::new();
    while !progress.is_stopped.load(Ordering::Relaxed) {
        clients.turn(SECOND_NS, &mut |_, happening| match happening {
            Happening::Live { took_ns, .. } => {
                latency.record(took_ns);
                progress.live.fetch_add(1, Ordering::Relaxed);
            }
            Happening::Down { reason, .. } => {
                count_reason(&mut downs, reason);
                progress.gone.fetch_add(1, Ordering::Relaxed);
            }
            Happening::Text { .. } => {}
        })?;
    }
    Ok((latency, downs))
}
