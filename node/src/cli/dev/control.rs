//! How `herald dev restart` reaches the `herald dev` that runs: a socket in its data directory, one line there, one line back.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::StartError;

const NAME: &str = "control.sock";
const LINE_BYTES_MAX: u64 = 256;
const READY: &str = "ready";

/// Addresses of sockets are short, data directories may not be: the directory is named by a descriptor.
fn short_path(data_dir: &Path) -> Result<(File, PathBuf), StartError> {
    let directory = File::open(data_dir).map_err(StartError::io(data_dir))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
    Ok((directory, path))
}

pub fn listen(data_dir: &Path) -> Result<UnixListener, StartError> {
    remove(data_dir);
    let (_directory, path) = short_path(data_dir)?;
    UnixListener::bind(path).map_err(StartError::io(data_dir))
}

pub fn remove(data_dir: &Path) {
    let _ = std::fs::remove_file(data_dir.join(NAME));
}

/// A request that was read: which process to start again.
pub async fn read_request(stream: UnixStream) -> Option<(String, UnixStream)> {
    let mut reader = BufReader::new(stream.take(LINE_BYTES_MAX));
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    Some((line.trim().to_owned(), reader.into_inner().into_inner()))
}

pub async fn answer(mut stream: UnixStream, result: &Result<(), StartError>) {
    let line = match result {
        Ok(()) => format!("{READY}\n"),
        Err(error) => format!("{error}\n"),
    };
    // Whoever asked may have gone.
    let _ = stream.write_all(line.as_bytes()).await;
}

/// Asks the running `herald dev` and waits until the process is ready.
pub async fn ask_restart(data_dir: &Path, name: &str) -> Result<(), StartError> {
    let (_directory, path) = short_path(data_dir)?;
    let mut stream = UnixStream::connect(path)
        .await
        .map_err(|error| StartError::new(format!("no `herald dev` runs with {}: {error}", data_dir.display())))?;
    let io = || StartError::io(data_dir);
    stream.write_all(format!("{name}\n").as_bytes()).await.map_err(io())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(io())?;
    match answer.trim() {
        READY => Ok(()),
        "" => Err(StartError::new("`herald dev` ended meanwhile")),
        problem => Err(StartError::new(problem)),
    }
}
