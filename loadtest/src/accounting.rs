//! What a run costs, by process: CPU time and memory from `/proc`, a process together with all its children.

use crate::cluster::{ProcessName, Role};
use crate::numbers::{float, ratio};
use serde::Serialize;
use std::collections::HashMap;
use std::fs;

/// CPU seconds and memory of each named process at one moment.
#[derive(Clone, Debug, Default)]
pub struct Account {
    by_name: Vec<(ProcessName, Usage)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    user_ticks: u64,
    system_ticks: u64,
    resident_kib: u64,
}

/// The numbers of `/proc/PID/stat` that matter, with those of children that have been waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

/// CPU of one process between two moments.
#[derive(Clone, Debug, Serialize)]
pub struct CpuUse {
    pub process: String,
    pub pid: u32,
    #[serde(skip)]
    pub role: Option<Role>,
    pub user_s: f64,
    pub system_s: f64,
    /// 1.0 is one core the whole time.
    pub cores: f64,
    pub us_per_unit: f64,
}

impl CpuUse {
    pub fn total_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

/// The named processes and this one.
pub fn with_generator(processes: &[ProcessName]) -> Vec<ProcessName> {
    let mut all = processes.to_vec();
    all.push(ProcessName { name: "generator".into(), pid: std::process::id(), role: Role::Generator });
    all
}

/// Reads all processes now. One that is gone counts as nothing.
pub fn take_account(processes: &[ProcessName]) -> Account {
    let stats = read_all_stats();
    let by_name = processes.iter().map(|process| (process.clone(), usage_of_tree(process.pid, &stats))).collect();
    Account { by_name }
}

fn read_all_stats() -> HashMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse_stat(&text)?))
        })
        .collect()
}

/// The name in parentheses may hold anything, so fields count from the last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        user_ticks: number(11)? + number(13)?,
        system_ticks: number(12)? + number(14)?,
    })
}

fn usage_of_tree(root: u32, stats: &HashMap<u32, Stat>) -> Usage {
    let mut usage = Usage::default();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        if let Some(stat) = stats.get(&pid) {
            usage.user_ticks += stat.user_ticks;
            usage.system_ticks += stat.system_ticks;
            usage.resident_kib += resident_kib(pid);
        }
        open.extend(stats.iter().filter(|(_, stat)| stat.parent == pid).map(|(child, _)| *child));
    }
    usage
}

fn resident_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    value_in_kib(&text, "VmRSS:")
}

/// Resident memory of a process at its highest until now.
pub fn peak_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    value_in_kib(&text, "VmHWM:")
}

/// How far a process's memory went.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryPeak {
    pub process: String,
    pub before_kib: u64,
    pub peak_kib: u64,
}

/// The number behind a label, as `/proc` writes them: `VmRSS:     1234 kB`.
fn value_in_kib(text: &str, label: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(label))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// CPU used between two moments, a share of it for each of `units` (messages, connections).
pub fn cpu_between(before: &Account, after: &Account, seconds: f64, units: u64) -> Vec<CpuUse> {
    let ticks_a_second = float(rustix::param::clock_ticks_per_second());
    let seconds_of = |late: u64, early: u64| float(late.saturating_sub(early)) / ticks_a_second;
    before
        .by_name
        .iter()
        .zip(&after.by_name)
        .map(|((process, early), (_, late))| {
            let user_s = seconds_of(late.user_ticks, early.user_ticks);
            let system_s = seconds_of(late.system_ticks, early.system_ticks);
            CpuUse {
                process: process.name.clone(),
                pid: process.pid,
                role: Some(process.role),
                user_s,
                system_s,
                cores: ratio(user_s + system_s, seconds),
                us_per_unit: ratio((user_s + system_s) * 1e6, float(units)),
            }
        })
        .collect()
}

/// Growth of resident memory by process, in KiB.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryUse {
    pub process: String,
    pub before_kib: u64,
    pub after_kib: u64,
    #[serde(skip)]
    pub role: Option<Role>,
}

pub fn memory_between(before: &Account, after: &Account) -> Vec<MemoryUse> {
    before
        .by_name
        .iter()
        .zip(&after.by_name)
        .map(|((process, early), (_, late))| MemoryUse {
            process: process.name.clone(),
            before_kib: early.resident_kib,
            after_kib: late.resident_kib,
            role: Some(process.role),
        })
        .collect()
}

/// Memory that the kernel holds for sockets. Both ends of each connection are on this machine.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct KernelMemory {
    /// TCP buffers in use (`/proc/net/sockstat`).
    pub tcp_buffers_kib: u64,
    /// All kernel objects (`/proc/meminfo`), of which the sockets' structures are a part.
    pub slab_kib: u64,
}

pub fn take_kernel_memory() -> KernelMemory {
    let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let page_kib = crate::numbers::count(rustix::param::page_size()) / 1024;
    KernelMemory { tcp_buffers_kib: tcp_buffer_pages(&sockstat) * page_kib, slab_kib: value_in_kib(&meminfo, "Slab:") }
}

fn tcp_buffer_pages(sockstat: &str) -> u64 {
    let mut words =
        sockstat.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default().split_ascii_whitespace();
    words.find(|&word| word == "mem");
    words.next().and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194304 100 0 0 0 11 22 3 4 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(text), Some(Stat { parent: 7, user_ticks: 14, system_ticks: 26 }));
        assert_eq!(parse_stat("nothing"), None);
    }

    #[test]
    fn a_tree_is_summed_over_all_its_children() {
        let stat = |parent, user_ticks| Stat { parent, user_ticks, system_ticks: 1 };
        let stats = HashMap::from([
            (u32::MAX - 1, stat(1, 10)),
            (u32::MAX - 2, stat(u32::MAX - 1, 20)),
            (u32::MAX - 3, stat(u32::MAX - 2, 40)),
            (u32::MAX - 4, stat(1, 1000)),
        ]);
        let usage = usage_of_tree(u32::MAX - 1, &stats);
        assert_eq!((usage.user_ticks, usage.system_ticks), (70, 3));
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let account = take_account(&with_generator(&[]));
        assert!(account.by_name[0].1.resident_kib > 0);
    }

    #[test]
    fn kernel_memory_is_read_from_its_lines() {
        assert_eq!(
            tcp_buffer_pages("sockets: used 10\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 323\nUDP: inuse 0 mem 9\n"),
            323
        );
        assert_eq!(value_in_kib("MemTotal: 1 kB\nSlab:   77 kB\n", "Slab:"), 77);
        assert_eq!(value_in_kib("", "Slab:"), 0);
    }
}
