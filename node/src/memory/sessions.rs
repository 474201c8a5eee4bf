//! What the sessions of this node share beside the hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::domain::{SessionId, UserId};
use crate::hub::SessionHandle;

/// Routes that could not be removed, kept until Redis is back; beyond it they are left to their boot's end.
const UNREMOVED_MAX: usize = 100_000;

pub struct Sessions {
    /// Those that may be in their first queries at once.
    pub admissions: Arc<Semaphore>,
    /// Sessions that want a Ping a little later. Each is in it once at most, since it asks when it has nothing else to write.
    pings: Mutex<Vec<Arc<SessionHandle>>>,
    unremoved: Mutex<Vec<(UserId, SessionId)>>,
    /// Sessions were taken without a route, while Redis was away.
    has_unrouted: AtomicBool,
}

impl Sessions {
    pub fn new(admissions_max: usize) -> Self {
        Self {
            admissions: Arc::new(Semaphore::new(admissions_max.clamp(1, Semaphore::MAX_PERMITS))),
            pings: Mutex::default(),
            unremoved: Mutex::default(),
            has_unrouted: AtomicBool::new(false),
        }
    }

    pub fn ping_later(&self, session: &Arc<SessionHandle>) {
        if session.begin_ping_wait() {
            self.pings.lock().push(Arc::clone(session));
        }
    }

    pub fn take_pings(&self) -> Vec<Arc<SessionHandle>> {
        std::mem::take(&mut *self.pings.lock())
    }

    pub fn note_unrouted(&self) {
        self.has_unrouted.store(true, Ordering::Release);
    }

    pub fn take_unrouted(&self) -> bool {
        self.has_unrouted.swap(false, Ordering::AcqRel)
    }

    pub fn add_unremoved(&self, user: UserId, session: SessionId) {
        let mut unremoved = self.unremoved.lock();
        if unremoved.len() < UNREMOVED_MAX {
            unremoved.push((user, session));
        }
    }

    pub fn take_unremoved(&self) -> Vec<(UserId, SessionId)> {
        std::mem::take(&mut *self.unremoved.lock())
    }
}
