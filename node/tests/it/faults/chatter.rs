//! A user who writes all the time on one socket, sends again what was not answered, goes to another node when its own is gone, and
//! remembers every frame.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::client::now_s;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A node that does not answer within this time is left for another.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Who is impatient and hears nothing for so long goes to another node.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);
/// What has no answer after this is sent again on the same socket.
const RESEND_AFTER: Duration = Duration::from_millis(2_500);
/// What a device sees to be missing is there, or announced by `resync`, within 5 s (contract 2.4); a debug build beside others gets
/// some more.
const HOLE_LIMIT: Duration = Duration::from_secs(6);
/// A node that has said nothing for so long is stopped: the time in which it owes something does not run.
const STOPPED_AFTER: Duration = Duration::from_millis(1_500);
/// After a retryable refusal.
const RETRY_AFTER: Duration = Duration::from_millis(250);
const PENDING_MAX: usize = 6;

/// Milliseconds since 1970: what the shards' clocks show, too.
pub fn now_ms() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap()
}

/// What all chatters share.
pub struct Common {
    /// WebSocket addresses of the nodes.
    pub nodes: Vec<String>,
    /// Who loses a node goes to one of so many first nodes.
    pub refuges: AtomicUsize,
    pub is_sending: AtomicBool,
    pub is_over: AtomicBool,
    pub interval: Duration,
    /// Whatever must never happen.
    pub problems: Mutex<Vec<String>>,
}

pub struct Chatter {
    pub number: usize,
    pub id: Uuid,
    pub name: String,
    pub secret: String,
    /// Where to go next; a change is followed at once.
    pub home: AtomicUsize,
    /// Waits on a silent socket instead of going elsewhere.
    pub is_patient: AtomicBool,
    /// Where it writes: conversations and what to put into `data` for them.
    pub targets: Vec<(Uuid, Value)>,
    pub common: Arc<Common>,
    pub memory: Mutex<Memory>,
}

/// What one entry of a log looked like.
#[derive(Clone, Debug)]
pub struct Seen {
    pub content: String,
    pub at_ms: i64,
    /// A frame of its own, not part of a sync.
    pub is_live: bool,
    /// When the connection on which it came was made.
    pub connected_ms: i64,
    /// The node that it came from.
    pub node: usize,
}

#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub conversation: Uuid,
    pub seq: i64,
    pub first_sent_ms: i64,
    pub at_ms: i64,
    pub node: usize,
    /// Sent once, on this connection.
    pub is_first: bool,
}

#[derive(Clone, Debug)]
pub struct Refused {
    pub conversation: Uuid,
    pub code: String,
    pub sent_ms: i64,
    pub at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct Closed {
    pub node: usize,
    pub code: u16,
    pub had_reconnect: bool,
    pub at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct Resync {
    pub user: usize,
    pub reason: String,
    /// `None`: of all.
    pub conversations: Option<usize>,
    pub node: usize,
    pub at_ms: i64,
}

/// An entry that did not come before a later one of the same log.
struct Hole {
    conversation: Uuid,
    seq: i64,
    at: Instant,
    at_ms: i64,
}

#[derive(Default)]
pub struct Memory {
    pub logs: HashMap<Uuid, BTreeMap<i64, Seen>>,
    pub acknowledged: HashMap<String, Acknowledged>,
    pub refused: Vec<Refused>,
    pub closed: Vec<Closed>,
    pub resyncs: Vec<Resync>,
    /// Holes that were seen, and the longest that one was open.
    pub holes: usize,
    pub longest_hole: Duration,
    pub pending: BTreeMap<u64, Pending>,
    /// Of the present connection; `None` between two.
    pub connected: Option<(usize, i64)>,
    /// When each connection was made, and on which node.
    pub connections: Vec<(usize, i64)>,
    /// Frames that came a second time; allowed, and counted.
    pub repeats: usize,
    cursor: Option<String>,
    sent: u64,
}

pub struct Pending {
    conversation: Uuid,
    frame: Value,
    temp_id: String,
    first_sent_ms: i64,
    last_sent: Instant,
    last_sent_ms: i64,
    times: u32,
}

/// What lasts as long as one socket.
struct Connection {
    node: usize,
    number: usize,
    made_ms: i64,
    last_heard: Instant,
    /// The greatest live seq of each conversation.
    live: HashMap<Uuid, i64>,
    /// The greatest seq that is known of each conversation, live or by a sync of this connection.
    known: HashMap<Uuid, i64>,
    /// Holes that are open.
    holes: Vec<Hole>,
    /// Of each conversation the last answered send that was sent once: its number and its seq.
    answered: HashMap<Uuid, (u64, i64)>,
    epochs: HashMap<Uuid, i64>,
    had_reconnect: bool,
    must_sync: bool,
    is_syncing: bool,
}

impl Memory {
    /// How long what was sent first within this span waits for its answer already, where it has none.
    pub fn longest_wait_ms(&self, span: &std::ops::Range<i64>) -> i64 {
        let waiting = self.pending.values().filter(|pending| span.contains(&pending.first_sent_ms));
        waiting.map(|pending| now_ms() - pending.first_sent_ms).max().unwrap_or(0)
    }

    /// The greatest seq up to which nothing lacks.
    pub fn whole(&self, conversation: Uuid) -> i64 {
        let log = self.logs.get(&conversation);
        let mut whole = 0;
        for seq in log.into_iter().flat_map(BTreeMap::keys) {
            if *seq != whole + 1 {
                break;
            }
            whole = *seq;
        }
        whole
    }
}

impl Chatter {
    fn problem(&self, text: String) {
        self.common.problems.lock().push(format!("{}: {text}", self.name));
    }

    fn token(&self) -> String {
        let now = now_s();
        let claims = json!({
            "sub": self.id, "sid": self.id, "name": self.name, "display_name": self.name, "roles": [],
            "typ": "access", "iss": "herald", "aud": "herald", "iat": now, "exp": now + 900, "jti": Uuid::new_v4(),
        });
        let header = jsonwebtoken::Header {
            kid: Some("dev".to_owned()),
            ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(self.secret.as_bytes())).unwrap()
    }

    pub fn bearer(&self) -> String {
        self.token()
    }

    /// Lives until the load is over.
    pub async fn live(self: Arc<Self>) {
        let mut node = self.home.load(Ordering::SeqCst);
        let mut home = node;
        while !self.common.is_over.load(Ordering::SeqCst) {
            let now_home = self.home.load(Ordering::SeqCst);
            if now_home != home {
                (home, node) = (now_home, now_home);
            }
            if let Ok(Some((socket, connection))) = tokio::time::timeout(CONNECT_LIMIT, self.connect(node)).await {
                let code = self.talk(socket, connection, home).await;
                self.memory.lock().connected = None;
                if self.home.load(Ordering::SeqCst) != home || code == 1000 {
                    continue;
                }
            }
            node = (node + 1) % self.common.refuges.load(Ordering::SeqCst);
            // Jitter by number, so that they do not all come at once.
            tokio::time::sleep(Duration::from_millis(50 + 17 * u64::try_from(self.number).unwrap())).await;
        }
    }

    fn positions(&self) -> Vec<Value> {
        let memory = self.memory.lock();
        self.targets
            .iter()
            .map(|(id, _)| (*id, memory.whole(*id)))
            .map(|(id, seq)| json!({"conversation_id": id, "after_seq": seq}))
            .collect()
    }

    /// Users of odd number come back with a cursor, the others with what they hold of each conversation.
    fn sync_request(&self) -> Value {
        let cursor = self.memory.lock().cursor.clone();
        match cursor {
            Some(cursor) if self.number % 2 == 1 => {
                let seen: Vec<Value> = self
                    .positions()
                    .into_iter()
                    .map(|position| json!({"conversation_id": position["conversation_id"], "seq": position["after_seq"]}))
                    .collect();
                json!({"cursor": cursor, "seen": seen})
            }
            None if self.number % 2 == 1 => json!({}),
            _ => json!({"conversations": self.positions()}),
        }
    }

    async fn connect(&self, node: usize) -> Option<(Socket, Connection)> {
        let (mut socket, _) = tokio_tungstenite::connect_async(&self.common.nodes[node]).await.ok()?;
        let auth = json!({"type": "auth", "token": self.token(), "sync": self.sync_request()});
        socket.send(Message::text(auth.to_string())).await.ok()?;
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["status"] == "success" {
                        break;
                    }
                    self.problem(format!("instead of success: {frame}"));
                }
                Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == 1008 => {
                    self.problem(format!("not let in by node {node}: {close:?}"));
                    return None;
                }
                Some(Ok(Message::Ping(_))) => {}
                _ => return None,
            }
        }
        let made_ms = now_ms();
        let mut memory = self.memory.lock();
        memory.connected = Some((node, made_ms));
        memory.connections.push((node, made_ms));
        let connection = Connection {
            node,
            number: memory.connections.len(),
            made_ms,
            last_heard: Instant::now(),
            live: HashMap::new(),
            known: HashMap::new(),
            holes: Vec::new(),
            answered: HashMap::new(),
            epochs: HashMap::new(),
            had_reconnect: false,
            must_sync: false,
            is_syncing: true,
        };
        // What was not answered before is asked again.
        for pending in memory.pending.values_mut() {
            pending.last_sent = Instant::now().checked_sub(RESEND_AFTER).unwrap();
        }
        drop(memory);
        Some((socket, connection))
    }

    /// Until the socket ends; answers its close code, 1000 where the load is over or the user moves.
    async fn talk(&self, mut socket: Socket, mut connection: Connection, home: usize) -> u16 {
        let mut write = tokio::time::interval(self.common.interval);
        write.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(Duration::from_millis(250));
        let mut last_ping = Instant::now();
        let code = loop {
            let mut out: Vec<Value> = Vec::new();
            tokio::select! {
                received = socket.next() => match received {
                    Some(Ok(Message::Text(text))) => {
                        connection.last_heard = Instant::now();
                        self.hear(&serde_json::from_str(&text).unwrap(), &mut connection);
                    }
                    Some(Ok(Message::Close(close))) => {
                        break close.map_or(1005, |close| close.code.into());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break 1006,
                },
                _ = write.tick() => {
                    if self.common.is_sending.load(Ordering::SeqCst) {
                        out.extend(self.write_new());
                    }
                }
                _ = look.tick() => {
                    if self.common.is_over.load(Ordering::SeqCst) || self.home.load(Ordering::SeqCst) != home {
                        let _ = tokio::time::timeout(Duration::from_millis(500), socket.close(None)).await;
                        return 1000;
                    }
                    if !self.is_patient.load(Ordering::SeqCst) && connection.last_heard.elapsed() > SILENCE_LIMIT {
                        break 1006;
                    }
                    if last_ping.elapsed() > Duration::from_secs(1) {
                        last_ping = Instant::now();
                        out.push(json!({"type": "ping"}));
                    }
                    out.extend(self.write_again());
                    self.look_at_holes(&mut connection);
                }
            }
            if connection.must_sync && !connection.is_syncing {
                (connection.must_sync, connection.is_syncing) = (false, true);
                out.push(json!({"type": "sync", "data": {"conversations": self.positions()}}));
            }
            for frame in out {
                // A stopped node takes no bytes: nobody waits for it here.
                let sending = socket.send(Message::text(frame.to_string()));
                if tokio::time::timeout(Duration::from_secs(1), sending).await.is_err() {
                    break;
                }
            }
        };
        self.memory.lock().closed.push(Closed {
            node: connection.node,
            code,
            had_reconnect: connection.had_reconnect,
            at_ms: now_ms(),
        });
        // Lets the close frame be answered.
        let _ = tokio::time::timeout(Duration::from_millis(100), socket.flush()).await;
        code
    }

    fn write_new(&self) -> Option<Value> {
        let mut memory = self.memory.lock();
        if memory.pending.len() >= PENDING_MAX || self.targets.is_empty() {
            return None;
        }
        memory.sent += 1;
        let number = memory.sent;
        let (conversation, to) = &self.targets[usize::try_from(number).unwrap() % self.targets.len()];
        let temp_id = format!("{}-{number}", self.name);
        let mut data = to.clone();
        data["temp_id"] = json!(temp_id);
        data["message_type"] = json!("text");
        data["content"] = json!(temp_id);
        let frame = json!({"type": "chat", "action": "send", "id": number.to_string(), "data": data});
        let pending = Pending {
            conversation: *conversation,
            frame: frame.clone(),
            temp_id,
            first_sent_ms: now_ms(),
            last_sent: Instant::now(),
            last_sent_ms: now_ms(),
            times: 1,
        };
        memory.pending.insert(number, pending);
        Some(frame)
    }

    fn write_again(&self) -> Vec<Value> {
        let mut memory = self.memory.lock();
        let mut frames = Vec::new();
        for pending in memory.pending.values_mut().filter(|pending| pending.last_sent.elapsed() >= RESEND_AFTER) {
            pending.last_sent = Instant::now();
            pending.last_sent_ms = now_ms();
            pending.times += 1;
            frames.push(pending.frame.clone());
        }
        frames
    }

    fn hear(&self, frame: &Value, connection: &mut Connection) {
        let data = &frame["data"];
        match (frame["type"].as_str().unwrap_or_default(), frame["action"].as_str().unwrap_or_default()) {
            ("chat", "message_sent") => self.answered(frame, connection),
            ("chat" | "conversation", "settings") => {}
            ("chat" | "conversation", _) => self.see(frame, connection, true),
            ("sync", "page") => {
                let conversation: Uuid = data["conversation_id"].as_str().unwrap().parse().unwrap();
                if let Some(epoch) = data["log_epoch"].as_i64() {
                    let before = *connection.epochs.entry(conversation).or_insert(epoch);
                    if before != epoch {
                        self.problem(format!("epoch of {conversation} went from {before} to {epoch}"));
                    }
                }
                for frame in data["frames"].as_array().unwrap() {
                    self.see(frame, connection, false);
                }
                if data["has_more"] == false {
                    let known = connection.known.entry(conversation).or_default();
                    *known = data["last_seq"].as_i64().unwrap_or_default().max(*known);
                }
                // More of it is asked for when this sync is complete.
                connection.must_sync |= data["has_more"] == true || data["has_gap"] == true;
                if data["gone"] == true {
                    self.problem(format!("{conversation} is gone"));
                }
            }
            ("sync", "complete") => {
                connection.is_syncing = false;
                if let Some(cursor) = data["cursor"].as_str() {
                    self.memory.lock().cursor = Some(cursor.to_owned());
                }
            }
            ("resync", _) => {
                let named: Option<Vec<Uuid>> = data["conversation_ids"]
                    .as_array()
                    .map(|ids| ids.iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect());
                connection.holes.retain(|hole| named.as_ref().is_some_and(|ids| !ids.contains(&hole.conversation)));
                self.memory.lock().resyncs.push(Resync {
                    user: self.number,
                    reason: data["reason"].as_str().unwrap_or_default().to_owned(),
                    conversations: named.map(|ids| ids.len()),
                    node: connection.node,
                    at_ms: now_ms(),
                });
                connection.must_sync = true;
            }
            ("reconnect", _) => connection.had_reconnect = true,
            ("error", _) => self.refused(frame, connection),
            ("pong" | "typing" | "read" | "status" | "unread_count_update" | "auth", _) => {}
            _ => self.problem(format!("an unknown frame: {frame}")),
        }
    }

    fn answered(&self, frame: &Value, connection: &mut Connection) {
        let data = &frame["data"];
        let temp_id = data["temp_id"].as_str().unwrap().to_owned();
        let (conversation, seq) =
            (data["conversation_id"].as_str().unwrap().parse::<Uuid>().unwrap(), data["seq"].as_i64().unwrap());
        let number: u64 = frame["id"].as_str().unwrap().parse().unwrap();
        let mut memory = self.memory.lock();
        if let Some(before) = memory.acknowledged.get(&temp_id) {
            if (before.conversation, before.seq) != (conversation, seq) {
                self.problem(format!("{temp_id} was answered twice, differently: {before:?}, then {frame}"));
            }
            return;
        }
        let Some(pending) = memory.pending.remove(&number) else {
            return self.problem(format!("an answer to what was never asked: {frame}"));
        };
        if pending.conversation != conversation || pending.temp_id != temp_id {
            self.problem(format!("a wrong answer: {frame}"));
        }
        let is_first = pending.times == 1;
        if is_first && pending.first_sent_ms >= connection.made_ms {
            let last = connection.answered.entry(conversation).or_insert((number, seq));
            if (number > last.0) != (seq > last.1) && number != last.0 {
                self.problem(format!("sends of one connection changed places: {last:?}, then {number} at {seq}"));
            }
            if number > last.0 {
                *last = (number, seq);
            }
        }
        let acknowledged = Acknowledged {
            conversation,
            seq,
            first_sent_ms: pending.first_sent_ms,
            at_ms: now_ms(),
            node: connection.node,
            is_first,
        };
        memory.acknowledged.insert(temp_id.clone(), acknowledged);
        let seen = Seen {
            content: temp_id,
            at_ms: now_ms(),
            is_live: false,
            connected_ms: connection.made_ms,
            node: connection.node,
        };
        Self::remember(self, &mut memory, conversation, seq, seen);
    }

    fn refused(&self, frame: &Value, connection: &mut Connection) {
        let data = &frame["data"];
        let code = data["code"].as_str().unwrap_or_default().to_owned();
        let is_retryable = matches!(code.as_str(), "unavailable" | "overloaded" | "rate_limited");
        if !is_retryable {
            self.problem(format!("refused on connection {}: {frame}", connection.number));
        }
        let mut memory = self.memory.lock();
        let number = frame["id"].as_str().and_then(|id| id.parse::<u64>().ok());
        let Some(pending) = number.and_then(|number| memory.pending.get_mut(&number)) else {
            connection.is_syncing = false;
            return;
        };
        pending.last_sent = Instant::now().checked_sub(RESEND_AFTER).unwrap() + RETRY_AFTER;
        let refused =
            Refused { conversation: pending.conversation, code, sent_ms: pending.last_sent_ms, at_ms: now_ms() };
        memory.refused.push(refused);
    }

    /// An entry of a log, live or in a page.
    fn see(&self, frame: &Value, connection: &mut Connection, is_live: bool) {
        let data = &frame["data"];
        let (Some(conversation), Some(seq)) =
            (data["conversation_id"].as_str().and_then(|id| id.parse::<Uuid>().ok()), data["seq"].as_i64())
        else {
            return self.problem(format!("neither conversation nor seq: {frame}"));
        };
        let content = match frame["action"].as_str() {
            Some("new_message") => data["content"].as_str().unwrap_or_default().to_owned(),
            action => action.unwrap_or_default().to_owned(),
        };
        let seen = Seen { content, at_ms: now_ms(), is_live, connected_ms: connection.made_ms, node: connection.node };
        let mut memory = self.memory.lock();
        let is_new = Self::remember(self, &mut memory, conversation, seq, seen);
        if is_live {
            let greatest = connection.live.entry(conversation).or_insert(seq);
            if is_new && seq < *greatest {
                self.problem(format!(
                    "out of order on connection {} at node {}: {seq} of {conversation} after {greatest}",
                    connection.number, connection.node
                ));
            }
            *greatest = seq.max(*greatest);
            // A sync that is not over has yet to say from where on this connection is to miss nothing.
            if let Some(known) = connection.known.get_mut(&conversation) {
                let missing = *known + 1..seq;
                *known = seq.max(*known);
                let log = memory.logs.entry(conversation).or_default();
                let holes = missing.filter(|seq| !log.contains_key(seq));
                connection.holes.extend(holes.map(|seq| Hole {
                    conversation,
                    seq,
                    at: Instant::now(),
                    at_ms: now_ms(),
                }));
            }
        }
    }

    /// Each hole is filled in time, or was announced (then it is no longer here). What this user itself has sent and has no answer to
    /// may be what seems to be missing: it is answered, not shown.
    fn look_at_holes(&self, connection: &mut Connection) {
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        let is_stopped = connection.last_heard.elapsed() > STOPPED_AFTER;
        connection.holes.retain_mut(|hole| {
            let is_filled = memory.logs.get(&hole.conversation).is_some_and(|log| log.contains_key(&hole.seq));
            if is_filled {
                memory.holes += 1;
                memory.longest_hole = memory.longest_hole.max(hole.at.elapsed());
                return false;
            }
            if is_stopped {
                hole.at = Instant::now();
            }
            let may_be_own = memory
                .pending
                .values()
                .any(|pending| pending.conversation == hole.conversation && pending.first_sent_ms <= hole.at_ms);
            if hole.at.elapsed() > HOLE_LIMIT && !may_be_own {
                self.problem(format!(
                    "{} of {} was neither filled nor announced, on connection {} at node {}",
                    hole.seq, hole.conversation, connection.number, connection.node
                ));
                return false;
            }
            true
        });
    }

    fn remember(&self, memory: &mut Memory, conversation: Uuid, seq: i64, seen: Seen) -> bool {
        let log = memory.logs.entry(conversation).or_default();
        if let Some(before) = log.get(&seq) {
            if before.content != seen.content {
                self.problem(format!("{seq} of {conversation} was {} and is {}", before.content, seen.content));
            }
            memory.repeats += 1;
            return false;
        }
        log.insert(seq, seen);
        true
    }
}
