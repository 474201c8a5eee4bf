//! Buckets, locks, things used once, status; and what a Redis must be to be used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod common;

use std::time::Duration;

use common::{RedisServer, until};
use herald_router::{NodeId, Router, RouterConfig, RouterError};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

#[tokio::test]
async fn a_bucket_is_shared_by_all_nodes_and_fills_again() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let begun = Instant::now();
    let first = one.router.take("send:a", 10.0, 10.0, 7).await.unwrap();
    assert_eq!((first.granted, first.retry_after_ms), (7, 0));
    let second = two.router.take("send:a", 10.0, 10.0, 7).await.unwrap();
    // Three are left, and what has come since.
    let most = 4.0 + begun.elapsed().as_secs_f64() * 10.0;
    assert!(
        (3.0..=most).contains(&f64::from(second.granted)) && (1..=100).contains(&second.retry_after_ms),
        "{second:?}"
    );
    // Another bucket has nothing to do with it.
    assert_eq!(two.router.take("send:b", 10.0, 10.0, 20).await.unwrap().granted, 10);
    sleep(Duration::from_millis(second.retry_after_ms)).await;
    assert!(one.router.take("send:a", 10.0, 10.0, 1).await.unwrap().granted == 1);
    // Taken as fast as possible for a second, it gives the rate.
    let started = Instant::now();
    let mut granted = 0;
    while started.elapsed() < Duration::from_secs(1) {
        granted += one.router.take("send:c", 100.0, 20.0, 5).await.unwrap().granted;
    }
    let most = 21.0 + started.elapsed().as_secs_f64() * 100.0;
    assert!((100.0..=most).contains(&f64::from(granted)), "{granted} of at most {most}");
    // The bucket follows the setting.
    let less = one.router.take("send:a", 10.0, 2.0, 10).await.unwrap();
    assert!(less.granted <= 2);
    assert!(matches!(one.router.take("send:a", 0.0, 1.0, 1).await, Err(RouterError::Config(_))));
}

#[tokio::test]
async fn a_key_is_used_once_on_all_nodes() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let key = Uuid::new_v4();
    let uses = (0..20).map(|number| {
        let router = if number % 2 == 0 { &one.router } else { &two.router };
        async move { router.use_once(key, Duration::from_millis(300)).await.unwrap() }
    });
    let firsts = futures_util::future::join_all(uses).await.into_iter().filter(|is_first| *is_first).count();
    assert_eq!(firsts, 1);
    sleep(Duration::from_millis(350)).await;
    assert!(one.router.use_once(key, Duration::from_secs(1)).await.unwrap());
}

#[tokio::test]
async fn a_lock_has_one_holder_and_hands_its_value_over() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let ttl = Duration::from_millis(400);
    let lock = one.router.try_lock("sweep:shard-1", ttl).await.unwrap().expect("nobody holds it");
    assert_eq!(lock.value, "");
    assert!(two.router.try_lock("sweep:shard-1", ttl).await.unwrap().is_none());
    assert!(one.router.try_lock("sweep:shard-1", ttl).await.unwrap().is_none());
    assert!(one.router.renew_lock(&lock, ttl, "as far as 7").await.unwrap());
    // The holder says nothing more: after its time the next one goes on where it was.
    until("it is free", async || {
        let taken = two.router.try_lock("sweep:shard-1", ttl).await.unwrap();
        taken.is_some_and(|lock| lock.value == "as far as 7")
    })
    .await;
    assert!(!one.router.renew_lock(&lock, ttl, "as far as 8").await.unwrap());
    one.router.unlock(lock).await.unwrap();
    assert!(one.router.try_lock("sweep:shard-1", ttl).await.unwrap().is_none());

    let lock = one.router.try_lock("other", ttl).await.unwrap().unwrap();
    one.router.renew_lock(&lock, ttl, "done").await.unwrap();
    one.router.unlock(lock).await.unwrap();
    let lock = two.router.try_lock("other", ttl).await.unwrap().expect("was given back");
    assert_eq!(lock.value, "done");
}

#[tokio::test]
async fn status_and_last_seen_are_kept() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let (alice, bob) = (Uuid::new_v4(), Uuid::new_v4());
    one.router.set_status(alice, "busy").await.unwrap();
    one.router.set_last_seen(&[(bob, 42)]).await.unwrap();
    assert_eq!(two.router.get_status(&[bob, alice]).await.unwrap(), [None, Some("busy".to_owned())]);
    assert_eq!(two.router.get_last_seen(&[bob, alice]).await.unwrap(), [Some(42), None]);
    assert!(two.router.get_status(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused() {
    let redis = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let refused = Router::start(redis.config("node-1")).await.err().expect("is refused");
    assert!(matches!(&refused, RouterError::EvictionPolicy(policy) if policy == "allkeys-lru"), "{refused:?}");
    redis.run("CONFIG SET maxmemory-policy noeviction").await;
    assert!(Router::start(redis.config("node-1")).await.is_ok());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let good = RouterConfig::new("redis://127.0.0.1:1", NodeId::parse("node-1").unwrap());
    for spoil in [
        |config: &mut RouterConfig| config.urls.clear(),
        |config: &mut RouterConfig| config.urls = vec!["http://x".to_owned()],
        |config: &mut RouterConfig| config.key_prefix = "a{b}".to_owned(),
        |config: &mut RouterConfig| config.lease_ms = 1_000,
        |config: &mut RouterConfig| config.command_timeout_ms = 0,
    ] {
        let mut config = good.clone();
        spoil(&mut config);
        assert!(Router::start(config).await.is_err());
    }
    assert!(NodeId::parse("").is_none() && NodeId::parse("a b").is_none() && NodeId::parse(&"x".repeat(65)).is_none());
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_given_to_it_again() {
    let redis = RedisServer::start().await;
    let [one] = redis.nodes().await;
    for _ in 0..3 {
        redis.run("SCRIPT FLUSH").await;
        assert_eq!(one.router.take("a", 10.0, 10.0, 1).await.unwrap().granted, 1);
    }
    redis.run("SCRIPT FLUSH").await;
    sleep(Duration::from_millis(1_200)).await;
    assert!(one.router.is_up());
}
