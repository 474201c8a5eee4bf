//! A node is gone, and all of its clients come to the others at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use futures_util::future::join_all;
use herald_loadtest::cli::Cli;
use herald_loadtest::report::Report;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::dev::DevCluster;
use super::support::{Cluster, DEADLINE, Device, Setup};

/// How many come back, unoptimised and beside other tests. For more, with a release build: `herald-loadtest storm`.
const CLIENTS: usize = 1_200;
/// Users who write to each other at the node that the others come to.
const PAIRS: usize = 15;
/// DESIGN.md: back within a minute.
const BACK_MAX_S: f64 = 60.0;

#[tokio::test(flavor = "multi_thread")]
async fn all_clients_of_a_killed_node_come_to_the_next_and_those_who_were_there_notice_little() {
    // Two at a time are let in, and a few of them find the next node full.
    let places = format!("limits.connections_max={}", CLIENTS + PAIRS);
    let cluster = DevCluster::start(&[
        "--nodes",
        "3",
        "--set",
        "limits.admissions_max=2",
        "--set",
        &places,
        "--set",
        "enable_first_message_limit=false",
        "--set",
        "max_messages_per_second=1000000",
    ])
    .await;
    let words = [
        "herald-loadtest",
        "storm",
        "--cluster",
        cluster.data_dir.to_str().unwrap(),
        "--connections",
        &CLIENTS.to_string(),
        "--phantom-users",
        "--source-addresses",
        "4",
        "--pairs",
        &PAIRS.to_string(),
        "--rate",
        "50",
        "--duration-s",
        "15",
    ]
    .map(str::to_owned);
    let report = tokio::task::spawn_blocking(move || herald_loadtest::run(&Cli::parse_from(words))).await.unwrap();
    let Report::Storm(storm) = report.unwrap().unwrap() else { panic!("another report") };
    assert_eq!(cluster.ended("node-1").await, 128 + 9);
    assert!(storm.is_right, "back {} of {CLIENTS}", storm.back);
    assert!(storm.away_max_s < BACK_MAX_S, "the last came after {} s", storm.away_max_s);
    // Who could not be let in was told so, before the upgrade or after it, and nobody was just cut off.
    assert!(storm.refused.keys().any(|reason| reason.contains(" 503 ")), "{:?}", storm.refused);
    let told = [" 503 ", "1013"];
    let others: Vec<_> = storm.refused.keys().filter(|reason| !told.iter().any(|word| reason.contains(word))).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(storm.established.ack.max_ms < 4_000.0, "an established sender waited {} ms", storm.established.ack.max_ms);
    assert!(storm.kib_per_connection < 100.0, "{} KiB for each", storm.kib_per_connection);
}

/// All places among those who are let in are taken, for longer than anybody waits for one.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_to_be_let_in_is_told_so_and_comes_in_later() {
    let cluster = Setup::nodes(1)
        .set("max_connections_per_user", 1_000)
        .configure(|config| config.limits.admissions_max = 1)
        .start()
        .await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let mut inside = bob.connect(&cluster, 0).await;
    let place = Arc::clone(&cluster.app(0).sessions.admissions).acquire_owned().await.unwrap();
    let begun = Instant::now();
    let (url, token) = (cluster.ws_url(0), alice.token());
    let mut waiting = join_all((0..50).map(|_| Device::connect(&url, Some(&token)))).await;
    while begun.elapsed() < Duration::from_secs(9) {
        let asked = Instant::now();
        inside.ask(json!({"type": "ping"})).await;
        assert!(asked.elapsed() < Duration::from_secs(1), "who is inside waits {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for device in &mut waiting {
        assert_eq!(device.closed().await, 1013);
    }
    drop(place);
    join_all((0..50).map(|_| alice.connect(&cluster, 0))).await;
    assert_eq!(cluster.app(0).hub.len(), 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_one_too_many_reads_that_there_is_no_place() {
    let cluster: Cluster = Setup::nodes(1).configure(|config| config.limits.connections_max = 1).start().await;
    let address = cluster.node(0).address;
    let mut inside = TcpStream::connect(address).await.unwrap();
    inside.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    inside.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let asking = (0..200).map(|_| async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        // More than is ever read of it.
        let head = format!("GET /ws HTTP/1.1\r\nhost: x\r\nx-much: {}\r\n\r\n", "x".repeat(9_000));
        let _ = socket.write_all(head.as_bytes()).await;
        // As a client that is busy: the answer must still be there.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await.unwrap();
        (read.is_ok(), String::from_utf8_lossy(&answer).into_owned())
    });
    for (is_whole, answer) in join_all(asking).await {
        assert!(is_whole && answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
    }
}
