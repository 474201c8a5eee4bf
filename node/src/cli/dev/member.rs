//! One process of the cluster: started, watched, stopped.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::StartError;
use super::layout::NodeLayout;
use super::node;
use super::postgres::{self, PostgresOptions};
use super::process::POLL;
use super::redis::{self, RedisOptions};

/// What became of a killed PostgreSQL's children may stand in the way of the next for a while.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_secs(20);
const LEFTOVERS: &str = "shared memory block";

#[derive(Clone, Debug)]
pub enum Program {
    Redis(RedisOptions),
    Postgres(PostgresOptions),
    Node { layout: Box<NodeLayout>, data_dir: PathBuf, log: PathBuf },
}

#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub program: Program,
    child: Option<Child>,
    pub status: Status,
    started_at: Instant,
}

/// What the others are told about a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Of the process that runs, or of the one that ran last.
    pub pid: u32,
    /// 128 + signal where a signal ended it; none while it runs.
    pub exit_code: Option<i32>,
}

impl Member {
    pub fn new(name: String, program: Program) -> Self {
        Self { name, program, child: None, status: Status::default(), started_at: Instant::now() }
    }

    /// Starts it and answers when it is ready.
    pub async fn start(&mut self) -> Result<(), StartError> {
        self.started_at = Instant::now();
        let child = match &self.program {
            Program::Redis(options) => redis::start(options).await?,
            Program::Postgres(options) => start_postgres(options).await?,
            Program::Node { layout, data_dir, log } => node::start(layout, data_dir, log).await?,
        };
        self.status = Status { pid: child.id(), exit_code: None };
        self.child = Some(child);
        Ok(())
    }

    /// Stops it if it runs, and starts it.
    pub async fn restart(&mut self, patience: Duration) -> Result<(), StartError> {
        self.stop(patience).await;
        if let Program::Node { layout, .. } = &mut self.program {
            // A node that was told to die at some point has done so.
            layout.flags.retain(|flag| !flag.starts_with("crash_point="));
        }
        self.start().await
    }

    /// Whether it has ended since the last look.
    pub fn has_ended(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        let Ok(Some(status)) = child.try_wait() else { return false };
        self.status.exit_code = Some(exit_code(status));
        self.child = None;
        true
    }

    pub const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    pub fn age(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Asks it to end, and insists when it has not within `patience`.
    pub async fn stop(&mut self, patience: Duration) {
        self.send(match self.program {
            // Ends its clients' sessions instead of waiting for them.
            Program::Postgres(_) => Signal::INT,
            Program::Redis(_) | Program::Node { .. } => Signal::TERM,
        });
        let deadline = Instant::now() + patience;
        while self.is_running() && !self.has_ended() {
            if Instant::now() > deadline {
                self.send(Signal::KILL);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn send(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails only where it has just ended.
            let _ = kill_process(pid, signal);
        }
    }
}

async fn start_postgres(options: &PostgresOptions) -> Result<Child, StartError> {
    let deadline = Instant::now() + LEFTOVERS_TIMEOUT;
    loop {
        match postgres::start(options).await {
            Err(error) if error.to_string().contains(LEFTOVERS) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            result => return result,
        }
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
