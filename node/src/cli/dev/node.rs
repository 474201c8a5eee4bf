//! One node as a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::StartError;
use super::layout::NodeLayout;
use super::process::{self, POLL};
use crate::config;

const START_TIMEOUT: Duration = Duration::from_mins(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts a node and answers once it is ready for clients.
pub async fn start(node: &NodeLayout, data_dir: &Path, log: &Path) -> Result<Child, StartError> {
    use std::os::unix::process::CommandExt as _;
    let program = std::env::current_exe().map_err(|error| StartError::new(format!("where am I? {error}")))?;
    let (out, err) = process::open_log(log).map_err(StartError::io(log))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(node.config_file(data_dir));
    command.args(["--end-with", &std::process::id().to_string()]);
    for flag in &node.flags {
        command.args(["--set", flag]);
    }
    for (name, _) in config::environment() {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let mut child = command.spawn().map_err(|error| StartError::new(format!("{} does not start: {error}", node.id)))?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(StartError::new(format!("{} ended ({status}):\n  {}", node.id, process::tail(log))));
        }
        if is_ready(node.internal_port()).await {
            return Ok(child);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(StartError::new(format!("{} is not ready in time:\n  {}", node.id, process::tail(log))));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether `/readyz` answers 200.
async fn is_ready(port: u16) -> bool {
    let question = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = [0_u8; 12];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"HTTP/1.1 200")
    };
    matches!(tokio::time::timeout(ANSWER_TIMEOUT, question).await, Ok(Ok(true)))
}
