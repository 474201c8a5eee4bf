//! What the rest of the node holds of one connected client: its outgoing queue, bounded in bytes, and what it was given.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::received::Received;
use super::turns::Turns;
use crate::domain::{ConversationId, LoginId, Seq, SessionId, Timestamp, UserId};
use crate::protocol::codes::CloseCode;
use crate::protocol::frame::Frame;
use crate::protocol::server::{self, ResyncReason};

/// A paced frame waits until fewer bytes than this wait for the socket.
const PACED_BYTES_MAX: usize = 64 * 1024;
/// After a Ping of the server, the next one goes out once nothing was written for this time,
pub const PING_QUIET: Duration = Duration::from_millis(200);
/// or when this time has passed: a steady stream of messages costs a Ping and its Pong so often.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// So many refused frames within [`REFUSALS_WINDOW_MS`] are flooding.
const REFUSALS_MAX: u32 = 100;
const REFUSALS_WINDOW_MS: i64 = 10_000;

/// The session is closed: nothing more can be sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is closed")]
pub struct Closed;

pub struct SessionHandle {
    pub id: SessionId,
    pub user: UserId,
    pub connected_at: Timestamp,
    /// One sync at a time.
    pub syncs: Turns,
    /// Held while positions are written: who takes them and has nothing must still wait for what another took.
    pub writing_received: tokio::sync::Mutex<()>,
    /// Before it entered the hub.
    entered_at: Instant,
    outgoing_bytes_max: usize,
    is_closed: AtomicBool,
    /// When the last application frame came, in ms of the node's clock.
    heard_at_ms: AtomicI64,
    /// Sends that wait for their commit.
    in_flight: AtomicU32,
    /// For the writer: there is something to write, or to close.
    pub(crate) wake: Notify,
    /// For those who wait: bytes were written, a send was answered, or the session was closed.
    progress: Notify,
    state: Mutex<State>,
}

struct State {
    login: LoginId,
    expires_at: Timestamp,
    queue: VecDeque<Outgoing>,
    /// Bytes that wait for the socket, paced ones included.
    waiting_bytes: usize,
    /// Bytes that wait and count for 4030.
    counted_bytes: usize,
    /// When bytes were last written, or began to wait.
    moved_at: Option<Instant>,
    close: Option<Close>,
    holds: u32,
    held: Vec<Held>,
    held_bytes: usize,
    has_lost_held: bool,
    received: Received,
    pinged_at: Option<Instant>,
    wrote_at: Option<Instant>,
    /// Is in the list of those who want a Ping a little later.
    waits_for_ping: bool,
    refusals: u32,
    refusals_since_ms: i64,
}

impl State {
    fn is_ping_due(&self, now: Instant) -> bool {
        self.pinged_at.is_none_or(|at| now.duration_since(at) >= PING_INTERVAL)
    }

    /// A Ping that proves all that was given until now.
    fn ping(&mut self, now: Instant) -> Bytes {
        self.pinged_at = Some(now);
        control(0x89, &self.received.ping().to_be_bytes())
    }
}

/// How the session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// With a close frame of this code.
    With(CloseCode),
    /// The client closed with this code, which is given back.
    Echo(u16),
    /// The socket is gone: nothing can be written.
    Cut,
}

/// Bytes of whole frames in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub bytes: Bytes,
    /// Counts for 4030; pages that are made as the socket drains do not.
    pub is_counted: bool,
}

/// A live entry that waits behind what a sync or an offline delivery gives.
struct Held {
    frame: Frame,
    conversation: ConversationId,
    seq: Seq,
}

/// One send that waits for its commit; ends when dropped.
pub struct InFlight(Arc<SessionHandle>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.progress.notify_waiters();
    }
}

/// Who a session is, as its token says.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub user: UserId,
    pub login: LoginId,
    pub expires_at: Timestamp,
}

impl SessionHandle {
    pub fn new(identity: Identity, now: Timestamp, outgoing_bytes_max: usize) -> Self {
        Self {
            id: SessionId::random(),
            user: identity.user,
            connected_at: now,
            syncs: Turns::default(),
            writing_received: tokio::sync::Mutex::default(),
            entered_at: Instant::now(),
            outgoing_bytes_max,
            is_closed: AtomicBool::new(false),
            heard_at_ms: AtomicI64::new(now.as_millis()),
            in_flight: AtomicU32::new(0),
            wake: Notify::new(),
            progress: Notify::new(),
            state: Mutex::new(State {
                login: identity.login,
                expires_at: identity.expires_at,
                queue: VecDeque::new(),
                waiting_bytes: 0,
                counted_bytes: 0,
                moved_at: None,
                close: None,
                holds: 0,
                held: Vec::new(),
                held_bytes: 0,
                has_lost_held: false,
                received: Received::default(),
                pinged_at: None,
                wrote_at: None,
                waits_for_ping: false,
                refusals: 0,
                refusals_since_ms: 0,
            }),
        }
    }

    /// A session without a socket: what it is sent stays in its queue.
    pub fn for_test(user: UserId) -> Self {
        let identity = Identity { user, login: LoginId::random(), expires_at: Timestamp(i64::MAX) };
        Self::new(identity, Timestamp(0), 1 << 20)
    }

    pub fn login(&self) -> LoginId {
        self.state.lock().login
    }

    pub fn expires_at(&self) -> Timestamp {
        self.state.lock().expires_at
    }

    /// When this node came to know it, on the monotonic clock.
    pub const fn entered_at(&self) -> Instant {
        self.entered_at
    }

    /// A later token of the same user.
    pub fn renew(&self, login: LoginId, expires_at: Timestamp) {
        let mut state = self.state.lock();
        state.login = login;
        state.expires_at = expires_at;
    }

    // --- Sending

    /// Queues an answer or a signal. Never blocks; over the byte limit the session is closed with 4030.
    pub fn send(&self, frame: &Frame) {
        self.push(&mut self.state.lock(), frame.0.clone(), true);
    }

    /// Queues a live log entry: remembered as given, and held back while the session is on hold.
    pub fn send_entry(&self, frame: &Frame, conversation: ConversationId, seq: Seq) {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return;
        }
        if state.holds == 0 {
            if state.received.has(conversation, seq) {
                return;
            }
            self.push(&mut state, frame.0.clone(), true);
            state.received.give(conversation, seq);
            return;
        }
        if state.has_lost_held || state.held_bytes + frame.len() > self.outgoing_bytes_max / 2 {
            // Too much has come meanwhile: the client is told to sync when the hold ends.
            state.has_lost_held = true;
            state.held = Vec::new();
            state.held_bytes = 0;
            return;
        }
        state.held_bytes += frame.len();
        state.held.push(Held { frame: frame.clone(), conversation, seq });
    }

    /// Holds live entries back until [`SessionHandle::release`]; holds nest.
    pub fn hold(&self) {
        self.state.lock().holds += 1;
    }

    /// Ends a hold. Held entries that `given` has already are dropped, the others are sent once no hold is left. If too many had
    /// to be held, the client gets `resync` instead.
    pub fn release(&self, given: &HashMap<ConversationId, Seq>) {
        let mut state = self.state.lock();
        state.holds = state.holds.saturating_sub(1);
        if !given.is_empty() {
            state.held.retain(|held| given.get(&held.conversation).is_none_or(|seq| held.seq > *seq));
        }
        if state.holds > 0 {
            return;
        }
        let held = std::mem::take(&mut state.held);
        state.held_bytes = 0;
        if std::mem::take(&mut state.has_lost_held) {
            self.push(&mut state, server::resync(ResyncReason::BusLost, None).0, true);
        }
        for Held { frame, conversation, seq } in held {
            if state.received.has(conversation, seq) {
                continue;
            }
            self.push(&mut state, frame.0, true);
            state.received.give(conversation, seq);
        }
    }

    /// Sends a frame of a sync or an offline delivery: waits until the socket has drained below a mark. Such frames do not count
    /// for 4030.
    pub async fn send_paced(&self, frame: Frame) -> Result<(), Closed> {
        self.room().await?;
        self.push(&mut self.state.lock(), frame.0, false);
        Ok(())
    }

    /// Waits until there is room for a paced frame.
    pub async fn room(&self) -> Result<(), Closed> {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.is_closed() {
                return Err(Closed);
            }
            if self.state.lock().waiting_bytes < PACED_BYTES_MAX {
                return Ok(());
            }
            progress.await;
        }
    }

    /// Queues `success` before whatever came for the session since it entered the hub: the writer has not begun.
    pub(crate) fn send_first(&self, frame: &Frame) {
        let mut state = self.state.lock();
        let before = state.queue.len();
        self.push(&mut state, frame.0.clone(), true);
        if before > 0
            && state.queue.len() > before
            && let Some(first) = state.queue.pop_back()
        {
            state.queue.push_front(first);
        }
    }

    fn push(&self, state: &mut State, bytes: Bytes, is_counted: bool) {
        if state.close.is_some() {
            return;
        }
        if is_counted && state.counted_bytes + bytes.len() > self.outgoing_bytes_max {
            return self.close_locked(state, Close::With(CloseCode::SlowConsumer));
        }
        if state.waiting_bytes == 0 {
            state.moved_at = Some(Instant::now());
        }
        state.waiting_bytes += bytes.len();
        if is_counted {
            state.counted_bytes += bytes.len();
        }
        state.queue.push_back(Outgoing { bytes, is_counted });
        self.wake.notify_one();
    }

    /// Queues a Pong for the client's Ping.
    pub(crate) fn pong(&self, payload: &[u8]) {
        self.push(&mut self.state.lock(), control(0x8a, payload), true);
    }

    // --- What was received

    /// All up to `seq` counts as given: what offline delivery left out on purpose, what a sync gave, `seen` and cursors.
    pub fn given(&self, conversation: ConversationId, seq: Seq) {
        self.state.lock().received.give_up_to(conversation, seq);
        self.wake.notify_one();
    }

    /// An entry that this session made itself: it knows it, and is sent no frame of it.
    pub fn given_own(&self, conversation: ConversationId, seq: Seq) {
        self.state.lock().received.give_own(conversation, seq);
    }

    /// The session was given all that its user had missed (offline delivery or a sync by a cursor is done).
    pub fn set_whole(&self) {
        self.state.lock().received.set_whole();
    }

    /// The client has all up to `seq` (`ack`, `read`).
    pub fn acknowledge(&self, conversation: ConversationId, seq: Seq) {
        self.state.lock().received.acknowledge(conversation, seq);
    }

    /// A Pong came for the Ping of this number. False: none was waited for.
    pub(crate) fn ponged(&self, number: u64) -> bool {
        let was_waited_for = self.state.lock().received.pong(number);
        if was_waited_for {
            self.wake.notify_one();
        }
        was_waited_for
    }

    /// Positions that are to be written down; they count as written from now on.
    pub fn take_received(&self) -> Vec<(ConversationId, Seq)> {
        self.state.lock().received.take_unwritten()
    }

    /// Those that could not be written.
    pub fn put_back_received(&self, positions: &[(ConversationId, Seq)]) {
        self.state.lock().received.put_back(positions);
    }

    /// Queues a Ping where one would prove something and it is time for one. Called when nothing waits to be written.
    pub(crate) fn ping(&self) -> Pinged {
        let mut state = self.state.lock();
        if state.close.is_some() || !state.received.wants_ping() {
            return Pinged::NotNeeded;
        }
        let now = Instant::now();
        let is_quiet = state.wrote_at.is_none_or(|at| now.duration_since(at) >= PING_QUIET);
        if !is_quiet && !state.is_ping_due(now) {
            return Pinged::Later;
        }
        let ping = state.ping(now);
        self.push(&mut state, ping, true);
        Pinged::Now
    }

    /// True if the session was not yet in the list of those who want a Ping a little later.
    pub(crate) fn begin_ping_wait(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().waits_for_ping, true)
    }

    /// The time has come: the writer, woken, sends the Ping.
    pub(crate) fn end_ping_wait(&self) {
        self.state.lock().waits_for_ping = false;
        self.wake.notify_one();
    }

    // --- The writer's side

    /// Moves all that waits into `batch`, which is empty. The bytes count as waiting until [`SessionHandle::written`].
    pub(crate) fn take_queue(&self, batch: &mut VecDeque<Outgoing>) -> Option<Close> {
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        } else {
            std::mem::swap(&mut state.queue, batch);
            let now = Instant::now();
            if state.close.is_none() && state.received.wants_ping() && state.is_ping_due(now) {
                // In the same write as what it is to prove.
                let bytes = state.ping(now);
                state.waiting_bytes += bytes.len();
                batch.push_back(Outgoing { bytes, is_counted: false });
            }
        }
        state.close
    }

    pub(crate) fn written(&self, total: usize, counted: usize) {
        let mut state = self.state.lock();
        state.waiting_bytes = state.waiting_bytes.saturating_sub(total);
        state.counted_bytes = state.counted_bytes.saturating_sub(counted);
        let now = Instant::now();
        state.wrote_at = Some(now);
        state.moved_at = if state.waiting_bytes == 0 { None } else { Some(now) };
        let has_room = state.waiting_bytes < PACED_BYTES_MAX;
        drop(state);
        if has_room {
            self.progress.notify_waiters();
        }
    }

    /// How long bytes have waited without any being written.
    pub(crate) fn stalled_for(&self) -> Duration {
        self.state.lock().moved_at.map(|at| at.elapsed()).unwrap_or_default()
    }

    // --- Liveness, flooding, sends in flight

    pub fn heard(&self, now: Timestamp) {
        self.heard_at_ms.store(now.as_millis(), Ordering::Relaxed);
    }

    pub fn heard_at(&self) -> Timestamp {
        Timestamp::from_millis(self.heard_at_ms.load(Ordering::Relaxed))
    }

    /// A frame of the client was refused; too many in a short time close the session with 4029.
    pub fn count_refusal(&self, now: Timestamp) {
        let mut state = self.state.lock();
        let now_ms = now.as_millis();
        if now_ms.saturating_sub(state.refusals_since_ms) > REFUSALS_WINDOW_MS {
            state.refusals_since_ms = now_ms;
            state.refusals = 0;
        }
        state.refusals += 1;
        if state.refusals >= REFUSALS_MAX {
            self.close_locked(&mut state, Close::With(CloseCode::Flooding));
        }
    }

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
            return Ok(Some(InFlight(Arc::clone(self))));
        }
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        Ok(None)
    }

    // --- Closing

    /// Ends the session: frames queued before are still tried for, then the close frame. The first call counts.
    pub fn close(&self, code: CloseCode) {
        self.close_locked(&mut self.state.lock(), Close::With(code));
    }

    pub(crate) fn close_as(&self, close: Close) {
        self.close_locked(&mut self.state.lock(), close);
    }

    fn close_locked(&self, state: &mut State, close: Close) {
        if state.close.is_some() {
            return;
        }
        state.close = Some(close);
        state.held = Vec::new();
        state.held_bytes = 0;
        if matches!(close, Close::Cut | Close::With(CloseCode::SlowConsumer)) {
            // Nothing of it would arrive in time.
            state.queue = VecDeque::new();
        }
        self.is_closed.store(true, Ordering::Release);
        self.wake.notify_one();
        self.progress.notify_waiters();
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn close_of(&self) -> Option<Close> {
        self.state.lock().close
    }

    /// Takes all that is queued, as a client would see it. For tests without a socket.
    pub fn drain_for_test(&self) -> Vec<Frame> {
        let mut state = self.state.lock();
        state.waiting_bytes = 0;
        state.counted_bytes = 0;
        let frames = std::mem::take(&mut state.queue).into_iter().map(|outgoing| Frame(outgoing.bytes)).collect();
        drop(state);
        self.progress.notify_waiters();
        frames
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pinged {
    NotNeeded,
    Now,
    Later,
}

/// A whole control frame; its payload is at most 125 bytes.
pub(crate) fn control(first: u8, payload: &[u8]) -> Bytes {
    let payload = payload.get(..payload.len().min(125)).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(payload.len() + 2);
    bytes.put_u8(first);
    bytes.put_u8(u8::try_from(payload.len()).unwrap_or_default());
    bytes.put_slice(payload);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionHandle {
        SessionHandle::for_test(UserId::random())
    }

    fn frame(text: &str) -> Frame {
        Frame::text(text.as_bytes())
    }

    #[test]
    fn answers_and_entries_come_in_the_order_of_the_calls() {
        let (session, a) = (session(), ConversationId::random());
        session.send(&frame("1"));
        session.send_entry(&frame("2"), a, Seq(1));
        session.send(&frame("3"));
        assert_eq!(session.drain_for_test(), [frame("1"), frame("2"), frame("3")]);
    }

    #[test]
    fn held_entries_follow_what_was_given_and_repeat_none_of_it() {
        let (session, a, b) = (session(), ConversationId::random(), ConversationId::random());
        session.hold();
        session.hold();
        for seq in 1..=3 {
            session.send_entry(&frame(&format!("a{seq}")), a, Seq(seq));
        }
        session.send_entry(&frame("b1"), b, Seq(1));
        session.send(&frame("answer"));
        session.release(&HashMap::from([(a, Seq(2))]));
        assert_eq!(session.drain_for_test(), [frame("answer")]);
        session.release(&HashMap::new());
        assert_eq!(session.drain_for_test(), [frame("a3"), frame("b1")]);
        session.send_entry(&frame("b2"), b, Seq(2));
        assert_eq!(session.drain_for_test(), [frame("b2")]);
    }

    #[test]
    fn too_much_on_hold_becomes_resync() {
        let (session, a) = (session(), ConversationId::random());
        session.hold();
        let big = frame(&"x".repeat(60_000));
        for seq in 1..=20 {
            session.send_entry(&big, a, Seq(seq));
        }
        session.release(&HashMap::new());
        assert_eq!(session.drain_for_test(), [server::resync(ResyncReason::BusLost, None)]);
        assert!(!session.is_closed());
    }

    #[test]
    fn a_queue_over_its_bytes_closes_as_slow_consumer() {
        let session = session();
        let big = frame(&"x".repeat(60_000));
        for _ in 0..17 {
            session.send(&big);
        }
        assert!(!session.is_closed());
        session.send(&big);
        assert_eq!(session.close_of(), Some(Close::With(CloseCode::SlowConsumer)));
        session.close(CloseCode::Normal);
        assert_eq!(session.close_of(), Some(Close::With(CloseCode::SlowConsumer)), "the first counts");
        assert!(session.drain_for_test().is_empty());
    }

    #[test]
    fn a_hundred_refusals_in_ten_seconds_are_flooding() {
        let session = session();
        for second in 0..30 {
            for _ in 0..9 {
                session.count_refusal(Timestamp::from_millis(second * 1_000));
            }
        }
        assert!(!session.is_closed());
        for _ in 0..100 {
            session.count_refusal(Timestamp::from_millis(40_000));
        }
        assert_eq!(session.close_of(), Some(Close::With(CloseCode::Flooding)));
    }

    #[tokio::test]
    async fn paced_frames_wait_for_the_socket_and_end_with_the_session() {
        let session = Arc::new(session());
        let big = frame(&"x".repeat(65_000));
        session.send_paced(big.clone()).await.unwrap();
        session.send_paced(big.clone()).await.unwrap();
        let waiting = session.send_paced(big.clone());
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        assert_eq!(session.drain_for_test().len(), 2);
        waiting.await.unwrap();
        session.send_paced(big.clone()).await.unwrap();
        session.close(CloseCode::GoingAway);
        assert_eq!(session.send_paced(big).await, Err(Closed));
    }

    #[tokio::test]
    async fn sends_in_flight_are_bounded() {
        let session = Arc::new(session());
        let first = session.begin_send(1).await.unwrap();
        let second = session.begin_send(1);
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        assert!(second.await.is_ok());
    }
}
