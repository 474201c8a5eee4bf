//! Encrypted connections to PostgreSQL and Redis: with the right authority all goes on as ever, with a wrong one nothing begins.

use std::path::Path;

use herald_node::config::{Config, SlotRange};
use herald_node::run::Node;
use herald_node::storage::{migrate, provision};
use serde_json::json;

use super::support::authority::Authority;
use super::support::dev::herald;
use super::support::own::{OwnPostgres, OwnRedis};
use super::support::{Cluster, Setup};

const DATABASES: [&str; 3] = ["directory", "shard-1", "shard-2"];

/// A server with the databases of a cluster, not encrypted yet.
async fn migrated() -> OwnPostgres {
    let server = OwnPostgres::start().await;
    for name in DATABASES {
        provision::create_database(&server.options.url("postgres"), name).await.unwrap();
    }
    migrate::migrate_directory(&server.options.url("directory")).await.unwrap();
    for (index, name) in (0..).zip(["shard-1", "shard-2"]) {
        migrate::migrate_shard(name, &server.options.url(name), SlotRange::part(index, 2)).await.unwrap();
    }
    server
}

fn urls(server: &OwnPostgres, host: &str, tls: &str) -> Vec<String> {
    DATABASES.iter().map(|name| server.options.url(name).replace("127.0.0.1", host) + tls).collect()
}

fn trusting(ca_file: &Path) -> String {
    format!("?sslmode=verify-full&sslrootcert={}", ca_file.display())
}

/// A cluster whose databases and Redis are at these addresses.
fn setup(urls: &[String], redis_url: &str, ca_file: &Path) -> Setup {
    let ca_file = ca_file.to_owned();
    Setup::nodes(2)
        .set("enable_first_message_limit", false)
        .directory_url(&urls[0])
        .shard_urls(&urls[1..])
        .redis(redis_url)
        .configure(move |config| config.redis.ca_file = Some(ca_file.clone()))
}

/// What `herald check-config` and `herald doctor` say of a configuration, and whether they find it good.
fn inspected(config: &Config) -> [(bool, String); 2] {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_toml().unwrap()).unwrap();
    ["check-config", "doctor"].map(|command| {
        let output = herald(&[command, "--config", file.path().to_str().unwrap()]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    })
}

async fn start_fails(config: Config) -> String {
    let error = Node::start(config).await.err().expect("the node has started");
    herald_node::cli::with_causes(&error)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_syncs_go_over_encrypted_connections() {
    let (authority, redis) = (Authority::new(), OwnRedis::start().await);
    let server = migrated().await;
    authority.encrypt_postgres(&server, "localhost", false).await;
    let redis_url = authority.encrypt_redis(&redis, "localhost", false).await;
    let urls = urls(&server, "localhost", &trusting(&authority.ca_file));
    let cluster = setup(&urls, &redis_url, &authority.ca_file).start().await;
    says_and_syncs(&cluster).await;
    let admin = provision::connect(&urls[0]).await.unwrap();
    let open = "select count(*), count(*) filter (where s.ssl) from pg_stat_ssl s join pg_stat_activity a using (pid)
                where a.application_name like 'herald%'";
    let row = admin.query_one(open, &[]).await.unwrap();
    let (all, encrypted): (i64, i64) = (row.get(0), row.get(1));
    assert!(all >= 6 && all == encrypted, "{encrypted} of {all}");
    let [(is_good, check), (is_well, doctor)] = inspected(&cluster.config(0));
    assert!(is_good && is_well, "{check}\n{doctor}");
}

/// Alice writes from one node, Bob has it at the other, and what he missed by a sync.
async fn says_and_syncs(cluster: &Cluster) {
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let (mut a, mut b) = (alice.connect(cluster, 0).await, bob.connect(cluster, 1).await);
    a.say(bob.id, "one").await;
    assert_eq!(b.next_message().await["content"], "one");
    let cursor = b.ask(json!({"type": "sync", "data": {}})).await;
    assert_eq!(cursor["action"], "page", "{cursor}");
    let complete = b.expect("sync/complete").await;
    b.close().await;
    b.closed().await;
    a.say(bob.id, "two").await;
    let mut again = bob.connect_with_sync(cluster, 0, json!({"cursor": complete["data"]["cursor"]})).await;
    let page = again.expect("sync/page").await;
    let frames = page["data"]["frames"].as_array().unwrap();
    assert_eq!(frames.last().unwrap()["data"]["content"], "two", "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_show_a_certificate_shows_it() {
    let (authority, redis) = (Authority::new(), OwnRedis::start().await);
    let server = migrated().await;
    authority.encrypt_postgres(&server, "localhost", true).await;
    let redis_url = authority.encrypt_redis(&redis, "localhost", true).await;
    let (certificate, key) = authority.sign("herald");
    let tls = trusting(&authority.ca_file);
    let shown = format!("{tls}&sslcert={}&sslkey={}", certificate.display(), key.display());
    let cluster = setup(&urls(&server, "localhost", &shown), &redis_url, &authority.ca_file)
        .configure(move |config| {
            config.redis.certificate_file = Some(certificate.clone());
            config.redis.private_key_file = Some(key.clone());
        })
        .start()
        .await;
    assert!(cluster.app(0).router.is_up());
    says_and_syncs(&cluster).await;
    let mut without = cluster.config(0);
    (without.directory.url, without.redis.certificate, without.redis.private_key) =
        (urls(&server, "localhost", &tls)[0].clone(), String::new(), String::new());
    (without.redis.certificate_file, without.redis.private_key_file) = (None, None);
    let [(is_good, check), (is_well, doctor)] = inspected(&without);
    assert!(is_good && !is_well, "{check}\n{doctor}");
    assert!(doctor.contains("BAD   directory") && doctor.contains("BAD   redis"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_another_is_refused_by_name() {
    let (authority, stranger, redis) = (Authority::new(), Authority::new(), OwnRedis::start().await);
    let server = migrated().await;
    authority.encrypt_postgres(&server, "localhost", false).await;
    let redis_url = authority.encrypt_redis(&redis, "localhost", false).await;
    let good = urls(&server, "localhost", &trusting(&authority.ca_file));
    // The cluster is only asked for its configuration.
    let cluster = Setup::nodes(0).start().await;
    let with = |directory: &str, shard: &str, redis_url: &str, ca_file: &Path| {
        let mut config = cluster.config(0);
        config.directory.url = directory.to_owned();
        config.shards.truncate(1);
        config.shards[0].slots = "0-1023".to_owned();
        config.shards[0].url = shard.to_owned();
        config.redis.urls = vec![redis_url.to_owned()];
        config.redis.ca_file = Some(ca_file.to_owned());
        config.prepare().unwrap()
    };
    let own = authority.ca_file.as_path();
    let other = urls(&server, "localhost", &trusting(&stranger.ca_file));
    let elsewhere = urls(&server, "127.0.0.1", &trusting(&authority.ca_file));
    // Signed by somebody else; for another name; the same of Redis.
    let cases = [
        (with(&other[0], &good[1], &redis_url, own), "directory", "UnknownIssuer"),
        (with(&good[0], &other[1], &redis_url, own), "shard-1", "UnknownIssuer"),
        (with(&elsewhere[0], &good[1], &redis_url, own), "directory", "not valid for name"),
        (with(&good[0], &good[1], &redis_url, &stranger.ca_file), "redis", "UnknownIssuer"),
        (with(&good[0], &good[1], &redis_url.replace("localhost", "127.0.0.1"), own), "redis", "not valid for name"),
    ];
    for (config, place, reason) in cases {
        let [(is_good, check), (is_well, doctor)] = inspected(&config);
        assert!(is_good && !is_well, "{check}\n{doctor}");
        let line = doctor.lines().find(|line| line.contains("BAD") && line.contains(place)).unwrap_or(&doctor);
        assert!(line.contains(reason), "{doctor}");
        let error = start_fails(config).await;
        assert!(error.contains(place) && error.contains(reason), "{error}");
    }
    // What needs no connection to be seen.
    let mut config = with(&good[0], &good[1], &redis_url, own);
    config.shards[0].url = good[1].replace("verify-full", "prefer");
    let nobody = services_folder_file("empty.pem");
    let mut no_ca = with(&good[0], &good[1], &redis_url, own);
    no_ca.redis.ca_file = Some(nobody);
    let mut plain = with(&good[0], &good[1], &redis_url, own);
    plain.redis.urls = vec![redis.url()];
    for (config, words) in [(config, "sslmode=prefer"), (no_ca, "CA of redis"), (plain, "not rediss://")] {
        let [(is_good, check), _] = inspected(&config);
        assert!(!is_good && check.contains(words), "{check}");
    }
    // A server that does not encrypt is not talked to in the clear.
    let open = OwnPostgres::start().await;
    let asked = open.options.url("postgres").replace("127.0.0.1", "localhost") + &trusting(&authority.ca_file);
    let error = provision::connect(&asked).await.expect_err("connected");
    let said = herald_node::cli::with_causes(&error);
    assert!(said.contains("server does not support TLS"), "{said}");
}

fn services_folder_file(name: &str) -> std::path::PathBuf {
    let file = super::support::services::folder().join(name);
    std::fs::write(&file, "nothing\n").unwrap();
    file
}
