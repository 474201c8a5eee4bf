//! Where users are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod common;

use std::time::Duration;

use common::{RedisServer, until};
use herald_router::{BootId, Route, SessionId};
use tokio::time::Instant;
use uuid::Uuid;

const LIMIT: usize = 3;

fn sessions(routes: &[Route]) -> Vec<SessionId> {
    routes.iter().map(|route| route.session).collect()
}

#[tokio::test]
async fn users_are_found_on_all_nodes() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let (alice, bob, carol) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let (first, second, third) = (SessionId::random(), SessionId::random(), SessionId::random());

    let registered = one.router.register(alice, first, 1, LIMIT).await.unwrap();
    assert!(registered.is_first && registered.others.is_empty() && registered.evicted.is_empty());
    let registered = two.router.register(alice, second, 2, LIMIT).await.unwrap();
    assert!(!registered.is_first);
    assert_eq!(registered.others, [Route { session: first, boot: one.router.boot(), connected_at_ms: 1 }]);
    two.router.register(bob, third, 3, LIMIT).await.unwrap();

    for node in [&one, &two] {
        let routes = node.router.routes(&[alice, carol, bob]).await.unwrap();
        assert_eq!(sessions(&routes[0]), [first, second]);
        assert!(routes[1].is_empty());
        assert_eq!(routes[2].as_slice(), [Route { session: third, boot: two.router.boot(), connected_at_ms: 3 }]);
        assert_eq!(node.router.users_of(two.router.boot()).await.unwrap().len(), 2);
    }
    let left = two.router.unregister(alice, second).await.unwrap();
    assert_eq!(sessions(&left), [first]);
    assert_eq!(one.router.users_of(two.router.boot()).await.unwrap(), [bob]);
    two.router.unregister_many(&[(bob, third)]).await.unwrap();
    assert!(one.router.routes(&[bob]).await.unwrap()[0].is_empty());
    assert!(one.router.users_of(two.router.boot()).await.unwrap().is_empty());
    assert!(one.router.routes(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_oldest_session_is_evicted_above_the_limit_wherever_it_is() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let alice = Uuid::new_v4();
    let old: Vec<SessionId> = (0..3).map(|_| SessionId::random()).collect();
    two.router.register(alice, old[1], 20, LIMIT).await.unwrap();
    one.router.register(alice, old[0], 10, LIMIT).await.unwrap();
    two.router.register(alice, old[2], 30, LIMIT).await.unwrap();

    let new = SessionId::random();
    let registered = two.router.register(alice, new, 40, LIMIT).await.unwrap();
    assert_eq!(registered.evicted, [Route { session: old[0], boot: one.router.boot(), connected_at_ms: 10 }]);
    assert_eq!(sessions(&registered.others), [old[1], old[2]]);
    assert_eq!(sessions(&one.router.routes(&[alice]).await.unwrap()[0]), [old[1], old[2], new]);

    // Registered again with an older time than all others, as after a loss: it is the one to go.
    let registered = one.router.register(alice, old[0], 10, LIMIT).await.unwrap();
    assert_eq!(sessions(&registered.evicted), [old[0]]);
    assert_eq!(sessions(&one.router.routes(&[alice]).await.unwrap()[0]), [old[1], old[2], new]);

    // A lower limit takes effect with the next session, for several at once.
    let registered = one.router.register(alice, SessionId::random(), 50, 1).await.unwrap();
    assert_eq!(sessions(&registered.evicted), [old[1], old[2], new]);
}

#[tokio::test]
async fn the_limit_holds_when_many_register_at_once() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let alice = Uuid::new_v4();
    let registering = (0..20).map(|number| {
        let router = if number % 2 == 0 { one.router.clone() } else { two.router.clone() };
        async move { router.register(alice, SessionId::random(), number, LIMIT).await.unwrap() }
    });
    let registered = futures_util::future::join_all(registering).await;
    let evicted: usize = registered.iter().map(|registered| registered.evicted.len()).sum();
    assert_eq!(one.router.routes(&[alice]).await.unwrap()[0].len(), LIMIT);
    assert_eq!(evicted, 20 - LIMIT);
}

#[tokio::test]
async fn a_silent_boot_does_not_cost_a_living_session_its_place() {
    let redis = RedisServer::start().await;
    let [one] = redis.nodes().await;
    let alice = Uuid::new_v4();
    // Two routes of a boot that has no lease, and that nobody has seen die either.
    let silent = [SessionId::random(), SessionId::random()];
    let ghost = BootId::random();
    let mut record = Vec::new();
    for session in silent {
        record.extend(session.0.as_bytes());
        record.extend(ghost.0.as_bytes());
        record.extend(100_i64.to_be_bytes());
    }
    let key = format!("herald:route:{{{alice}}}");
    redis::cmd("SET").arg(key).arg(record).exec_async(&mut redis.client().await).await.unwrap();

    let living = SessionId::random();
    one.router.register(alice, living, 1, LIMIT).await.unwrap();
    let started = Instant::now();
    let registered = one.router.register(alice, SessionId::random(), 200, LIMIT).await.unwrap();
    assert!(registered.evicted.is_empty());
    assert!(started.elapsed() < Duration::from_millis(900));
    assert_eq!(one.router.routes(&[alice]).await.unwrap()[0].len(), 4);
}

#[tokio::test]
async fn a_late_clean_up_cannot_delete_a_newer_route() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let alice = Uuid::new_v4();
    let session = SessionId::random();
    one.router.register(alice, session, 1, LIMIT).await.unwrap();
    let left = two.router.unregister(alice, session).await.unwrap();
    assert_eq!(sessions(&left), [session]);
    two.router.unregister_many(&[(alice, session)]).await.unwrap();
    assert_eq!(sessions(&one.router.routes(&[alice]).await.unwrap()[0]), [session]);
}

#[tokio::test]
async fn missing_routes_are_put_back_and_others_left_alone() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let users: Vec<Uuid> = (0..1_200).map(|_| Uuid::new_v4()).collect();
    let held: Vec<(Uuid, SessionId, i64)> = users.iter().map(|user| (*user, SessionId::random(), 7)).collect();
    let restored = one.router.restore(&held, LIMIT).await.unwrap();
    assert_eq!(restored.put_back.len(), 1_200);
    assert_eq!(one.router.restore(&held, LIMIT).await.unwrap(), herald_router::Restored::default());

    redis.run(&format!("DEL herald:route:{{{}}}", users[3])).await;
    let restored = one.router.restore(&held, LIMIT).await.unwrap();
    assert_eq!(restored.put_back, [(users[3], held[3].1)]);
    assert_eq!(two.router.routes(&users).await.unwrap().iter().flatten().count(), 1_200);

    // Evicted while its node did not hear of it: it is not put back over newer ones, but told of.
    let evicted = held[0];
    for number in 0..3 {
        two.router.register(evicted.0, SessionId::random(), 100 + number, LIMIT).await.unwrap();
    }
    let restored = one.router.restore(&held, LIMIT).await.unwrap();
    assert!(restored.put_back.is_empty());
    assert_eq!(restored.evicted.len(), 1);
    assert_eq!(restored.evicted[0].1.session, evicted.1);
}

#[tokio::test]
async fn routes_of_a_boot_that_left_are_neither_shown_nor_counted() {
    let redis = RedisServer::start().await;
    let [one, two] = redis.nodes().await;
    let alice = Uuid::new_v4();
    for number in 0..3 {
        two.router.register(alice, SessionId::random(), number, LIMIT).await.unwrap();
    }
    let boot = two.router.boot();
    two.router.shutdown().await;
    until("the boot has left", async || one.router.live_boots().len() == 1).await;
    assert!(one.router.routes(&[alice]).await.unwrap()[0].is_empty());
    let registered = one.router.register(alice, SessionId::random(), 9, LIMIT).await.unwrap();
    assert!(registered.is_first && registered.evicted.is_empty());
    assert!(one.router.users_of(boot).await.unwrap().is_empty());
}
