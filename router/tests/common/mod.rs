//! A Redis of the test's own, and a router with its events.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use herald_router::{BootId, Event, NodeId, Router, RouterConfig};
use redis::Value;
use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// For anything that should come at once.
pub const SOON: Duration = Duration::from_secs(5);

pub struct RedisServer {
    dir: TempDir,
    port: u16,
    args: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = Self { dir, port: free_port(), args, child: None };
        server.launch().await;
        server
    }

    /// An address at which nothing listens, until [`RedisServer::launch`].
    pub fn not_started() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), port: free_port(), args: Vec::new(), child: None }
    }

    pub async fn launch(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", self.dir.path().to_str().unwrap()])
            .args(&self.args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        let deadline = Instant::now() + SOON;
        while redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.is_err() {
            assert!(Instant::now() < deadline, "redis did not start");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash does. What it held is gone, as it writes nothing to disk.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id().unwrap();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    pub async fn client(&self) -> MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    /// Runs a command, written with blanks between its words.
    pub async fn run(&self, command: &str) -> Value {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async(&mut self.client().await).await.unwrap()
    }

    pub fn config(&self, node: &str) -> RouterConfig {
        RouterConfig::new(&self.url(), NodeId::parse(node).unwrap())
    }

    pub async fn node(&self, name: &str) -> Node {
        Node::start(self.config(name)).await
    }

    /// Nodes that all know of each other.
    pub async fn nodes<const N: usize>(&self) -> [Node; N] {
        let mut nodes = Vec::new();
        for number in 1..=N {
            nodes.push(self.node(&format!("node-{number}")).await);
        }
        for node in &nodes {
            until("all nodes are seen", async || node.router.live_boots().len() == N).await;
        }
        nodes.try_into().ok().unwrap()
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct Node {
    pub router: Router,
    pub events: mpsc::Receiver<Event>,
}

impl Node {
    pub async fn start(config: RouterConfig) -> Self {
        let (router, events) = Router::start(config).await.unwrap();
        Self { router, events }
    }

    /// The next event that `pick` takes; others are skipped.
    pub async fn next<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let picking = async {
            loop {
                let event = self.events.recv().await.expect("the router lives");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        };
        timeout(Duration::from_secs(20), picking).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    pub async fn next_delivery(&mut self) -> (BootId, Bytes) {
        self.next("a delivery", |event| match event {
            Event::Delivery { from, payload } => Some((from, payload)),
            _ => None,
        })
        .await
    }

    pub async fn next_is(&mut self, what: &str, mut is: impl FnMut(&Event) -> bool) -> Event {
        self.next(what, |event| is(&event).then_some(event)).await
    }

    /// All events that are there or come within `duration`.
    pub async fn all_within(&mut self, duration: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        let _ = timeout(duration, async {
            while let Some(event) = self.events.recv().await {
                events.push(event);
            }
        })
        .await;
        events
    }

    pub async fn send(&self, to: &Node, payload: impl Into<Bytes>) -> herald_router::Published {
        self.router.publish(vec![(to.router.boot(), payload.into())]).await
    }
}

pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A node whose tasks run on a thread of their own, so that it can be paused and killed.
pub struct NodeThread {
    handle: tokio::runtime::Handle,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl NodeThread {
    pub async fn start(config: RouterConfig) -> (Self, Node) {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (started, starting) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let handle = runtime.handle().clone();
            runtime.block_on(async {
                let node = Node::start(config).await;
                assert!(started.send((handle, node)).is_ok());
                let _ = stopped.await;
            });
        });
        let (handle, node) = starting.await.unwrap();
        (Self { handle, stop, thread }, node)
    }

    /// Nothing of the node runs for this long, as if its process were stopped.
    pub async fn pause(&self, duration: Duration) {
        self.handle.spawn(async move { std::thread::sleep(duration) }).await.unwrap();
    }

    /// Ends all of it without a farewell.
    pub fn kill(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}
