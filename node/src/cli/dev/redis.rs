//! A Redis server of our own. It keeps nothing on disk: losing all of Redis loses no message.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use super::StartError;
use super::process::{self, POLL, Shell};

#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Holds the log.
    pub directory: PathBuf,
    pub port: u16,
}

const START_TIMEOUT: Duration = Duration::from_secs(20);

impl RedisOptions {
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// Starts the server and answers once it takes commands. The kernel stops it with the calling thread.
pub async fn start(options: &RedisOptions) -> Result<Child, StartError> {
    let program = process::find_program("redis-server", &[PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")])
        .ok_or_else(|| StartError::new("`redis-server` (7 or newer) is not installed: apt-get install redis-server"))?;
    fs::create_dir_all(&options.directory).map_err(StartError::io(&options.directory))?;
    let log = options.directory.join("redis.log");
    let (out, err) = process::open_log(&log).map_err(StartError::io(&log))?;
    let shell = Shell { user: None, directory: &options.directory, death_signal: "KILL" };
    let mut child = shell
        .command(&program)
        .args(["--port", &options.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
        .args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--loglevel", "warning"])
        .arg("--dir")
        .arg(&options.directory)
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|error| StartError::new(format!("Redis does not start: {error}")))?;
    let deadline = Instant::now() + START_TIMEOUT;
    while !answers_ping(options.port) {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(StartError::new(format!("Redis ended ({status}):\n  {}", process::tail(&log))));
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            return Err(StartError::new("Redis is not ready in time"));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(child)
}

/// One PING by hand: a client of Redis belongs to the router alone.
fn answers_ping(port: u16) -> bool {
    let attempt = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0_u8; 7];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG\r\n")
    };
    attempt().unwrap_or(false)
}
