//! What the rest of the node holds of one connected client: its outgoing queue, bounded in bytes, and what it was given.

mod held;
mod queue;
mod receipts;
mod sends;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::held::{Held, Live};
pub(crate) use self::queue::Outgoing;
use self::queue::Queue;
pub use self::sends::InFlight;
use super::received::{Log, Received};
use super::turns::Turns;
use crate::domain::{ConversationId, LoginId, Seq, SessionId, Timestamp, UserId};
use crate::protocol::codes::CloseCode;
use crate::protocol::frame::Frame;
use crate::protocol::server::{self, ResyncReason};

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
    queue: Queue,
    close: Option<Close>,
    held: Held,
    received: Received,
    /// Hashes of the `temp_id`s of messages that wait for their answer.
    sending: Vec<u64>,
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
                queue: Queue::default(),
                close: None,
                held: Held::default(),
                received: Received::default(),
                sending: Vec::new(),
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
    pub fn send_entry(&self, frame: &Frame, log: Log, seq: Seq) {
        self.take_live(Live::Entry(frame.clone()), log, seq);
    }

    /// The same for an entry that this session asked for: its frame is the answer, and comes also where a sync has given the entry.
    pub fn send_own_entry(&self, frame: &Frame, log: Log, seq: Seq) {
        self.take_live(Live::Answer(frame.clone()), log, seq);
    }

    /// An entry that this session made itself: it knows it, and is sent no frame of it.
    pub fn given_own(&self, log: Log, seq: Seq) {
        self.take_live(Live::Own, log, seq);
    }

    fn take_live(&self, live: Live, log: Log, seq: Seq) {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return;
        }
        if state.held.is_on_hold() {
            if !state.held.keep(live, log, seq, self.outgoing_bytes_max / 2) {
                self.close_locked(&mut state, Close::With(CloseCode::SlowConsumer));
            }
        } else {
            self.show(&mut state, live, log, seq);
        }
    }

    fn show(&self, state: &mut State, live: Live, log: Log, seq: Seq) {
        match live {
            Live::Own => return state.received.give_own(log, seq),
            Live::Entry(_) if state.received.has(log, seq) => return,
            Live::Entry(frame) | Live::Answer(frame) => self.push(state, frame.0, true),
        }
        state.received.give(log, seq);
    }

    /// Tells the client to sync a conversation of which it may have missed this entry. False: a sync of it has read the log so far.
    pub fn send_resync_below(&self, frame: &Frame, log: Log, seq: Seq) -> bool {
        let mut state = self.state.lock();
        let is_missing = !state.received.has_synced(log, seq);
        if is_missing {
            self.resync_locked(&mut state, frame, Some(log.conversation));
        }
        is_missing
    }

    /// Tells the client to sync this conversation, or all: it may have missed something, so what comes live proves nothing before.
    pub fn send_resync(&self, frame: &Frame, conversation: Option<ConversationId>) {
        self.resync_locked(&mut self.state.lock(), frame, conversation);
    }

    fn resync_locked(&self, state: &mut State, frame: &Frame, conversation: Option<ConversationId>) {
        state.received.note_lost(conversation);
        self.push(state, frame.0.clone(), true);
    }

    /// Holds live entries back until [`SessionHandle::release`]; holds nest.
    pub fn hold(&self) {
        self.state.lock().held.hold();
    }

    /// Ends a hold. Held entries that `given` has already are dropped, the others are sent once no hold is left. If too many had
    /// to be held, the client gets `resync` instead.
    pub fn release(&self, given: &HashMap<ConversationId, Seq>) {
        let mut state = self.state.lock();
        let Some(released) = state.held.release(given) else { return };
        if released.has_lost {
            self.resync_locked(&mut state, &server::resync(ResyncReason::BusLost, None), None);
        }
        for (live, log, seq) in released.entries {
            self.show(&mut state, live, log, seq);
        }
    }

    /// Whether this session itself wrote that message a moment ago: it is on its way, or was committed while the session is on hold.
    pub fn has_written(&self, conversation: ConversationId, seq: Seq, temp_id: &str) -> bool {
        // In this order: it is held as committed before it is no longer being sent.
        self.is_sending(temp_id) || self.state.lock().held.has_own(conversation, seq)
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
            if self.state.lock().queue.has_room() {
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
        if before > 0 && state.queue.len() > before {
            state.queue.move_last_to_front();
        }
    }

    fn push(&self, state: &mut State, bytes: Bytes, is_counted: bool) {
        if state.close.is_some() {
            return;
        }
        if is_counted && state.queue.counted_bytes() + bytes.len() > self.outgoing_bytes_max {
            return self.close_locked(state, Close::With(CloseCode::SlowConsumer));
        }
        state.queue.push(Outgoing { bytes, is_counted });
        self.wake.notify_one();
    }

    /// Queues a Pong for the client's Ping.
    pub(crate) fn pong(&self, payload: &[u8]) {
        self.push(&mut self.state.lock(), control(0x8a, payload), true);
    }

    // --- The writer's side

    /// Moves all that waits into `batch`, which is empty. The bytes count as waiting until [`SessionHandle::written`].
    pub(crate) fn take_queue(&self, batch: &mut VecDeque<Outgoing>) -> Option<Close> {
        let mut state = self.state.lock();
        if state.queue.take(batch) {
            let now = Instant::now();
            if state.close.is_none() && state.received.wants_ping() && state.is_ping_due(now) {
                // In the same write as what it is to prove.
                let bytes = state.ping(now);
                batch.push_back(state.queue.add_taken(bytes));
            }
        }
        state.close
    }

    pub(crate) fn written(&self, total: usize, counted: usize) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.wrote_at = Some(now);
        state.queue.written(total, counted, now);
        let has_room = state.queue.has_room();
        drop(state);
        if has_room {
            self.progress.notify_waiters();
        }
    }

    /// How long bytes have waited without any being written.
    pub(crate) fn stalled_for(&self) -> Duration {
        self.state.lock().queue.stalled_for()
    }

    // --- Liveness, flooding

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
        state.held.clear();
        if matches!(close, Close::Cut | Close::With(CloseCode::SlowConsumer)) {
            // Nothing of it would arrive in time.
            state.queue.drop_frames();
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
        let queue = std::mem::take(&mut state.queue);
        let frames = queue.into_frames().map(|outgoing| Frame(outgoing.bytes)).collect();
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
mod tests;
