//! Sends of a session that wait for their commit: a bounded number of them, known by their `temp_id`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Closed, SessionHandle};

/// One send that waits for its commit; ends when dropped.
pub struct InFlight {
    session: Arc<SessionHandle>,
    /// Of its `temp_id`, where it is a message.
    sending: Option<u64>,
}

impl InFlight {
    /// It is a message with this `temp_id`.
    pub fn note(&mut self, temp_id: &str) {
        let hash = hash_of(temp_id);
        self.sending = Some(hash);
        self.session.state.lock().sending.push(hash);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(hash) = self.sending {
            let sending = &mut self.session.state.lock().sending;
            if let Some(index) = sending.iter().position(|other| *other == hash) {
                sending.swap_remove(index);
            }
            if sending.is_empty() {
                *sending = Vec::new();
            }
        }
        self.session.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.session.progress.notify_waiters();
    }
}

fn hash_of(temp_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    temp_id.hash(&mut hasher);
    hasher.finish()
}

impl SessionHandle {
    /// Takes one of the places for sends that wait for their commit; waits while all are taken.
    pub async fn begin_send(self: &Arc<Self>, places: u32) -> Result<InFlight, Closed> {
        loop {
            if let Some(place) = self.try_begin_send(places)? {
                return Ok(place);
            }
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if let Some(place) = self.try_begin_send(places)? {
                return Ok(place);
            }
            progress.await;
        }
    }

    fn try_begin_send(self: &Arc<Self>, places: u32) -> Result<Option<InFlight>, Closed> {
        if self.is_closed() {
            return Err(Closed);
        }
        if self.in_flight.fetch_add(1, Ordering::AcqRel) < places {
            return Ok(Some(InFlight { session: Arc::clone(self), sending: None }));
        }
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        Ok(None)
    }

    /// Whether a message with this `temp_id` was sent here and waits for its answer.
    pub fn is_sending(&self, temp_id: &str) -> bool {
        let state = self.state.lock();
        !state.sending.is_empty() && state.sending.contains(&hash_of(temp_id))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::UserId;

    #[tokio::test]
    async fn sends_in_flight_are_bounded() {
        let session = Arc::new(SessionHandle::for_test(UserId::random()));
        let first = session.begin_send(1).await.unwrap();
        let second = session.begin_send(1);
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn a_message_is_being_sent_until_it_is_answered() {
        let session = Arc::new(SessionHandle::for_test(UserId::random()));
        let mut place = session.begin_send(2).await.unwrap();
        assert!(!session.is_sending("one"));
        place.note("one");
        let mut again = session.begin_send(2).await.unwrap();
        again.note("one");
        assert!(session.is_sending("one") && !session.is_sending("other"));
        drop(place);
        assert!(session.is_sending("one"));
        drop(again);
        assert!(!session.is_sending("one"));
    }
}
