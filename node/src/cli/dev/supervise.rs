//! The life of a development cluster: everything is started, watched, and stopped in good order.

use std::fs::{self, File};
use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rustix::fs::{FlockOperation, flock};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::layout::Layout;
use super::member::{Member, Program, Status};
use super::{DevOptions, StartError, cluster_file, control, seed};

/// A look at all processes even if no signal says that one has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Beyond its drain a node has this long to end, and a server all in all.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// A process that ended this soon after its start is not started again at once.
const RESPAWN_PAUSE: Duration = Duration::from_secs(1);

/// A restart that goes on while the others are watched.
struct Restarted {
    index: usize,
    member: Member,
    result: Result<(), StartError>,
    asked_by: Option<UnixStream>,
}

struct Slot {
    name: String,
    status: Status,
    /// Away while it is restarted.
    member: Option<Member>,
}

struct Cluster {
    layout: Layout,
    options: DevOptions,
    /// PostgreSQL, Redis, then the nodes.
    slots: Vec<Slot>,
    restarts: FuturesUnordered<Pin<Box<dyn Future<Output = Restarted>>>>,
    node_patience: Duration,
}

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(options: DevOptions) -> Result<(), StartError> {
    let begun = Instant::now();
    let mut stop = Stop::new()?;
    let layout = Layout::plan(&options)?;
    let _lock = lock(&layout.data_dir)?;
    cluster_file::remove(&layout.data_dir);
    let data_dir = layout.data_dir.clone();
    let control = control::listen(&data_dir)?;
    let result = live(layout, options, &mut stop, &control, begun).await;
    control::remove(&data_dir);
    cluster_file::remove(&data_dir);
    result
}

async fn live(
    layout: Layout,
    options: DevOptions,
    stop: &mut Stop,
    control: &UnixListener,
    begun: Instant,
) -> Result<(), StartError> {
    let mut cluster = tokio::select! {
        started = Cluster::start(layout, options) => started?,
        // What had been started ends with this process.
        () = stop.asked() => return Ok(()),
    };
    cluster.announce(begun.elapsed());
    cluster.watch(stop, control).await?;
    eprintln!("stopping; once more to do without patience");
    tokio::select! {
        () = cluster.stop() => {}
        () = stop.asked() => {}
    }
    Ok(())
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, StartError> {
        let on = |kind| signal(kind).map_err(|error| StartError::new(format!("signals: {error}")));
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// One `herald dev` for a data directory.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(StartError::io(&path))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| StartError::new(format!("another `herald dev` runs with {}", data_dir.display())))?;
    Ok(file)
}

impl Cluster {
    async fn start(layout: Layout, options: DevOptions) -> Result<Self, StartError> {
        for node in &layout.nodes {
            check_port(node.port)?;
            check_port(node.internal_port())?;
            node.write_config(&layout.data_dir)?;
        }
        fs::create_dir_all(layout.data_dir.join("logs")).map_err(StartError::io(&layout.data_dir))?;
        fs::create_dir_all(layout.data_dir.join("files")).map_err(StartError::io(&layout.data_dir))?;
        let first = layout.nodes.first().ok_or_else(|| StartError::new("a cluster has nodes"))?;
        let config = first.effective_config(&layout.data_dir)?;
        let node_patience = Duration::from_secs(config.drain_s) + STOP_PATIENCE;

        let mut members = Vec::new();
        for (name, server) in &layout.postgres {
            members.push(Member::new(name.clone(), Program::Postgres(server.clone())));
        }
        members.push(Member::new("redis".to_owned(), Program::Redis(layout.redis.clone())));
        start_all(&mut members).await?;
        seed::seed(&layout, &config, &options).await?;

        let mut nodes: Vec<Member> = layout.nodes.iter().map(|node| node_member(&layout, node)).collect();
        start_all(&mut nodes).await?;
        members.append(&mut nodes);
        let slots = members
            .into_iter()
            .map(|member| Slot { name: member.name.clone(), status: member.status, member: Some(member) })
            .collect();
        let cluster = Self { layout, options, slots, restarts: FuturesUnordered::new(), node_patience };
        cluster.write_file()?;
        Ok(cluster)
    }

    /// Until asked to stop: notices what ends, and starts again what is to be started.
    async fn watch(&mut self, stop: &mut Stop, control: &UnixListener) -> Result<(), StartError> {
        let mut child_ended =
            signal(SignalKind::child()).map_err(|error| StartError::new(format!("signals: {error}")))?;
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        let mut requests = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.asked() => return Ok(()),
                _ = child_ended.recv() => self.look().await?,
                _ = look.tick() => self.look().await?,
                accepted = control.accept() => if let Ok((stream, _)) = accepted {
                    requests.push(control::read_request(stream));
                },
                Some(request) = requests.next() => if let Some((name, stream)) = request {
                    self.restart_by_name(&name, stream).await;
                },
                Some(restarted) = self.restarts.next() => self.put_back(restarted).await?,
            }
        }
    }

    /// Notices which processes have ended.
    async fn look(&mut self) -> Result<(), StartError> {
        let mut ended = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(member) = &mut slot.member else { continue };
            if member.has_ended() {
                slot.status = member.status;
                eprintln!("{} has ended, exit code {}", slot.name, slot.status.exit_code.unwrap_or_default());
                ended.push(index);
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        self.write_file()?;
        if self.options.respawn {
            for index in ended {
                self.restart(index, None).await;
            }
        }
        Ok(())
    }

    async fn restart_by_name(&mut self, name: &str, stream: UnixStream) {
        if let Some(index) = self.slots.iter().position(|slot| slot.name == name) {
            return self.restart(index, Some(stream)).await;
        }
        let names: Vec<&str> = self.slots.iter().map(|slot| slot.name.as_str()).collect();
        let problem = StartError::new(format!("nothing here is called `{name}`, but {}", names.join(", ")));
        control::answer(stream, &Err(problem)).await;
    }

    async fn restart(&mut self, index: usize, asked_by: Option<UnixStream>) {
        let taken = self.slots.get_mut(index).and_then(|slot| slot.member.take());
        let Some(mut member) = taken else {
            if let Some(stream) = asked_by {
                control::answer(stream, &Err(StartError::new("it is being started already"))).await;
            }
            return;
        };
        let patience = if matches!(member.program, Program::Node { .. }) { self.node_patience } else { STOP_PATIENCE };
        self.restarts.push(Box::pin(async move {
            if asked_by.is_none() && member.age() < RESPAWN_PAUSE {
                tokio::time::sleep(RESPAWN_PAUSE).await;
            }
            let result = member.restart(patience).await;
            Restarted { index, member, result, asked_by }
        }));
    }

    async fn put_back(&mut self, restarted: Restarted) -> Result<(), StartError> {
        let Restarted { index, member, result, asked_by } = restarted;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.status = member.status;
            slot.member = Some(member);
            match &result {
                Ok(()) => eprintln!("{} is there again", slot.name),
                Err(error) => eprintln!("{} was not started: {error}", slot.name),
            }
        }
        self.write_file()?;
        let has_failed = result.is_err();
        match asked_by {
            Some(stream) => control::answer(stream, &result).await,
            None if has_failed => self.restart(index, None).await,
            None => {}
        }
        Ok(())
    }

    fn write_file(&self) -> Result<(), StartError> {
        cluster_file::write(&self.layout, self.options.shards, |name| {
            self.slots.iter().find(|slot| slot.name == name).map(|slot| slot.status).unwrap_or_default()
        })
    }

    /// Nodes first, so that they can write what they hold; then what they stand on.
    async fn stop(&mut self) {
        while let Some(restarted) = self.restarts.next().await {
            if let Some(slot) = self.slots.get_mut(restarted.index) {
                slot.member = Some(restarted.member);
            }
        }
        let mut members: Vec<Member> = self.slots.iter_mut().filter_map(|slot| slot.member.take()).collect();
        let is_node = |member: &Member| matches!(member.program, Program::Node { .. });
        let nodes = members.extract_if(.., |member| is_node(member)).collect();
        stop_all(nodes, self.node_patience).await;
        stop_all(members, STOP_PATIENCE).await;
    }

    fn announce(&self, took: Duration) {
        let line = "-".repeat(88);
        println!("{line}");
        println!("FOR DEVELOPMENT ONLY: known passwords, no TLS, databases that trust everyone on this machine");
        println!("{line}");
        for node in &self.layout.nodes {
            println!("{:8} {}   {}   metrics {}/metrics", node.id, node.url(), node.ws_url(), node.internal_url());
        }
        println!("redis    {}", self.layout.redis.url());
        println!("postgres {}", self.layout.directory_url());
        println!("users    alice bob carol admin, each with the password NAME-password");
        println!("files    {}   logs {}", self.layout.data_dir.display(), self.layout.data_dir.join("logs").display());
        println!("ready after {:.1} s; Ctrl-C stops everything", took.as_secs_f64());
        println!("{line}");
    }
}

fn node_member(layout: &Layout, node: &super::layout::NodeLayout) -> Member {
    let program =
        Program::Node { layout: Box::new(node.clone()), data_dir: layout.data_dir.clone(), log: layout.log(&node.id) };
    Member::new(node.id.clone(), program)
}

/// All at once; what has failed is said first.
async fn start_all(members: &mut [Member]) -> Result<(), StartError> {
    futures_util::future::try_join_all(members.iter_mut().map(Member::start)).await.map(|_| ())
}

async fn stop_all(mut members: Vec<Member>, patience: Duration) {
    futures_util::future::join_all(members.iter_mut().map(|member| member.stop(patience))).await;
}

fn check_port(port: u16) -> Result<(), StartError> {
    TcpListener::bind(("127.0.0.1", port))
        .map(|_| ())
        .map_err(|error| StartError::new(format!("port {port} cannot be used: {error} (another --port may be free)")))
}
