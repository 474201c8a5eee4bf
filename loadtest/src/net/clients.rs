//! The clients of one thread: opened with a bound on how many open at once, authenticated, kept alive, heard.

use super::reactor::{Reactor, Read, Ready, SocketId};
use super::upgrade::{NodeAddress, Upgrade, read_upgrade};
use crate::clock::{Clock, SECOND_NS};
use crate::frame::{self, Step, read_server_frame, write_masked};
use crate::scan::scan;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The contract's heartbeat.
const HEARTBEAT_NS: u64 = 30 * SECOND_NS;
/// A client that is not authenticated by then is given up.
const OPENING_NS_MAX: u64 = 20 * SECOND_NS;
/// One read takes at most this much; also the largest frame understood.
const BUFFER_BYTES: usize = 512 * 1024;
/// Even with nothing to do a turn ends after this, so that its caller can look at its own clock and flags.
const TURN_NS_MAX: u64 = SECOND_NS / 20;

pub type ClientId = SocketId;

/// Who a client is.
#[derive(Clone, Debug)]
pub struct Login {
    pub user_id: String,
    pub token: String,
}

/// How the token travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthBy {
    Header,
    Frame,
}

/// What is the same for all clients of a run.
#[derive(Debug)]
pub struct Opening {
    pub nodes: Vec<NodeAddress>,
    pub auth_by: AuthBy,
    /// Clients between connect and `success` at once, per thread.
    pub parallel: usize,
    /// Loopback addresses 127.0.1.1.. to connect from; 0 leaves the choice to the kernel.
    pub source_addresses: u32,
    /// Shortest time between two looks at the sockets: what comes meanwhile is taken together.
    pub coalesce_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Down,
    Waiting,
    Upgrading,
    Authenticating,
    Live,
    Closing,
}

struct Client {
    login: Arc<Login>,
    node: usize,
    phase: Phase,
    /// Counts connections, so that a timer set for an earlier one is known to be stale.
    generation: u32,
    opened_ns: u64,
    /// Goes into the auth frame beside the token, as `,"sync":{...}`.
    auth_sync: String,
}

/// What happened to a client, told as it happens.
pub enum Happening<'a> {
    Live { client: ClientId, took_ns: u64 },
    Text { client: ClientId, payload: &'a [u8] },
    Down { client: ClientId, reason: &'a str },
}

/// Called for everything that happens in a turn.
pub type Listener<'a> = dyn FnMut(&mut Clients, Happening<'_>) + 'a;

pub struct Clients {
    clock: Clock,
    opening: Arc<Opening>,
    parallel: usize,
    reactor: Reactor,
    /// By id.
    seats: Vec<Client>,
    waiting: VecDeque<ClientId>,
    opening_count: usize,
    /// Due time, client and generation; in order, since each period is the same.
    heartbeats: VecDeque<(u64, ClientId, u32)>,
    deadlines: VecDeque<(u64, ClientId, u32)>,
    ready: Vec<Ready>,
    looked_ns: u64,
    buffer: Vec<u8>,
}

impl Clients {
    pub fn new(clock: Clock, opening: Arc<Opening>) -> Result<Self, String> {
        Ok(Self {
            clock,
            parallel: opening.parallel,
            opening,
            reactor: Reactor::new()?,
            seats: Vec::new(),
            waiting: VecDeque::new(),
            opening_count: 0,
            heartbeats: VecDeque::new(),
            deadlines: VecDeque::new(),
            ready: Vec::new(),
            looked_ns: 0,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// A new client of that user, not opened yet.
    pub fn add(&mut self, login: Arc<Login>, node: usize) -> ClientId {
        self.seats.push(Client {
            login,
            node,
            phase: Phase::Down,
            generation: 0,
            opened_ns: 0,
            auth_sync: String::new(),
        });
        self.reactor.reserve()
    }

    /// Queues a client to be opened.
    pub fn open(&mut self, id: ClientId) {
        if let Some(client) = self.seats.get_mut(id)
            && client.phase == Phase::Down
        {
            client.phase = Phase::Waiting;
            self.waiting.push_back(id);
        }
    }

    /// Moves a client that is down to another node for its next connection.
    pub fn move_to_next_node(&mut self, id: ClientId) {
        let nodes = self.opening.nodes.len().max(1);
        if let Some(client) = self.seats.get_mut(id) {
            client.node = (client.node + 1) % nodes;
        }
    }

    /// The node of a client's next connection.
    pub fn set_node(&mut self, id: ClientId, node: usize) {
        if let Some(client) = self.seats.get_mut(id) {
            client.node = node;
        }
    }

    /// How many may open at once from now on.
    pub fn set_parallel(&mut self, parallel: usize) {
        self.parallel = parallel;
    }

    /// Gives the user that a client that is down logs in as next.
    pub fn set_login(&mut self, id: ClientId, login: Arc<Login>) {
        if let Some(client) = self.seats.get_mut(id) {
            client.login = login;
        }
    }

    /// Sets the `sync` that goes with the next auth frame: `{...}`.
    pub fn set_auth_sync(&mut self, id: ClientId, sync: &str) {
        if let Some(client) = self.seats.get_mut(id) {
            client.auth_sync = format!(r#","sync":{sync}"#);
        }
    }

    pub fn is_live(&self, id: ClientId) -> bool {
        self.seats.get(id).is_some_and(|client| client.phase == Phase::Live)
    }

    /// The buffer to append masked frames to, of a live client.
    pub fn outbound(&mut self, id: ClientId) -> Option<&mut Vec<u8>> {
        if self.is_live(id) { self.reactor.outbound(id) } else { None }
    }

    pub fn send_text(&mut self, id: ClientId, payload: &str) {
        if let Some(out) = self.outbound(id) {
            write_masked(frame::TEXT, payload.as_bytes(), out);
        }
    }

    /// Closes as a client that is done does: it says 1000 and waits for the server's close.
    pub fn close(&mut self, id: ClientId) {
        if let Some(out) = self.outbound(id) {
            write_masked(frame::CLOSE, &1000_u16.to_be_bytes(), out);
        }
        if let Some(client) = self.seats.get_mut(id)
            && client.phase == Phase::Live
        {
            client.phase = Phase::Closing;
            self.deadlines.push_back((self.clock.now_ns() + OPENING_NS_MAX, id, client.generation));
        }
    }

    /// One turn: opens who waits, writes what is due, waits at most `timeout_ns`, and hears what came.
    pub fn turn(&mut self, timeout_ns: u64, listener: &mut Listener<'_>) -> Result<(), String> {
        self.admit(listener);
        self.send_heartbeats();
        self.give_up(listener);
        self.reactor.flush();
        self.clock.sleep_until(self.looked_ns + self.opening.coalesce_ns);
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        self.reactor.wait(timeout_ns.min(TURN_NS_MAX), &mut ready)?;
        self.looked_ns = self.clock.now_ns();
        let mut buffer = std::mem::take(&mut self.buffer);
        for event in &ready {
            if event.is_writable {
                self.reactor.write(event.socket);
            }
            if event.is_readable {
                self.receive(event.socket, &mut buffer, listener);
            }
        }
        self.buffer = buffer;
        self.ready = ready;
        self.reactor.flush();
        Ok(())
    }

    fn admit(&mut self, listener: &mut Listener<'_>) {
        while self.opening_count < self.parallel {
            let Some(id) = self.waiting.pop_front() else {
                return;
            };
            self.opening_count += 1;
            if let Err(reason) = self.connect(id) {
                self.down(id, &reason, listener);
            }
        }
    }

    fn connect(&mut self, id: ClientId) -> Result<(), String> {
        let now_ns = self.clock.now_ns();
        let client = self.seats.get_mut(id).ok_or("no such client")?;
        let node = self.opening.nodes.get(client.node).ok_or("no such node")?;
        client.phase = Phase::Upgrading;
        client.generation += 1;
        client.opened_ns = now_ns;
        self.deadlines.push_back((now_ns + OPENING_NS_MAX, id, client.generation));
        let bearer = (self.opening.auth_by == AuthBy::Header).then_some(client.login.token.as_str());
        let source = source_address(self.opening.source_addresses, id);
        let request = node.upgrade_request(bearer);
        self.reactor.connect(id, node.address, source, &request)
    }

    fn send_heartbeats(&mut self) {
        let now_ns = self.clock.now_ns();
        while let Some(&(due_ns, id, generation)) = self.heartbeats.front()
            && due_ns <= now_ns
        {
            self.heartbeats.pop_front();
            let is_current = self.seats.get(id).is_some_and(|client| client.generation == generation);
            if is_current && self.is_live(id) {
                self.send_text(id, r#"{"type":"ping"}"#);
                self.heartbeats.push_back((now_ns + HEARTBEAT_NS, id, generation));
            }
        }
    }

    fn give_up(&mut self, listener: &mut Listener<'_>) {
        let now_ns = self.clock.now_ns();
        while let Some(&(due_ns, id, generation)) = self.deadlines.front()
            && due_ns <= now_ns
        {
            self.deadlines.pop_front();
            let is_late = self.seats.get(id).is_some_and(|client| {
                client.generation == generation
                    && matches!(client.phase, Phase::Upgrading | Phase::Authenticating | Phase::Closing)
            });
            if is_late {
                self.down(id, "no answer in time", listener);
            }
        }
    }

    fn receive(&mut self, id: ClientId, buffer: &mut [u8], listener: &mut Listener<'_>) {
        let length = match self.reactor.read(id, buffer) {
            Read::Nothing => return,
            Read::Closed(reason) => {
                let when = match self.phase(id) {
                    Phase::Upgrading => " before the upgrade",
                    Phase::Authenticating => " before success",
                    _ => "",
                };
                return self.down(id, &format!("{reason}{when}"), listener);
            }
            Read::Bytes(length) => length,
        };
        let mut rest = buffer.get(..length).unwrap_or_default();
        if self.phase(id) == Phase::Upgrading {
            match read_upgrade(rest) {
                Upgrade::Incomplete => return self.reactor.keep(id, rest),
                Upgrade::Refused(reason) => return self.down(id, &reason, listener),
                Upgrade::Accepted(used) => {
                    rest = rest.get(used..).unwrap_or_default();
                    self.upgraded(id);
                }
            }
        }
        while !rest.is_empty() {
            match read_server_frame(rest) {
                Step::Incomplete => return self.reactor.keep(id, rest),
                Step::Broken(reason) => return self.down(id, reason, listener),
                Step::Frame { opcode, payload, used } => {
                    rest = rest.get(used..).unwrap_or_default();
                    self.hear(id, opcode, payload, listener);
                }
            }
            if self.phase(id) == Phase::Down {
                return;
            }
        }
    }

    fn phase(&self, id: ClientId) -> Phase {
        self.seats.get(id).map_or(Phase::Down, |client| client.phase)
    }

    fn upgraded(&mut self, id: ClientId) {
        let auth_by = self.opening.auth_by;
        let Some(client) = self.seats.get_mut(id) else {
            return;
        };
        client.phase = Phase::Authenticating;
        if auth_by == AuthBy::Frame
            && let Some(out) = self.reactor.outbound(id)
        {
            let auth = format!(r#"{{"type":"auth","token":"{}"{}}}"#, client.login.token, client.auth_sync);
            write_masked(frame::TEXT, auth.as_bytes(), out);
        }
    }

    fn hear(&mut self, id: ClientId, opcode: u8, payload: &[u8], listener: &mut Listener<'_>) {
        match opcode {
            frame::TEXT if self.phase(id) == Phase::Live => {
                listener(self, Happening::Text { client: id, payload });
            }
            frame::TEXT => self.hear_auth(id, payload, listener),
            frame::PING => {
                if let Some(out) = self.reactor.outbound(id) {
                    write_masked(frame::PONG, payload, out);
                }
            }
            frame::CLOSE => self.hear_close(id, payload, listener),
            _ => {}
        }
    }

    fn hear_auth(&mut self, id: ClientId, payload: &[u8], listener: &mut Listener<'_>) {
        let now_ns = self.clock.now_ns();
        let is_success = scan(payload).is_some_and(|fields| fields.kind == b"auth" && fields.status == b"success");
        let Some(client) = self.seats.get_mut(id) else {
            return;
        };
        if client.phase != Phase::Authenticating || !is_success {
            return;
        }
        client.phase = Phase::Live;
        self.opening_count = self.opening_count.saturating_sub(1);
        let took_ns = now_ns.saturating_sub(client.opened_ns);
        self.heartbeats.push_back((now_ns + HEARTBEAT_NS, id, client.generation));
        listener(self, Happening::Live { client: id, took_ns });
    }

    fn hear_close(&mut self, id: ClientId, payload: &[u8], listener: &mut Listener<'_>) {
        let reason = match payload.split_first_chunk::<2>() {
            Some((code, text)) => format!("close {} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(text)),
            None => "close without a code".to_owned(),
        };
        if self.phase(id) != Phase::Closing
            && let Some(out) = self.reactor.outbound(id)
        {
            write_masked(frame::CLOSE, payload, out);
            self.reactor.write(id);
        }
        self.down(id, reason.trim_end(), listener);
    }

    fn down(&mut self, id: ClientId, reason: &str, listener: &mut Listener<'_>) {
        self.reactor.close(id);
        let Some(client) = self.seats.get_mut(id) else {
            return;
        };
        if matches!(client.phase, Phase::Waiting | Phase::Upgrading | Phase::Authenticating) {
            self.opening_count = self.opening_count.saturating_sub(1);
        }
        client.phase = Phase::Down;
        listener(self, Happening::Down { client: id, reason });
    }
}

/// 127.0.1.1 to 127.0.1.250, then 127.0.2.1 and so on, in turn.
fn source_address(count: u32, id: ClientId) -> Option<Ipv4Addr> {
    let place = u32::try_from(id).ok()?.checked_rem(count)?;
    let [_, _, high, low] = (place / 250 * 256 + 256 + place % 250 + 1).to_be_bytes();
    Some(Ipv4Addr::new(127, 0, high, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_go_round() {
        assert_eq!(source_address(0, 7), None);
        assert_eq!(source_address(2, 0), Some(Ipv4Addr::new(127, 0, 1, 1)));
        assert_eq!(source_address(2, 3), Some(Ipv4Addr::new(127, 0, 1, 2)));
        assert_eq!(source_address(300, 250), Some(Ipv4Addr::new(127, 0, 2, 1)));
    }
}
