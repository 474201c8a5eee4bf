//! A PostgreSQL server of our own, from the programs installed on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::StartError;
use super::process::{self, POLL, Shell, User};
use crate::storage::provision;

/// What one server is started with.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Holds `data`, the log and nothing else.
    pub directory: PathBuf,
    pub port: u16,
    /// False only where nothing has to outlive the machine: tests.
    pub is_durable: bool,
    pub max_connections: u32,
    /// A library preloaded into the server, for measuring with a slower disk.
    pub preload: Option<PathBuf>,
}

/// The superuser of our servers. They listen on loopback only and trust whoever comes.
pub const POSTGRES_USER: &str = "herald";

const START_TIMEOUT: Duration = Duration::from_mins(1);

impl PostgresOptions {
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{POSTGRES_USER}@127.0.0.1:{}/{database}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.directory.join("postgres.log")
    }
}

/// Who PostgreSQL runs as: it refuses root.
fn user() -> Result<Option<User>, StartError> {
    if !process::is_root() {
        return Ok(None);
    }
    User::find(&["postgres", "nobody"])
        .map(Some)
        .ok_or_else(|| StartError::new("PostgreSQL refuses to run as root, and there is no user postgres or nobody"))
}

/// Where this machine has PostgreSQL's programs: the newest version of Debian's layout, else by `PATH`.
pub fn program(name: &str) -> Result<PathBuf, StartError> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.0));
    let places: Vec<PathBuf> = versions.into_iter().map(|version| version.1).collect();
    process::find_program(name, &places).ok_or_else(|| {
        StartError::new(format!("`{name}` of PostgreSQL (15 or newer) is not installed: apt-get install postgresql"))
    })
}

/// Starts the server, with a new cluster of databases where there is none, and answers once it takes connections.
/// To be called from a thread that lives as long as the server shall: the kernel stops it with that thread.
pub async fn start(options: &PostgresOptions) -> Result<Child, StartError> {
    let user = user()?;
    fs::create_dir_all(&options.directory).map_err(StartError::io(&options.directory))?;
    let data = options.data();
    process::make_private_directory(&data, user.as_ref()).map_err(StartError::io(&data))?;
    let shell = Shell { user: user.as_ref(), directory: &data, death_signal: "QUIT" };
    if !data.join("PG_VERSION").exists() {
        initialise(&shell, &data)?;
    }
    let log = options.log();
    let (out, err) = process::open_log(&log).map_err(StartError::io(&log))?;
    let mut command = shell.command(&program("postgres")?);
    command.arg("-D").arg(&data).args(settings(options)).stdout(out).stderr(err).current_dir("/");
    if let Some(preload) = &options.preload {
        command.env("LD_PRELOAD", preload);
    }
    let mut child = command.spawn().map_err(|error| StartError::new(format!("PostgreSQL does not start: {error}")))?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match provision::check_connection(&options.url("postgres")).await {
            Ok(()) => return Ok(child),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Err(error) => {
                let _ = child.kill();
                return Err(StartError::new(format!("PostgreSQL is not ready in time: {error}")));
            }
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(StartError::new(format!("PostgreSQL ended ({status}):\n  {}", process::tail(&log))));
        }
    }
}

fn initialise(shell: &Shell<'_>, data: &Path) -> Result<(), StartError> {
    let mut command: Command = shell.command(&program("initdb")?);
    let output = command
        .arg("-D")
        .arg(data)
        .args(["-U", POSTGRES_USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| StartError::new(format!("initdb does not start: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(StartError::new(format!("initdb failed:\n  {}", String::from_utf8_lossy(&output.stderr))))
}

/// The server's settings, given anew at each start, so that an older data directory follows.
fn settings(options: &PostgresOptions) -> Vec<String> {
    let mut settings = vec![
        format!("port={}", options.port),
        format!("max_connections={}", options.max_connections),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        // Acknowledged is durable, in development too.
        "synchronous_commit=on".to_owned(),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=4GB".to_owned(),
        "checkpoint_timeout=15min".to_owned(),
        "wal_compression=off".to_owned(),
        "tcp_keepalives_idle=30".to_owned(),
        "log_min_messages=warning".to_owned(),
        "log_min_error_statement=panic".to_owned(),
        "logging_collector=off".to_owned(),
        "jit=off".to_owned(),
    ];
    if !options.is_durable {
        settings.extend(["fsync=off".to_owned(), "full_page_writes=off".to_owned()]);
    }
    settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect()
}
