//! Starting programs of this machine as children that do not outlive us.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A loopback port that is free now. Between this answer and its use somebody else may take it; starting then fails and says so.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Who a child runs as, and what it gets when its parent dies.
#[derive(Clone, Copy, Debug)]
pub struct Shell<'a> {
    /// Another user, where we run as root and the program refuses that.
    pub user: Option<&'a User>,
    /// A directory that must be within that user's reach, whatever lies above it.
    pub directory: &'a Path,
    /// The signal a child gets when the thread that started it ends: `KILL`, `QUIT`.
    pub death_signal: &'a str,
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// The first of these users that exists.
    pub fn find(names: &[&str]) -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        names.iter().find_map(|name| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next() == Some(name)).then_some(())?;
                let uid = fields.nth(1)?.parse().ok()?;
                let gid = fields.next()?.parse().ok()?;
                Some(Self { name: (*name).to_owned(), uid, gid })
            })
        })
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Shell<'_> {
    /// `program` as a child that dies with its parent; `setpriv` of util-linux does what would need unsafe code here.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", self.death_signal]);
        if let Some(user) = self.user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups");
            if !is_reachable_by_others(self.directory) {
                // Below a private home: the other user may pass through what lies above, without loosening anybody's permissions.
                command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
            }
        }
        command.arg("--").arg(program).stdin(Stdio::null()).process_group(0);
        command
    }
}

/// Whether everyone may pass through all that lies above.
fn is_reachable_by_others(directory: &Path) -> bool {
    directory
        .ancestors()
        .skip(1)
        .all(|above| fs::metadata(above).is_ok_and(|found| found.permissions().mode() & 0o001 != 0))
}

/// Makes a directory that only `user` may look into.
pub fn make_private_directory(directory: &Path, user: Option<&User>) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    if let Some(user) = user
        && fs::metadata(directory)?.uid() != user.uid
    {
        std::os::unix::fs::chown(directory, Some(user.uid), Some(user.gid))?;
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
}

/// Where a program is: in one of `places`, else by `PATH`.
pub fn find_program(name: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let path = crate::config::search_path();
    places.iter().cloned().chain(path).map(|place| place.join(name)).find(|program| program.is_file())
}

/// The last lines of a log, for the message of a start that failed.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n  ")
}

/// A log that is begun anew with each start.
pub fn open_log(log: &Path) -> io::Result<(Stdio, Stdio)> {
    let file = fs::OpenOptions::new().create(true).append(true).open(log)?;
    Ok((Stdio::from(file.try_clone()?), Stdio::from(file)))
}

/// How often a start is looked at.
pub const POLL: Duration = Duration::from_millis(10);
