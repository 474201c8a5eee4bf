//! Who is there: the table of leases as this node has read it, and what follows from two readings of it. No I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use uuid::Uuid;

use crate::clock::Moment;
use crate::event::Event;
use crate::ids::{BootId, NodeId};
use crate::keys::Keys;
use crate::value;

/// After Redis was away, or lost its data, or this node started, missing leases may still come back: nobody is declared dead for as long.
pub(crate) const GRACE_AFTER_LOSS: Duration = Duration::from_secs(10);
pub(crate) const GRACE_AFTER_START: Duration = Duration::from_secs(3);
/// A lease that ended before this long was swept by others; a node that starts does not tell of it.
const NEWS_AGE_MAX: Duration = Duration::from_mins(10);
/// Leases that ended longer ago are taken out of the table.
const TABLE_AGE_MAX: Duration = Duration::from_mins(15);
/// How long a boot that is gone is remembered, so that its routes are recognised.
const MEMORY: Duration = Duration::from_hours(1);

/// One line of the table of leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub boot: BootId,
    pub node: NodeId,
    /// Goes up with each renewal.
    pub counter: u64,
    /// Since it was last renewed, by the server's clock.
    pub age: Duration,
}

/// Asks for the leases of some boots.
pub(crate) fn ask_leases(keys: &Keys, boots: &[BootId]) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(keys.nodes());
    for boot in boots {
        command.arg(boot.0.to_string());
    }
    command
}

/// The renewal counter of each boot that has a lease, from the answer to [`ask_leases`].
pub(crate) fn read_renewals(boots: &[BootId], answer: &Value) -> HashMap<BootId, u64> {
    let leases = value::array(answer).unwrap_or_default();
    let counters = boots.iter().zip(leases).filter_map(|(boot, lease)| {
        let (counter, ..) = parse_lease(value::text(lease)?)?;
        Some((*boot, counter))
    });
    counters.collect()
}

/// The counter, the time and the node of a lease's value, see `scripts/lease_renew.lua`.
fn parse_lease(text: &str) -> Option<(u64, u64, &str)> {
    let mut words = text.splitn(3, ' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?))
}

/// Reads the table of leases as `HGETALL` in a script gives it. Lines that cannot be read are skipped.
pub(crate) fn parse_table(table: &Value, now_ms: u64) -> Vec<Lease> {
    let lines = value::array(table).unwrap_or_default();
    lines
        .chunks_exact(2)
        .filter_map(|line| {
            let [boot, lease] = line else { return None };
            let boot = BootId(Uuid::try_parse(value::text(boot)?).ok()?);
            let (counter, renewed_ms, node) = parse_lease(value::text(lease)?)?;
            let age = Duration::from_millis(now_ms.saturating_sub(renewed_ms));
            Some(Lease { boot, node: NodeId::parse(node)?, counter, age })
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    /// Was live when Redis lost the table: to be seen again, or declared dead when the grace is over.
    Unsure,
    Gone,
}

#[derive(Debug)]
struct Peer {
    node: NodeId,
    state: State,
    first_seen: Moment,
    last_seen: Moment,
}

/// What follows from a reading of the table.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub events: Vec<Event>,
    /// Leases to take out of the table, as nobody needs them any more.
    pub outdated: Vec<BootId>,
}

/// The peers of one node.
#[derive(Debug)]
pub(crate) struct Peers {
    known: HashMap<BootId, Peer>,
    lease: Duration,
    quiet_until: Moment,
    /// Foreign boots whose lease stood when the table was last read.
    fresh: Arc<[(NodeId, BootId)]>,
}

impl Peers {
    pub(crate) fn new(lease: Duration, now: Moment) -> Self {
        let quiet_until = now.forward_by(GRACE_AFTER_START);
        Self { known: HashMap::new(), lease, quiet_until, fresh: Arc::from([]) }
    }

    /// Redis was away: leases could not be renewed by anyone.
    pub(crate) fn be_quiet(&mut self, now: Moment) {
        self.quiet_until = self.quiet_until.max(now.forward_by(GRACE_AFTER_LOSS));
    }

    /// Redis lost the table: that a boot is missing in it means nothing yet.
    pub(crate) fn forget_table(&mut self, now: Moment) {
        self.be_quiet(now);
        for peer in self.known.values_mut().filter(|peer| peer.state == State::Live) {
            peer.state = State::Unsure;
        }
    }

    /// Takes note of a reading of the table, made at `now`.
    pub(crate) fn observe(&mut self, table: &[Lease], own: BootId, now: Moment) -> Observed {
        let mut observed = Observed::default();
        let is_quiet = now < self.quiet_until;
        for lease in table.iter().filter(|lease| lease.boot != own) {
            self.observe_lease(lease, now, is_quiet, &mut observed);
        }
        self.observe_missing(table, now, is_quiet, &mut observed);
        self.known.retain(|_, peer| peer.state != State::Gone || now.since(peer.last_seen) < MEMORY);
        let fresh: Vec<_> = table
            .iter()
            .filter(|lease| lease.boot != own && lease.age <= self.lease)
            .map(|lease| (lease.node.clone(), lease.boot))
            .collect();
        if *fresh != *self.fresh {
            self.fresh = Arc::from(fresh);
        }
        observed
    }

    fn observe_lease(&mut self, lease: &Lease, now: Moment, is_quiet: bool, observed: &mut Observed) {
        let is_fresh = lease.age <= self.lease;
        if !is_fresh && lease.age > TABLE_AGE_MAX {
            observed.outdated.push(lease.boot);
        }
        let last_seen = now.back_by(lease.age);
        if !is_fresh && !self.known.contains_key(&lease.boot) && lease.age > NEWS_AGE_MAX {
            return;
        }
        let peer = self.known.entry(lease.boot).or_insert_with(|| Peer {
            node: lease.node.clone(),
            state: if is_fresh { State::Gone } else { State::Unsure },
            first_seen: last_seen,
            last_seen,
        });
        peer.last_seen = last_seen;
        if is_fresh {
            if peer.state == State::Gone {
                observed.events.push(Event::BootSeen { node: lease.node.clone(), boot: lease.boot });
            }
            peer.state = State::Live;
        } else if peer.state != State::Gone && !is_quiet {
            peer.state = State::Gone;
            observed.events.push(Event::BootDied {
                node: lease.node.clone(),
                boot: lease.boot,
                last_seen_ago: lease.age,
            });
        }
    }

    fn observe_missing(&mut self, table: &[Lease], now: Moment, is_quiet: bool, observed: &mut Observed) {
        for (boot, peer) in &mut self.known {
            if peer.state == State::Gone || table.iter().any(|lease| lease.boot == *boot) {
                continue;
            }
            let node = peer.node.clone();
            match peer.state {
                State::Unsure if !is_quiet => {
                    let last_seen_ago = now.since(peer.last_seen);
                    observed.events.push(Event::BootDied { node, boot: *boot, last_seen_ago });
                    peer.state = State::Gone;
                }
                State::Live => {
                    observed.events.push(Event::BootLeft { node, boot: *boot });
                    peer.state = State::Gone;
                }
                State::Unsure | State::Gone => {}
            }
        }
    }

    /// Foreign boots whose lease stood when the table was last read.
    pub(crate) fn fresh(&self) -> Arc<[(NodeId, BootId)]> {
        Arc::clone(&self.fresh)
    }

    pub(crate) fn is_gone(&self, boot: BootId) -> bool {
        self.known.get(&boot).is_some_and(|peer| peer.state == State::Gone)
    }

    /// Boots that this node has seen die or leave, one after another, the newest 256.
    pub(crate) fn gone(&self) -> Vec<BootId> {
        let mut gone: Vec<_> = self
            .known
            .iter()
            .filter(|(_, peer)| peer.state == State::Gone)
            .map(|(boot, peer)| (peer.last_seen, *boot))
            .collect();
        gone.sort_unstable_by(|a, b| b.cmp(a));
        gone.into_iter().take(256).map(|(_, boot)| boot).collect()
    }

    /// The node that a boot is or was a life of, and when it began as far as this node knows.
    pub(crate) fn node_of(&self, boot: BootId) -> Option<(&NodeId, Moment)> {
        self.known.get(&boot).map(|peer| (&peer.node, peer.first_seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn boot(number: u128) -> BootId {
        BootId(Uuid::from_u128(number))
    }

    fn lease(number: u128, age_ms: u64) -> Lease {
        let node = NodeId::parse(&format!("node-{number}")).unwrap();
        Lease { boot: boot(number), node, counter: 1, age: Duration::from_millis(age_ms) }
    }

    fn peers_that_know(leases: &[Lease]) -> (Peers, Moment) {
        let start = Moment::from_millis(1_000_000);
        let mut peers = Peers::new(LEASE, start);
        let now = start.forward_by(GRACE_AFTER_START);
        let observed = peers.observe(leases, boot(1), now);
        assert!(observed.events.iter().all(|event| matches!(event, Event::BootSeen { .. })));
        (peers, now)
    }

    #[test]
    fn a_peer_that_does_not_renew_dies_once() {
        let (mut peers, now) = peers_that_know(&[lease(1, 0), lease(2, 100)]);
        assert_eq!(peers.fresh().len(), 1);
        assert!(peers.observe(&[lease(2, 6_000)], boot(1), now).events.is_empty());
        let events = peers.observe(&[lease(2, 6_001)], boot(1), now).events;
        assert!(matches!(events.as_slice(), [Event::BootDied { boot: died, last_seen_ago, .. }]
            if *died == boot(2) && last_seen_ago.as_millis() == 6_001));
        assert!(peers.observe(&[lease(2, 7_000)], boot(1), now).events.is_empty());
        assert!(peers.is_gone(boot(2)) && peers.gone() == [boot(2)] && peers.fresh().is_empty());
    }

    #[test]
    fn a_peer_that_leaves_has_not_died() {
        let (mut peers, now) = peers_that_know(&[lease(2, 0)]);
        let events = peers.observe(&[], boot(1), now).events;
        assert!(matches!(events.as_slice(), [Event::BootLeft { boot: left, .. }] if *left == boot(2)));
    }

    #[test]
    fn nobody_dies_for_ten_seconds_after_redis_lost_the_table() {
        let (mut peers, now) = peers_that_know(&[lease(2, 0), lease(3, 0)]);
        peers.forget_table(now);
        assert!(peers.observe(&[], boot(1), now.forward_by(Duration::from_secs(9))).events.is_empty());
        let later = now.forward_by(GRACE_AFTER_LOSS);
        let events = peers.observe(&[lease(3, 0)], boot(1), later).events;
        assert!(matches!(events.as_slice(), [Event::BootDied { boot: died, .. }] if *died == boot(2)));
    }

    #[test]
    fn a_node_that_starts_tells_of_the_recently_dead_after_a_moment() {
        let start = Moment::from_millis(1_000_000);
        let mut peers = Peers::new(LEASE, start);
        let table = [lease(2, 60_000), lease(3, 11 * 60_000), lease(4, 16 * 60_000)];
        let observed = peers.observe(&table, boot(1), start);
        assert!(observed.events.is_empty() && observed.outdated == [boot(4)]);
        let events = peers.observe(&table, boot(1), start.forward_by(GRACE_AFTER_START)).events;
        assert!(matches!(events.as_slice(), [Event::BootDied { boot: died, .. }] if *died == boot(2)));
    }
}
