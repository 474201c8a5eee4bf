//! A cluster of real processes: `herald dev`, for what only processes can show: being killed, stopped, started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use uuid::Uuid;

use super::client::{Answer, Device, call};
use super::{eventually_within, services};

/// The binary under test.
pub const HERALD: &str = env!("CARGO_BIN_EXE_herald");
/// A first start makes databases and hashes passwords.
const START_LIMIT: Duration = Duration::from_secs(60);

pub struct DevCluster {
    child: Child,
    pub data_dir: PathBuf,
    pub port: u16,
    pub http: reqwest::Client,
}

/// Ports of clusters of this run: 20 each, internal ones 1000 above, and away from those that the kernel gives out.
fn next_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 25).unwrap() * 400;
    loop {
        let port = first + NEXT.fetch_add(20, Ordering::Relaxed) % 400;
        let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (0..4).all(|index| is_free(port + index) && is_free(port + 1_000 + index)) {
            return port;
        }
    }
}

pub fn herald(arguments: &[&str]) -> Output {
    Command::new(HERALD).args(arguments).stdin(Stdio::null()).output().unwrap()
}

impl DevCluster {
    /// Two nodes and two shards, with further arguments, in a new folder.
    pub async fn start(arguments: &[&str]) -> Self {
        let data_dir = services::folder().join(format!("dev-{}", services::unique()));
        Self::start_in(&data_dir, next_port(), arguments).await
    }

    /// Starts a cluster over what another left.
    pub async fn start_in(data_dir: &Path, port: u16, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(data_dir).unwrap();
        let log = std::fs::File::create(data_dir.join("dev.log")).unwrap();
        let child = Command::new(HERALD)
            .arg("dev")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--port", &port.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut cluster = Self { child, data_dir: data_dir.to_owned(), port, http: reqwest::Client::new() };
        let deadline = Instant::now() + START_LIMIT;
        while cluster.read_file().is_none() {
            if let Some(status) = cluster.child.try_wait().unwrap() {
                panic!("herald dev ended ({status}): {}", cluster.log("dev.log"));
            }
            assert!(Instant::now() < deadline, "herald dev is not ready: {}", cluster.log("dev.log"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cluster
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.data_dir.join(name)).unwrap_or_default()
    }

    fn read_file(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.data_dir.join("cluster.json")).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// `cluster.json` as it is now.
    pub fn file(&self) -> Value {
        self.read_file().expect("cluster.json is there")
    }

    /// The entry of `node-1`, `redis` or `postgres`.
    pub fn process(&self, name: &str) -> Value {
        let file = self.file();
        match name {
            "redis" => file["redis"].clone(),
            "postgres" | "directory" => file["postgres"]["directory"].clone(),
            name => {
                if let Some(shard) = name.strip_prefix("shard-") {
                    return file["postgres"]["shards"][shard.parse::<usize>().unwrap() - 1].clone();
                }
                let nodes = file["nodes"].as_array().unwrap();
                nodes.iter().find(|node| node["id"] == name).unwrap_or_else(|| panic!("{name}")).clone()
            }
        }
    }

    pub fn process_id(&self, name: &str) -> u32 {
        u32::try_from(self.process(name)["pid"].as_u64().unwrap()).unwrap()
    }

    /// Signals one process; its `exit_code` shows in `cluster.json` soon after it ends.
    pub fn signal(&self, name: &str, signal: Signal) {
        signal_process(self.process_id(name), signal);
    }

    /// Kills a process and waits until that shows.
    pub async fn kill(&self, name: &str) {
        self.signal(name, Signal::KILL);
        self.ended(name).await;
    }

    /// Waits until a process has ended and answers its exit code.
    pub async fn ended(&self, name: &str) -> i64 {
        eventually_within(START_LIMIT, &format!("{name} ends"), async || !self.process(name)["exit_code"].is_null())
            .await;
        self.process(name)["exit_code"].as_i64().unwrap()
    }

    /// `herald dev restart NAME`.
    pub async fn restart(&self, name: &str) -> Output {
        let (name, data_dir) = (name.to_owned(), self.data_dir.clone());
        let arguments =
            move || Command::new(HERALD).args(["dev", "restart", &name, "--data-dir"]).arg(data_dir).output().unwrap();
        tokio::task::spawn_blocking(arguments).await.unwrap()
    }

    /// SIGTERM; answers the exit code.
    pub async fn stop(mut self) -> i32 {
        signal_process(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "herald dev does not stop: {}", self.log("dev.log"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `index` from 0.
    pub fn url(&self, node: usize) -> String {
        self.file()["nodes"][node]["url"].as_str().unwrap().to_owned()
    }

    pub fn ws_url(&self, node: usize) -> String {
        self.file()["nodes"][node]["ws_url"].as_str().unwrap().to_owned()
    }

    /// Logs in one of the seeded users.
    pub async fn login(&self, node: usize, name: &str) -> DevUser {
        let body = serde_json::json!({"username": name, "password": format!("{name}-password")});
        let url = format!("{}/api/v1/auth/login", self.url(node));
        let answer = call(&self.http, reqwest::Method::POST, &url, None, Some(body)).await.expect(200);
        DevUser {
            id: answer["user"]["id"].as_str().unwrap().parse().unwrap(),
            token: answer["access_token"].as_str().unwrap().to_owned(),
            http: self.http.clone(),
        }
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        // Its children end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal_process(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Whether a process of this id is there and not merely a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

/// A user who is logged in at a cluster of processes.
#[derive(Clone, Debug)]
pub struct DevUser {
    pub id: Uuid,
    pub token: String,
    http: reqwest::Client,
}

impl DevUser {
    pub async fn connect(&self, cluster: &DevCluster, node: usize) -> Device {
        Device::connect(&cluster.ws_url(node), Some(&self.token)).await.authenticated().await
    }

    pub async fn get(&self, cluster: &DevCluster, node: usize, path: &str) -> Answer {
        let url = format!("{}/api/v1{path}", cluster.url(node));
        call(&self.http, reqwest::Method::GET, &url, Some(&self.token), None).await
    }

    pub async fn post(&self, cluster: &DevCluster, node: usize, path: &str, body: Value) -> Answer {
        let url = format!("{}/api/v1{path}", cluster.url(node));
        call(&self.http, reqwest::Method::POST, &url, Some(&self.token), Some(body)).await
    }
}
