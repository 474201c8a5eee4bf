//! `herald doctor`: all that a node needs, looked at once, each with a line of its own.

use std::time::Duration;

use herald_router::Router;
use rustix::process::{Resource, getrlimit};

use super::{CliError, ConfigArgs, with_causes};
use crate::auth::issuers::{Issuer, Issuers};
use crate::auth::keys::Keys;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::NodeId;
use crate::run::router_config;
use crate::storage::{migrate, provision};

/// More than this between clocks lets tokens seem to come from the future.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(2);
/// Below this a node runs out of sockets early.
const FILES_MIN: u64 = 65_536;
const REDIS_WAIT: Duration = Duration::from_secs(2);

/// What was found so far.
#[derive(Default)]
struct Findings {
    bad: usize,
}

impl Findings {
    fn note(&mut self, what: &str, result: Result<String, String>) {
        match result {
            Ok(good) => println!("  good  {what}: {good}"),
            Err(bad) => {
                println!("  BAD   {what}: {bad}");
                self.bad += 1;
            }
        }
    }
}

pub async fn doctor(args: ConfigArgs) -> Result<(), CliError> {
    let config = args.load()?;
    let mut findings = Findings::default();
    findings.note("configuration", Ok("read".to_owned()));
    let keys = Keys::from_config(&config.auth);
    findings.note("auth.keys", keys.map(|_| config.auth.keys.len().to_string()).map_err(|error| with_causes(&error)));
    match Issuers::from_config(&config.auth) {
        Ok(issuers) => {
            for issuer in issuers.iter() {
                findings.note(&format!("auth.issuers.{}", issuer.name), look_at_issuer(issuer).await);
            }
        }
        Err(error) => findings.note("auth.issuers", Err(with_causes(&error))),
    }
    let databases = [("directory", &config.directory.url)].into_iter();
    let shards = config.shards.iter().map(|shard| (shard.name.as_str(), &shard.url));
    for (name, url) in databases.chain(shards) {
        findings.note(name, look_at_database(url).await);
    }
    findings.note("schema and slots", look_at_schema(&config).await);
    findings.note("redis", look_at_redis(&config).await);
    findings.note("open files", Ok(look_at_files()));
    match findings.bad {
        0 => Ok(()),
        bad => Err(format!("{bad} of the above must be seen to").into()),
    }
}

async fn look_at_database(url: &str) -> Result<String, String> {
    let found = provision::inspect(url).await.map_err(|error| with_causes(&error))?;
    let here = Clock::default().now();
    let skew = found.now.since(here).max(here.since(found.now));
    if found.version < 150_000 {
        return Err(format!("PostgreSQL {} is too old, 15 is needed", found.version / 10_000));
    }
    if found.encoding != "UTF8" {
        return Err(format!("its encoding is {}, it must be UTF8", found.encoding));
    }
    if found.synchronous_commit == "off" {
        return Err("synchronous_commit is off: what is acknowledged might not be durable".to_owned());
    }
    if skew > CLOCK_SKEW_MAX {
        return Err(format!("its clock and this machine's differ by {skew:?}"));
    }
    Ok(format!("PostgreSQL {}, clock within {skew:?}", found.version / 10_000))
}

async fn look_at_issuer(issuer: &Issuer) -> Result<String, String> {
    if !issuer.has_source() {
        return Ok("its key is in the configuration".to_owned());
    }
    let count = issuer.load().await.map_err(|error| with_causes(&error))?;
    Ok(format!("{count} keys read"))
}

async fn look_at_schema(config: &Config) -> Result<String, String> {
    let unreachable = migrate::check(config).await.map_err(|error| with_causes(&error))?;
    if !unreachable.is_empty() {
        return Err(format!("not looked at: {}", unreachable.join(", ")));
    }
    migrate::check_slots(&config.shards).await.map_err(|error| with_causes(&error))?;
    Ok("up to date, every slot held once".to_owned())
}

async fn look_at_redis(config: &Config) -> Result<String, String> {
    let mut router = router_config(config).map_err(|error| with_causes(&error))?;
    router.node_id = NodeId::parse("doctor").ok_or("no name")?;
    // Beside the cluster's own keys, so that nobody takes this for a node.
    router.key_prefix = format!("{}doctor:", config.redis.key_prefix);
    let (router, _events) = Router::start(router).await.map_err(|error| with_causes(&error))?;
    let is_up = tokio::time::timeout(REDIS_WAIT, async {
        while !router.is_up() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let result = is_up.await.map(|()| "answers, noeviction".to_owned()).map_err(|_| "does not answer".to_owned());
    router.shutdown().await;
    result
}

/// Never bad: how many sockets a node is to hold is not known here.
fn look_at_files() -> String {
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < FILES_MIN => {
            format!("at most {limit}; for service allow {FILES_MIN} or more (ulimit -Hn)")
        }
        Some(limit) => format!("at most {limit}"),
        None => "unlimited".to_owned(),
    }
}
