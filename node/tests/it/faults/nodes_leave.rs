//! A node that is asked to leave under load.

use std::time::Duration;

use rustix::process::Signal;

use super::chatter::now_ms;
use super::load::{LOAD_ARGUMENTS, Load, assert_within};
use crate::support::dev::DevCluster;

#[tokio::test]
async fn a_leaving_node_takes_nothing_with_it() {
    let cluster = DevCluster::start(LOAD_ARGUMENTS).await;
    let (alice, bob) = (cluster.login(0, "alice").await, cluster.login(1, "bob").await);
    let mut bob = bob.connect(&cluster, 1).await;
    let mut at_first = alice.connect(&cluster, 0).await;
    let load = Load::start(&cluster, &[0, 1, 0, 0, 1, 1, 1, 0], Duration::from_millis(60)).await;

    let begun = now_ms();
    cluster.signal("node-1", Signal::TERM);
    let told = at_first.expect("reconnect").await;
    assert!(told["data"]["after_ms"].as_u64().unwrap() <= 2_000, "{told}");
    assert_eq!(at_first.closed().await, 1001);
    let at_second = alice.connect(&cluster, 1).await;
    assert_eq!(cluster.ended("node-1").await, 0);
    load.chats(Duration::from_secs(8)).await;

    // Everyone who was there was told, and closed in good order.
    let closed = load.closed();
    assert_eq!(closed.iter().filter(|(_, closed)| closed.node == 0).count(), 4, "{closed:?}");
    for (user, closed) in closed {
        assert!(closed.node == 0 && closed.code == 1001 && closed.had_reconnect, "{user}: {closed:?}");
    }
    // It comes again, and the other one goes: a rolling restart.
    assert!(cluster.restart("node-1").await.status.success());
    cluster.signal("node-2", Signal::TERM);
    assert_eq!(bob.closed().await, 1001);
    assert_eq!(cluster.ended("node-2").await, 0);
    load.chats(Duration::from_secs(8)).await;
    drop(at_second);

    // Alice was away for a moment only: bob was told nothing.
    let statuses: Vec<_> =
        bob.take_waiting().into_iter().filter(|frame| frame["data"]["status"] == "offline").collect();
    assert!(statuses.is_empty(), "{statuses:?}");
    let (arrivals, _resyncs) = load.finish().await;
    assert_within(&arrivals, begun - 1_000..now_ms(), Duration::from_secs(5), "leaving");
}
