//! A node is killed, and all of its clients come to the others at once, while others go on writing there.

use super::opened::{count_reason, opening_of};
use crate::accounting::{MemoryPeak, peak_kib};
use crate::cli::{Arrivals, Cli, Rate, SendingArgs, StormArgs};
use crate::clock::{Clock, Dice, MILLISECOND_NS, SECOND_NS};
use crate::cluster::{Cluster, ProcessName, Role};
use crate::latency::{Latency, LatencySummary};
use crate::limits::{Limits, probe};
use crate::messaging::{ConversationPlan, MemberPlan, Outcome, Plan, run};
use crate::net::{ClientId, Clients, Happening, Login, Opening};
use crate::numbers::{count, float, ratio};
use crate::report::Report;
use crate::template::Destination;
use crate::users::{find_users, invent_users};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the storm found.
#[derive(Serialize)]
pub struct StormReport {
    pub connections: u64,
    pub limits: Limits,
    /// Of those, how many were live again at the end.
    pub back: u64,
    /// From the kill until each was live again.
    pub away: LatencySummary,
    pub away_max_s: f64,
    pub back_per_s: f64,
    /// Why attempts failed meanwhile.
    pub refused: BTreeMap<String, u64>,
    /// Were live again and were lost after all.
    pub lost_again: u64,
    /// Resident memory of the surviving nodes at their highest.
    pub memory: Vec<MemoryPeak>,
    pub kib_per_connection: f64,
    /// Of those who were connected to the surviving node all the time.
    pub established: Outcome,
    pub is_right: bool,
}

/// Between the pairs' start and the kill.
const CALM: Duration = Duration::from_secs(4);
/// Of it, not measured.
const WARMUP_S: u64 = 2;
/// Full jitter between attempts, doubling from the first number to the second.
const BACKOFF_NS: (u64, u64) = (1_000 * MILLISECOND_NS, 16_000 * MILLISECOND_NS);
/// What a refusal before the upgrade asks for by `Retry-After`.
const RETRY_AFTER_NS: u64 = SECOND_NS;
const POLL: Duration = Duration::from_millis(20);
/// An opening that has brought nobody for so long will bring nobody more.
const STALLED_NS: u64 = 30 * SECOND_NS;

/// What the threads tell each other.
#[derive(Default)]
struct Progress {
    live: AtomicU64,
    /// 0: not yet.
    killed_ns: AtomicU64,
    back: AtomicU64,
    is_stopped: AtomicBool,
}

pub fn storm(cli: &Cli, cluster: &Cluster, args: &StormArgs) -> Result<Report, String> {
    crate::raise_file_limit(args.connections + 2 * args.pairs + 1_000);
    let nodes: Vec<&ProcessName> = cluster.processes.iter().filter(|process| process.role == Role::Node).collect();
    let [victim, survivors @ ..] = nodes.as_slice() else { return Err("no node's process is known".into()) };
    if survivors.is_empty() || nodes.len() != cluster.nodes.len() {
        return Err("two nodes at least, with their processes, are needed: one is killed".into());
    }
    let logins = if args.phantom_users {
        invent_users(cluster, &cli.users, args.connections)?
    } else {
        find_users(cluster, &cli.users, args.connections + 2 * args.pairs)?.split_off(2 * args.pairs)
    };
    let plan = &plan_of(cli, cluster, args)?;
    let limits = probe(cluster);
    let opening = opening_of(cli, cluster, cli.target.open_parallel, false);
    let clock = Clock::start();
    let progress = Progress::default();
    let (swarm, established, before, after) = std::thread::scope(|scope| {
        let swarming = {
            let (opening, logins, progress) = (&opening, &logins, &progress);
            scope.spawn(move || swarm(logins, opening, clock, progress))
        };
        wait_for_opening(count(logins.len()), clock, &progress);
        eprintln!("{} connections to {}", progress.live.load(Ordering::Relaxed), victim.name);
        let before = peaks(survivors);
        // A message that is refused as retryable, in the worst of it, is sent again, as clients do.
        let returning = opening_of(cli, cluster, cli.target.open_parallel, true);
        let writing = scope.spawn(move || run(plan, 1, &returning, &[]));
        std::thread::sleep(CALM);
        progress.killed_ns.store(clock.now_ns(), Ordering::Release);
        let killed = kill(victim.pid);
        let joined = |_| "a thread of the generator panicked".to_owned();
        let established = killed.and_then(|()| writing.join().map_err(joined)?);
        wait_for_return(count(logins.len()), args.patience_s * SECOND_NS, clock, &progress);
        let after = peaks(survivors);
        progress.is_stopped.store(true, Ordering::Relaxed);
        (swarming.join().map_err(joined).flatten(), established, before, after)
    });
    let (swarm, established) = (swarm?, established?);
    let memory: Vec<MemoryPeak> = before
        .into_iter()
        .zip(after)
        .map(|((process, before_kib), (_, peak_kib))| MemoryPeak { process, before_kib, peak_kib })
        .collect();
    let growth: u64 = memory.iter().map(|one| one.peak_kib.saturating_sub(one.before_kib)).sum();
    let away = swarm.away.summary();
    let is_right =
        swarm.back == count(logins.len()) && established.verdict.is_right() && established.lost_connections == 0;
    Ok(Report::Storm(Box::new(StormReport {
        connections: count(logins.len()),
        limits,
        back: swarm.back,
        away_max_s: away.max_ms / 1e3,
        back_per_s: ratio(float(away.count), away.max_ms / 1e3),
        away,
        refused: swarm.refused,
        lost_again: swarm.lost_again,
        memory,
        kib_per_connection: ratio(float(growth), float(swarm.back)),
        established,
        is_right,
    })))
}

/// Pairs at the second node.
fn plan_of(cli: &Cli, cluster: &Cluster, args: &StormArgs) -> Result<Plan, String> {
    let users = find_users(cluster, &cli.users, args.pairs * 2)?;
    let conversations = (0_u32..)
        .zip(users.chunks_exact(2))
        .filter_map(|(number, pair)| {
            let [sender, receiver] = pair else { return None };
            let member = |name: &str, login: &Arc<Login>, sends| MemberPlan {
                name: name.into(),
                login: login.clone(),
                node: 1,
                reads: true,
                sends,
            };
            let to = Destination::User(receiver.user_id.clone());
            let mut sender = member("sender", sender, Some((number, to)));
            sender.reads = false;
            Some(ConversationPlan {
                name: format!("pair {number}"),
                id: None,
                members: vec![sender, member("receiver", receiver, None)],
            })
        })
        .collect();
    let sending = SendingArgs {
        rate: Rate::PerSecond(args.rate),
        window: 1,
        arrivals: Arrivals::Even,
        warmup_s: WARMUP_S,
        duration_s: args.duration_s,
        drain_s: 15,
        body: 120,
        reconnect: true,
    };
    Ok(Plan { run: crate::new_run_id(), conversations, sending })
}

fn kill(pid: u32) -> Result<(), String> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or("no process of this number")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|error| format!("kill: {error}"))
}

fn peaks(processes: &[&ProcessName]) -> Vec<(String, u64)> {
    processes.iter().map(|process| (process.name.clone(), peak_kib(process.pid))).collect()
}

/// Waits until all are live, or nobody has come for a while.
fn wait_for_opening(wanted: u64, clock: Clock, progress: &Progress) {
    let mut last = (0, clock.now_ns());
    while last.0 < wanted && clock.now_ns() - last.1 < STALLED_NS {
        std::thread::sleep(POLL);
        let live = progress.live.load(Ordering::Relaxed);
        if live > last.0 {
            last = (live, clock.now_ns());
        }
    }
}

/// Waits until all are back, or for so long after the kill.
fn wait_for_return(wanted: u64, patience_ns: u64, clock: Clock, progress: &Progress) {
    let until_ns = progress.killed_ns.load(Ordering::Acquire) + patience_ns;
    while progress.back.load(Ordering::Relaxed) < wanted && clock.now_ns() < until_ns {
        std::thread::sleep(POLL);
    }
}

/// What became of those who had to come back.
struct Swarm {
    clock: Clock,
    nodes: usize,
    dice: Dice,
    away: Latency,
    refused: BTreeMap<String, u64>,
    /// Attempts since the kill, by client.
    attempts: Vec<u32>,
    is_live: Vec<bool>,
    /// Those who wait before their next attempt.
    later: BinaryHeap<Reverse<(u64, ClientId)>>,
    back: u64,
    lost_again: u64,
}

/// One thread: opens all clients at the first node; when it is gone, each comes to the others, at once and then with pauses.
fn swarm(logins: &[Arc<Login>], opening: &Arc<Opening>, clock: Clock, progress: &Progress) -> Result<Swarm, String> {
    let mut clients = Clients::new(clock, opening.clone())?;
    for login in logins {
        let client = clients.add(login.clone(), 0);
        clients.open(client);
    }
    let mut swarm = Swarm {
        clock,
        nodes: opening.nodes.len(),
        dice: Dice::seeded(1),
        away: Latency::new()?,
        refused: BTreeMap::new(),
        attempts: vec![0; logins.len()],
        is_live: vec![false; logins.len()],
        later: BinaryHeap::new(),
        back: 0,
        lost_again: 0,
    };
    while !progress.is_stopped.load(Ordering::Relaxed) {
        let killed_ns = progress.killed_ns.load(Ordering::Acquire);
        if killed_ns > 0 {
            clients.set_parallel(usize::MAX);
        }
        while let Some(Reverse((due_ns, client))) = swarm.later.peek().copied()
            && due_ns <= clock.now_ns()
        {
            swarm.later.pop();
            clients.open(client);
        }
        clients.turn(SECOND_NS, &mut |clients, happening| match happening {
            Happening::Live { client, .. } => swarm.hear_live(client, killed_ns, progress),
            Happening::Down { client, reason } => swarm.hear_down(clients, client, reason, progress),
            Happening::Text { .. } => {}
        })?;
    }
    Ok(swarm)
}

impl Swarm {
    fn hear_live(&mut self, client: ClientId, killed_ns: u64, progress: &Progress) {
        if let Some(is_live) = self.is_live.get_mut(client) {
            *is_live = true;
        }
        if self.attempts.get(client).is_none_or(|attempts| *attempts == 0) {
            progress.live.fetch_add(1, Ordering::Relaxed);
        } else {
            self.back += 1;
            progress.back.store(self.back, Ordering::Relaxed);
            self.away.record(self.clock.now_ns().saturating_sub(killed_ns));
        }
    }

    fn hear_down(&mut self, clients: &mut Clients, client: ClientId, reason: &str, progress: &Progress) {
        let was_live = self.is_live.get_mut(client).is_some_and(std::mem::take);
        if progress.killed_ns.load(Ordering::Acquire) == 0 {
            // Still on its way to the first node.
            self.later.push(Reverse((self.clock.now_ns() + BACKOFF_NS.0, client)));
            return count_reason(&mut self.refused, reason);
        }
        let Some(attempts) = self.attempts.get_mut(client) else { return };
        if was_live && *attempts > 0 {
            self.back -= 1;
            self.lost_again += 1;
        }
        if !was_live {
            count_reason(&mut self.refused, reason);
        }
        // All to the same one at first; then wherever there may be room.
        let survivors = self.nodes.saturating_sub(1).max(1);
        clients.set_node(client, 1 + usize::try_from(*attempts).unwrap_or(0) % survivors);
        let pause_ns = if *attempts == 0 {
            0
        } else {
            let (least, most) = BACKOFF_NS;
            let longest = least.saturating_mul(1 << (*attempts - 1).min(10)).min(most);
            let asked = if reason.contains(" 503 ") { RETRY_AFTER_NS } else { 0 };
            asked + self.dice.between(0, longest)
        };
        *attempts += 1;
        self.later.push(Reverse((self.clock.now_ns() + pause_ns, client)));
    }
}
