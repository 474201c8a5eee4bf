//! How many sockets are open, in all and per address. A permit lives as long as its socket: a WebSocket keeps the request's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::domain::limits::network_of;

/// Counts of open sockets.
#[derive(Debug)]
pub struct Connections {
    total_max: usize,
    per_address_max: usize,
    /// Loopback is where a developer's load comes from.
    is_loopback_capped: bool,
    total: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One place among the open sockets, given back when the last clone is dropped. An extension of every request.
#[derive(Clone, Debug)]
pub struct ConnectionPermit {
    /// Held, so that dropping them gives them back.
    places: Vec<Arc<Place>>,
}

#[derive(Debug)]
struct Place {
    connections: Arc<Connections>,
    /// `None`: a place in the total.
    address: Option<IpAddr>,
}

impl Connections {
    pub fn new(total_max: usize, per_address_max: usize, is_loopback_capped: bool) -> Arc<Self> {
        Arc::new(Self {
            total_max,
            per_address_max,
            is_loopback_capped,
            total: AtomicUsize::new(0),
            by_address: Mutex::new(HashMap::new()),
        })
    }

    /// A place for a new socket from this address; `None` when it, or all, have too many. A trusted proxy's address is not counted
    /// (`None` given): behind it are many clients.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Option<ConnectionPermit> {
        let total = self.take_total()?;
        let permit = ConnectionPermit { places: vec![Arc::new(total)] };
        match address {
            Some(address) => self.admit_address(permit, address),
            None => Some(permit),
        }
    }

    /// Adds a place of a client's address to a permit, for a WebSocket that came through a trusted proxy.
    pub fn admit_address(self: &Arc<Self>, mut permit: ConnectionPermit, address: IpAddr) -> Option<ConnectionPermit> {
        permit.places.push(Arc::new(self.take_address(address)?));
        Some(permit)
    }

    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn take_total(self: &Arc<Self>) -> Option<Place> {
        let more = |total: usize| (total < self.total_max).then_some(total + 1);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        metrics::gauge!("herald_sockets_open").increment(1.0);
        Some(Place { connections: Arc::clone(self), address: None })
    }

    fn take_address(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = network_of(address);
        let is_capped = self.is_loopback_capped || !network.is_loopback();
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(network).or_default();
        if is_capped && *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(Place { connections: Arc::clone(self), address: Some(network) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else {
            self.connections.total.fetch_sub(1, Ordering::Relaxed);
            metrics::gauge!("herald_sockets_open").decrement(1.0);
            return;
        };
        let mut by_address = self.connections.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let connections = Connections::new(3, 2, true);
        let (one, other): (IpAddr, IpAddr) = ("1.1.1.1".parse().unwrap(), "2.2.2.2".parse().unwrap());
        let first = connections.admit(Some(one)).unwrap();
        let second = connections.admit(Some(one)).unwrap();
        assert!(connections.admit(Some(one)).is_none());
        assert_eq!(connections.total(), 2, "a refused one gives its place in the total back");
        let third = connections.admit(Some(other)).unwrap();
        assert!(connections.admit(None).is_none());
        let kept = first.clone();
        drop((first, third));
        assert_eq!(connections.total(), 2);
        drop((kept, second));
        assert_eq!(connections.total(), 0);
        assert!(connections.by_address.lock().is_empty());
    }
}
