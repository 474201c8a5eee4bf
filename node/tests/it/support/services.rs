//! One PostgreSQL and one Redis for the whole run of this binary, started when the first test needs them. A thread of their own
//! starts them and makes databases, one at a time, as clones of migrated templates. They end with this process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};

use herald_node::cli::dev::postgres::{self, PostgresOptions};
use herald_node::cli::dev::process::free_port;
use herald_node::cli::dev::redis::{self, RedisOptions};
use herald_node::config::SlotRange;
use herald_node::storage::{migrate, provision};
use tokio::sync::oneshot;

enum Order {
    Clone { template: &'static str, name: String, done: oneshot::Sender<()> },
    Drop { name: String },
}

pub struct Services {
    pub postgres: PostgresOptions,
    pub redis: RedisOptions,
    orders: mpsc::Sender<Order>,
}

pub const DIRECTORY: &str = "template_directory";
/// Shard templates hold no slots: each clone gets its own range.
pub const SHARD: &str = "template_shard";

static SERVICES: OnceLock<Services> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A number that no other test of this run has.
pub fn unique() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A folder of this run, gone after it.
pub fn folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = std::env::temp_dir().join(format!("herald-test-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            remove_when_we_end(&folder);
            folder
        })
        .clone()
}

pub fn services() -> &'static Services {
    SERVICES.get_or_init(|| {
        let (ready, is_ready) = mpsc::channel();
        std::thread::Builder::new().name("services".to_owned()).spawn(move || run(&ready)).unwrap();
        is_ready.recv().expect("PostgreSQL and Redis did not start")
    })
}

impl Services {
    /// A new database; dropped by [`Services::drop_database`].
    pub async fn clone_database(&self, template: &'static str, name: &str) -> String {
        let (done, is_done) = oneshot::channel();
        self.orders.send(Order::Clone { template, name: name.to_owned(), done }).unwrap();
        is_done.await.expect("the database was not made");
        self.postgres.url(name)
    }

    pub fn drop_database(&self, name: &str) {
        let _ = self.orders.send(Order::Drop { name: name.to_owned() });
    }
}

/// The kernel stops both servers with this thread, which ends with the process.
fn run(ready: &mpsc::Sender<Services>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (orders, to_do) = mpsc::channel();
    let folder = folder();
    let (admin, _children) = runtime.block_on(async {
        let (services, children) = start(&folder, orders).await;
        let admin = provision::connect(&services.postgres.url("postgres")).await.unwrap();
        make_templates(&services).await;
        ready.send(services).ok().unwrap();
        (admin, children)
    });
    for order in to_do {
        runtime.block_on(async {
            match order {
                Order::Clone { template, name, done } => {
                    let sql = format!("create database \"{name}\" template \"{template}\" strategy file_copy");
                    admin.batch_execute(&sql).await.unwrap();
                    let _ = done.send(());
                }
                Order::Drop { name } => {
                    let _ = admin.batch_execute(&format!("drop database if exists \"{name}\" with (force)")).await;
                }
            }
        });
    }
}

async fn start(folder: &Path, orders: mpsc::Sender<Order>) -> (Services, [Child; 2]) {
    // A port that was free may be taken when it is used.
    for attempt in 0.. {
        let postgres = PostgresOptions {
            directory: folder.join(format!("postgres-{attempt}")),
            port: free_port().unwrap(),
            is_durable: false,
            max_connections: 1_000,
            preload: None,
        };
        let redis = RedisOptions { directory: folder.join("redis"), port: free_port().unwrap() };
        let started = async {
            Ok::<_, herald_node::cli::dev::StartError>([postgres::start(&postgres).await?, redis::start(&redis).await?])
        };
        match started.await {
            Ok(children) => return (Services { postgres, redis, orders }, children),
            Err(error) if attempt < 3 => eprintln!("{error}"),
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

async fn make_templates(services: &Services) {
    let server = services.postgres.url("postgres");
    for template in [DIRECTORY, SHARD] {
        provision::create_database(&server, template).await.unwrap();
    }
    migrate::migrate_directory(&services.postgres.url(DIRECTORY)).await.unwrap();
    let shard = services.postgres.url(SHARD);
    migrate::migrate_shard("template", &shard, SlotRange { first: 0, last: 1023 }).await.unwrap();
    let client = provision::connect(&shard).await.unwrap();
    client.batch_execute("delete from slot").await.unwrap();
}

/// A shell waits for the end of our pipe: it comes however this process ends.
fn remove_when_we_end(folder: &Path) {
    use std::os::unix::process::CommandExt;
    let mut guard = Command::new("sh")
        .args(["-c", "read -r _; sleep 1; rm -rf \"$0\"; sleep 1; rm -rf \"$0\""])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let pipe = guard.stdin.take().unwrap();
    // Both are kept until the process ends.
    std::mem::forget(pipe);
    std::mem::forget(guard);
}
