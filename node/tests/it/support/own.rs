//! Servers of one test's own, which it may kill and start again. They end with the test's thread.

use std::process::Child;

use herald_node::cli::dev::postgres::{self, PostgresOptions};
use herald_node::cli::dev::process::{self, Shell, User, free_port};
use herald_node::cli::dev::redis::{self, RedisOptions};

use super::services;

pub struct OwnRedis {
    options: RedisOptions,
    child: Option<Child>,
}

impl OwnRedis {
    pub async fn start() -> Self {
        let directory = services::folder().join(format!("redis-{}", services::unique()));
        let mut own = Self { options: RedisOptions { directory, port: free_port().unwrap() }, child: None };
        own.start_again().await;
        own
    }

    pub fn url(&self) -> String {
        self.options.url()
    }

    /// Starts it empty, at the same address.
    pub async fn start_again(&mut self) {
        self.child = Some(redis::start(&self.options).await.unwrap());
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        kill(self.child.take());
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

pub struct OwnPostgres {
    pub options: PostgresOptions,
    child: Option<Child>,
}

impl OwnPostgres {
    /// An empty server; see `herald_node::storage::{provision, migrate}` for databases in it.
    pub async fn start() -> Self {
        let options = PostgresOptions {
            directory: services::folder().join(format!("postgres-{}", services::unique())),
            port: free_port().unwrap(),
            is_durable: false,
            max_connections: 200,
            preload: None,
        };
        let mut own = Self { options, child: None };
        own.start_again().await;
        own
    }

    /// A standby that follows a running server, as it is now and from now on.
    pub async fn standby_of(primary: &Self) -> Self {
        let directory = services::folder().join(format!("postgres-{}", services::unique()));
        let options = PostgresOptions { directory, port: free_port().unwrap(), ..primary.options.clone() };
        let data = options.directory.join("data");
        let user = if process::is_root() { User::find(&["postgres", "nobody"]) } else { None };
        process::make_private_directory(&data, user.as_ref()).unwrap();
        let shell = Shell { user: user.as_ref(), directory: &data, death_signal: "KILL" };
        let copied = shell
            .command(&postgres::program("pg_basebackup").unwrap())
            .args(["-h", "127.0.0.1", "-p", &primary.options.port.to_string(), "-U", postgres::POSTGRES_USER])
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-D"])
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let mut own = Self { options, child: None };
        own.start_again().await;
        own
    }

    pub async fn start_again(&mut self) {
        self.child = Some(postgres::start(&self.options).await.unwrap());
    }

    /// As `kill -9` of the server's first process; the others follow.
    pub fn kill(&mut self) {
        kill(self.child.take());
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}
