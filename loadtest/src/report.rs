//! The result of a run: a table for people, JSON for programs, and whether all was right.

use crate::accounting::{CpuUse, with_generator};
use crate::cli::{Cli, Rate};
use crate::cluster::{Cluster, Role};
use crate::latency::LatencySummary;
use crate::limits::Limits;
use crate::messaging::{Outcome, Plan, run};
use crate::numbers::{float, ratio};
use crate::scenario::{ConnectReport, IdleReport, StormReport, opening_of};
use serde::Serialize;

#[derive(Serialize)]
#[serde(tag = "scenario", rename_all = "snake_case")]
pub enum Report {
    Messaging(Box<MessagingReport>),
    Idle(Box<IdleReport>),
    Connect(Box<ConnectReport>),
    Storm(Box<StormReport>),
    Limits(Limits),
}

#[derive(Serialize)]
pub struct MessagingReport {
    pub kind: &'static str,
    pub shape: String,
    pub nodes: usize,
    pub asked_per_s: Option<f64>,
    pub window: Option<u32>,
    pub limits: Limits,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// All processes but the generator.
    pub cpu_us_per_message: f64,
    /// Deliveries for each second of CPU of the nodes.
    pub deliveries_per_node_core_s: f64,
    pub is_right: bool,
}

/// Runs a plan and puts its report together.
pub fn run_and_report(
    cli: &Cli,
    cluster: &Cluster,
    kind: &'static str,
    shape: String,
    plan: &Plan,
    limits: Limits,
) -> Result<Report, String> {
    let clients: usize = plan.conversations.iter().map(|one| one.members.len()).sum();
    crate::raise_file_limit(clients + 1_000);
    let opening = opening_of(cli, cluster, cli.target.open_parallel, plan.sending.reconnect);
    let outcome = run(plan, cli.target.threads, &opening, &with_generator(&cluster.processes))?;
    let (asked_per_s, window) = match plan.sending.rate {
        Rate::PerSecond(rate) => (Some(rate), None),
        Rate::Max => (None, Some(plan.sending.window)),
    };
    let is_right = outcome.verdict.is_right() && (plan.sending.reconnect || outcome.lost_connections == 0);
    Ok(Report::Messaging(Box::new(MessagingReport {
        kind,
        shape,
        nodes: cluster.nodes.len(),
        asked_per_s,
        window,
        limits,
        cpu_us_per_message: ratio(server_seconds(&outcome.cpu) * 1e6, float(outcome.acked_in_window)),
        deliveries_per_node_core_s: ratio(float(outcome.delivered_in_window), node_seconds(&outcome.cpu)),
        is_right,
        outcome,
    })))
}

/// CPU seconds of all nodes.
pub fn node_seconds(cpu: &[CpuUse]) -> f64 {
    cpu.iter().filter(|one| one.role == Some(Role::Node)).map(CpuUse::total_s).sum()
}

/// CPU seconds of all processes but the generator.
fn server_seconds(cpu: &[CpuUse]) -> f64 {
    cpu.iter().filter(|one| one.role != Some(Role::Generator)).map(CpuUse::total_s).sum()
}

impl Report {
    pub fn is_right(&self) -> bool {
        match self {
            Self::Messaging(report) => report.is_right,
            Self::Idle(report) => report.not_opened == 0 && report.lost_while_held == 0,
            Self::Connect(report) => report.failed == 0,
            Self::Storm(report) => report.is_right,
            Self::Limits(_) => true,
        }
    }

    pub fn print(&self) {
        match self {
            Self::Messaging(report) => print_messaging(report),
            Self::Idle(report) => print_idle(report),
            Self::Connect(report) => print_connect(report),
            Self::Storm(report) => print_storm(report),
            Self::Limits(limits) => print_limits(limits),
        }
    }
}

fn print_messaging(report: &MessagingReport) {
    let outcome = &report.outcome;
    let asked = match (report.asked_per_s, report.window) {
        (Some(rate), _) => format!("open model, {rate} messages/s"),
        (None, window) => format!("closed model, {} in flight for each sender", window.unwrap_or(1)),
    };
    println!("{}: {}, {} node(s), {asked}, {} s", report.kind, report.shape, report.nodes, outcome.seconds);
    print_limits(&report.limits);
    println!("  acknowledged {:>12.0}/s", outcome.acked_per_s);
    println!("  delivered    {:>12.0}/s   drained in {:.2} s", outcome.delivered_per_s, outcome.drain_s);
    print_latency_head();
    print_latency("ack", &outcome.ack);
    print_latency("delivery", &outcome.delivery);
    print_latency("generator late", &outcome.lateness);
    print_cpu(&outcome.cpu, "us/message");
    println!(
        "  without the generator {:.1} us of CPU a message; {:.0} deliveries a node core second",
        report.cpu_us_per_message, report.deliveries_per_node_core_s
    );
    for (name, times) in &outcome.notes {
        println!("  seen: {name}: {times}");
    }
    let verdict = &outcome.verdict;
    println!(
        "  oracle: sent {} acknowledged {} deliveries due {} lawful repeats {} repeated answers {} connections lost {}",
        verdict.sent,
        verdict.acked,
        verdict.expected,
        verdict.repeated_lawfully,
        verdict.answers_repeated,
        outcome.lost_connections
    );
    for (name, count) in verdict.faults() {
        if count > 0 {
            println!("  WRONG: {name}: {count}");
        }
    }
    for example in &verdict.examples {
        println!("    {example}");
    }
    println!("  {}", if report.is_right { "all right" } else { "NOT RIGHT" });
}

fn print_idle(report: &IdleReport) {
    println!(
        "idle: {} connections, {:.0} opened/s, held {} s",
        report.connections, report.connects_per_s, report.hold_s
    );
    print_limits(&report.limits);
    print_latency_head();
    print_latency("connect + auth", &report.opening);
    println!("  opening:");
    print_cpu(&report.cpu_opening, "us/connect");
    println!("  holding:");
    print_cpu(&report.cpu_holding, "us/connection");
    for one in &report.memory {
        println!("  {:<18} {:>10} KiB -> {:>10} KiB", one.process, one.before_kib, one.after_kib);
    }
    println!(
        "  kernel: TCP buffers {} -> {} KiB, slab {} -> {} KiB (both ends)",
        report.kernel_before.tcp_buffers_kib,
        report.kernel_after.tcp_buffers_kib,
        report.kernel_before.slab_kib,
        report.kernel_after.slab_kib
    );
    println!(
        "  a connection: {:.2} KiB in the nodes, {:.2} KiB in the kernel for each end",
        report.node_kib_per_connection, report.kernel_kib_per_end
    );
    for (reason, count) in &report.downs {
        println!("  down: {reason}: {count}");
    }
    println!("  not opened {} lost while held {}", report.not_opened, report.lost_while_held);
}

fn print_connect(report: &ConnectReport) {
    println!("connect: {} connects, {} at once, {:.2} s", report.connects, report.parallel, report.seconds);
    print_limits(&report.limits);
    println!("  {:.0} connects/s; {:.0} a node core second", report.connects_per_s, report.connects_per_node_core_s);
    print_latency_head();
    print_latency("connect + auth", &report.latency);
    print_cpu(&report.cpu, "us/connect");
    for (reason, count) in &report.downs {
        println!("  down: {reason}: {count}");
    }
    println!("  failed {}", report.failed);
}

fn print_storm(report: &StormReport) {
    println!(
        "storm: {} of {} connections are back, the last after {:.1} s; {:.0}/s",
        report.back, report.connections, report.away_max_s, report.back_per_s
    );
    print_limits(&report.limits);
    print_latency_head();
    print_latency("away", &report.away);
    print_latency("others' ack", &report.established.ack);
    print_latency("others' delivery", &report.established.delivery);
    for (reason, count) in &report.refused {
        println!("  refused: {reason}: {count}");
    }
    for one in &report.memory {
        println!("  {:<18} {:>10} KiB -> {:>10} KiB at most", one.process, one.before_kib, one.peak_kib);
    }
    println!("  {:.2} KiB in the nodes for each who came", report.kib_per_connection);
    let established = &report.established;
    for (name, count) in established.verdict.faults().into_iter().filter(|(_, count)| *count > 0) {
        println!("  WRONG: {name}: {count}");
    }
    println!("  lost again {} connections of others lost {}", report.lost_again, established.lost_connections);
    println!("  {}", if report.is_right { "all right" } else { "NOT RIGHT" });
}

fn print_limits(limits: &Limits) {
    println!(
        "  machine: {} cores, {:.0} small loopback writes/s on one core",
        limits.cores, limits.loopback_writes_per_s
    );
    if let Some(rate) = limits.redis_xadd_per_s {
        println!("  redis: {rate:.0} pipelined XADD/s");
    }
    if let (Some(disk), Some(fsync)) = (&limits.disk, &limits.fsync) {
        println!("  disk: {disk}, fsync p50 {:.3} ms p99 {:.3} ms", fsync.p50_ms, fsync.p99_ms);
    }
    if let Some(slowed) = &limits.fsync_slowed {
        println!("  postgres runs with {slowed}");
    }
}

fn print_latency_head() {
    println!("  {:<16} {:>9} {:>9} {:>9} {:>9} {:>9}", "ms", "p50", "p90", "p99", "p99.9", "max");
}

fn print_latency(name: &str, latency: &LatencySummary) {
    println!(
        "  {name:<16} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
        latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
    );
}

fn print_cpu(cpu: &[CpuUse], unit: &str) {
    println!("  {:<18} {:>8} {:>8} {:>8} {unit:>14}", "cpu", "user s", "system s", "cores");
    for one in cpu {
        println!(
            "  {:<18} {:>8.2} {:>8.2} {:>8.3} {:>14.2}",
            one.process, one.user_s, one.system_s, one.cores, one.us_per_unit
        );
    }
}
