//! What the machine itself can do, measured in the same run, so that a result can be read as a ratio.

use crate::cluster::Cluster;
use crate::latency::{Latency, LatencySummary};
use crate::numbers::{count, float, ratio};
use serde::Serialize;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const FSYNCS: usize = 300;
/// PostgreSQL writes its log in pages of this size.
const PAGE_BYTES: usize = 8192;
/// About one message frame.
const FRAME_BYTES: usize = 300;
const LOOPBACK_TIME: Duration = Duration::from_millis(300);
/// Frames written before they are read: far below a socket's buffer, so that no write blocks.
const LOOPBACK_BURST: usize = 64;
const XADDS: usize = 20_000;
const XADD_PIPELINE: usize = 100;

#[derive(Debug, Default, Serialize)]
pub struct Limits {
    pub cores: u64,
    /// Where the databases lie: path and kind of file system.
    pub disk: Option<String>,
    pub fsync: Option<LatencySummary>,
    /// What PostgreSQL was started with to make its fsync slower, if anything.
    pub fsync_slowed: Option<String>,
    pub loopback_writes_per_s: f64,
    pub redis_xadd_per_s: Option<f64>,
}

pub fn probe(cluster: &Cluster) -> Limits {
    let cores = std::thread::available_parallelism().map_or(1, |cores| count(cores.get()));
    let postgres = cluster.processes.iter().find(|process| process.name.starts_with("postgres"));
    Limits {
        cores,
        disk: cluster.data_dir.as_deref().and_then(name_disk),
        fsync: cluster.data_dir.as_deref().and_then(|directory| warn(probe_fsync(directory))),
        fsync_slowed: postgres.and_then(|process| find_preload(process.pid)),
        loopback_writes_per_s: warn(probe_loopback()).unwrap_or(0.0),
        redis_xadd_per_s: cluster.redis_url.as_deref().and_then(|url| warn(probe_xadd(url))),
    }
}

/// A probe that fails does not end the run; it says why it has no number.
fn warn<T>(result: Result<T, String>) -> Option<T> {
    result.inspect_err(|error| eprintln!("a probe failed: {error}")).ok()
}

fn name_disk(directory: &Path) -> Option<String> {
    let path = directory.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.nth(1)?, words.next()?))
        })
        .filter(|(mount, _)| path.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len())?
        .1;
    Some(format!("{} ({kind})", path.display()))
}

/// Appends pages to a file and syncs after each, as a log writer does.
fn probe_fsync(directory: &Path) -> Result<LatencySummary, String> {
    let path = directory.join("loadtest-fsync-probe");
    let measured = append_and_sync(&path).map_err(|error| format!("{}: {error}", path.display()));
    // The file may not be there, where it could not be made.
    let _ = std::fs::remove_file(&path);
    measured
}

fn append_and_sync(path: &Path) -> Result<LatencySummary, std::io::Error> {
    let mut latency = Latency::new().map_err(std::io::Error::other)?;
    let mut file = std::fs::File::create(path)?;
    for _ in 0..FSYNCS {
        file.write_all(&[7; PAGE_BYTES])?;
        let begun = Instant::now();
        file.sync_data()?;
        latency.record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(latency.summary())
}

/// `LD_PRELOAD` and the delay, from the environment that PostgreSQL was started with.
fn find_preload(pid: u32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let found: Vec<String> = environment
        .split(|byte| *byte == 0)
        .map(|entry| String::from_utf8_lossy(entry).into_owned())
        .filter(|entry| entry.starts_with("LD_PRELOAD=") || entry.starts_with("SLOW_FSYNC_US="))
        .collect();
    (!found.is_empty()).then(|| found.join(" "))
}

/// Single small writes on one core, read back in big reads.
fn probe_loopback() -> Result<f64, String> {
    let text = |error: std::io::Error| format!("loopback: {error}");
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(text)?;
    let mut writer = TcpStream::connect(listener.local_addr().map_err(text)?).map_err(text)?;
    writer.set_nodelay(true).map_err(text)?;
    let (mut reader, _) = listener.accept().map_err(text)?;
    let mut buffer = vec![0; FRAME_BYTES * LOOPBACK_BURST];
    let begun = Instant::now();
    let mut written = 0;
    while begun.elapsed() < LOOPBACK_TIME {
        for _ in 0..LOOPBACK_BURST {
            writer.write_all(&[b'x'; FRAME_BYTES]).map_err(text)?;
        }
        reader.read_exact(&mut buffer).map_err(text)?;
        written += count(LOOPBACK_BURST);
    }
    Ok(ratio(float(written), begun.elapsed().as_secs_f64()))
}

/// Pipelined `XADD`s into a stream of its own, which is deleted after.
fn probe_xadd(url: &str) -> Result<f64, String> {
    let text = |error: std::io::Error| format!("redis: {error}");
    let rest = url.strip_prefix("redis://").ok_or("redis: only redis:// is spoken here")?;
    let (credentials, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let host = place.split('/').next().unwrap_or_default();
    let mut stream = TcpStream::connect(host).map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(text)?;
    if let Some((user, password)) = credentials.split_once(':') {
        let login = if user.is_empty() {
            command(&[b"AUTH", password.as_bytes()])
        } else {
            command(&[b"AUTH", user.as_bytes(), password.as_bytes()])
        };
        exchange(&mut stream, &login, 1).map_err(text)?;
    }
    let key = format!("herald-loadtest-probe:{}", std::process::id());
    let body = [b'x'; FRAME_BYTES];
    let batch = command(&[b"XADD", key.as_bytes(), b"MAXLEN", b"~", b"1000", b"*", b"f", &body]).repeat(XADD_PIPELINE);
    let begun = Instant::now();
    for _ in 0..XADDS / XADD_PIPELINE {
        // Each id is a bulk string: a line with its length and a line with itself.
        exchange(&mut stream, &batch, XADD_PIPELINE * 2).map_err(text)?;
    }
    let rate = ratio(float(count(XADDS)), begun.elapsed().as_secs_f64());
    exchange(&mut stream, &command(&[b"DEL", key.as_bytes()]), 1).map_err(text)?;
    Ok(rate)
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Writes requests and reads so many lines of answers; an error answer ends the probe.
fn exchange(stream: &mut TcpStream, request: &[u8], lines: usize) -> Result<(), std::io::Error> {
    stream.write_all(request)?;
    let mut open_lines = lines;
    let mut buffer = [0; 16 * 1024];
    while open_lines > 0 {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(std::io::Error::other("closed"));
        }
        let answer = buffer.get(..length).unwrap_or_default();
        if answer.first() == Some(&b'-') {
            let text = String::from_utf8_lossy(answer).into_owned();
            return Err(std::io::Error::other(text));
        }
        let ended = answer.split(|byte| *byte == b'\n').count() - 1;
        open_lines = open_lines.saturating_sub(ended);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_as_redis_reads_it() {
        assert_eq!(command(&[b"DEL", b"key"]), b"*2\r\n$3\r\nDEL\r\n$3\r\nkey\r\n");
    }

    #[test]
    fn the_loopback_and_the_disk_can_be_probed() {
        assert!(probe_loopback().unwrap() > 0.0);
        let directory = std::env::temp_dir();
        assert_eq!(probe_fsync(&directory).unwrap().count, count(FSYNCS));
        assert!(name_disk(&directory).unwrap().contains('('));
    }
}
