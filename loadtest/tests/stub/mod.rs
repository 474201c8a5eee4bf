//! A stub of a server: just enough of the contract to test the generator against, with faults to order. It is no Herald.
//! Its tokens are user ids, or JWTs whose signature nobody looks at, and it keeps everything in memory.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What goes wrong at the message whose number (over all conversations) is `at`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Nothing,
    /// Stored and acknowledged, never delivered.
    Lose,
    /// The last member of a group does not get it.
    LoseForOne,
    Double,
    /// Delivered after the conversation's next message.
    Delay,
    /// Another content than was sent.
    Swap,
    /// Acknowledged again with another seq.
    AnswerTwice,
    NeverAnswer,
    Refuse,
    /// Refused once as retryable, not stored.
    RefuseOnce,
    /// Stored; then, instead of answer and delivery, both sockets are closed.
    CloseBoth,
    /// Stored and acknowledged, not delivered; the receiver is told to sync.
    Resync,
}

#[derive(Default)]
struct State {
    sockets: HashMap<String, TcpStream>,
    logs: HashMap<String, Vec<Entry>>,
    groups: HashMap<String, Vec<String>>,
    messages: u64,
    delayed: Option<(String, Vec<u8>)>,
}

#[derive(Clone)]
struct Entry {
    sender: String,
    temp_id: String,
    content: String,
}

struct Stub {
    fault: Fault,
    at: u64,
    state: Mutex<State>,
}

/// Starts the stub; gives its WebSocket address.
pub fn start(fault: Fault, at: u64) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let stub = Arc::new(Stub { fault, at, state: Mutex::default() });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stub = stub.clone();
            std::thread::spawn(move || stub.serve(stream.unwrap()));
        }
    });
    url
}

fn text_frame(value: &Value) -> Vec<u8> {
    let text = value.to_string();
    let mut frame = vec![0x81, 126];
    frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}

fn close_frame(code: u16) -> Vec<u8> {
    [&[0x88, 2][..], &code.to_be_bytes()].concat()
}

/// Reads one client frame: opcode and unmasked payload.
fn read_frame(reader: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    reader.read_exact(&mut head)?;
    assert_eq!(head[1] & 0x80, 0x80, "client frames are masked");
    let length = match head[1] & 0x7F {
        126 => {
            let mut wide = [0; 2];
            reader.read_exact(&mut wide)?;
            usize::from(u16::from_be_bytes(wide))
        }
        short => usize::from(short),
    };
    let mut key = [0; 4];
    reader.read_exact(&mut key)?;
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload)?;
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    Ok((head[0] & 0x0F, payload))
}

impl Stub {
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut user = None;
        let mut call = None;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(token) = line.strip_prefix("Authorization: Bearer ") {
                user = Some(user_of(token.trim()));
            }
            if let Some(rest) = line.strip_prefix("POST /api/v1") {
                call = rest.split(' ').next().map(str::to_owned);
            }
            if let Some(digits) = line.strip_prefix("Content-Length: ") {
                length = digits.trim().parse().unwrap();
            }
            if line == "\r\n" {
                let Some(path) = call.take() else { break };
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                self.answer(&path, user.as_deref(), &serde_json::from_slice(&body).unwrap(), &mut stream);
            }
        }
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
            .unwrap();
        if let Some(user) = &user {
            self.welcome(user, &stream, None);
        }
        while let Ok((opcode, payload)) = read_frame(&mut reader) {
            if opcode == 0x8 {
                let _ = stream.write_all(&close_frame(1000));
                return;
            }
            if opcode == 0xA {
                assert_eq!(payload, b"p");
                continue;
            }
            let frame: Value = serde_json::from_slice(&payload).unwrap();
            match (frame["type"].as_str().unwrap(), &user) {
                ("auth", None) => {
                    let token = user_of(frame["token"].as_str().unwrap());
                    self.welcome(&token, &stream, frame.get("sync"));
                    user = Some(token);
                }
                ("sync", Some(_)) => sync(&self.state.lock().unwrap(), &mut stream, &frame["data"]),
                ("chat", Some(user)) => self.take(user, &frame["data"], &mut stream),
                ("ping", _) => stream.write_all(&text_frame(&json!({"type": "pong"}))).unwrap(),
                other => panic!("unexpected frame {other:?}"),
            }
        }
    }

    /// The few REST calls that set a run up.
    fn answer(&self, path: &str, user: Option<&str>, body: &Value, stream: &mut TcpStream) {
        let mut state = self.state.lock().unwrap();
        let (status, answer) = match path {
            "/auth/register" => (201, json!({"user": {"id": format!("id-of-{}", body["username"].as_str().unwrap())}})),
            "/auth/login" => (200, json!({"access_token": some_token()})),
            "/groups" => {
                let id = format!("g-{}", state.groups.len());
                let mut members = vec![user.unwrap().to_owned()];
                members.extend(ids(&body["members"]));
                state.groups.insert(id.clone(), members);
                (201, json!({"id": id}))
            }
            _ => {
                let id = path.strip_prefix("/groups/").unwrap().strip_suffix("/members").unwrap();
                state.groups.get_mut(id).unwrap().extend(ids(&body["user_ids"]));
                (200, json!({"items": []}))
            }
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all((head + &answer).as_bytes()).unwrap();
    }

    fn welcome(&self, user: &str, stream: &TcpStream, request: Option<&Value>) {
        let mut state = self.state.lock().unwrap();
        let mut stream = stream.try_clone().unwrap();
        let success = json!({"type": "auth", "status": "success", "data": {"user_id": user}});
        // A Ping too, whose Pong must not disturb anything.
        let _ = stream.write_all(&[text_frame(&success), vec![0x89, 1, b'p']].concat());
        if let Some(request) = request {
            sync(&state, &mut stream, request);
        }
        state.sockets.insert(user.to_owned(), stream);
    }

    fn take(&self, sender: &str, data: &Value, stream: &mut TcpStream) {
        let mut state = self.state.lock().unwrap();
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        let (receiver, temp_id) = (text("receiver_id"), text("temp_id"));
        let group = data["group_id"].as_str();
        let id = group.map_or_else(|| format!("c-{sender}-{receiver}"), str::to_owned);
        let known = state
            .logs
            .get(&id)
            .and_then(|log| log.iter().position(|entry| entry.sender == sender && entry.temp_id == temp_id));
        if let Some(at) = known {
            let _ = stream.write_all(&text_frame(&sent(&id, u64::try_from(at).unwrap() + 1, &temp_id)));
            return;
        }
        state.messages += 1;
        let fault = if state.messages == self.at { self.fault } else { Fault::Nothing };
        if fault == Fault::Refuse || fault == Fault::RefuseOnce {
            let error = json!({"type": "error", "data": {"code": "overloaded", "retryable": true, "temp_id": temp_id}});
            let _ = stream.write_all(&text_frame(&error));
            return;
        }
        let mut entry = Entry { sender: sender.to_owned(), temp_id: temp_id.clone(), content: text("content") };
        let log = state.logs.entry(id.clone()).or_default();
        log.push(entry.clone());
        let seq = u64::try_from(log.len()).unwrap();
        if fault == Fault::Swap {
            // The number of another message stands in the stamp.
            entry.content.replace_range(22..30, "00ffffff");
        }
        let delivery = text_frame(&new_message(&id, seq, &entry));
        let answer = text_frame(&sent(&id, seq, &temp_id));
        match fault {
            Fault::CloseBoth => {
                for user in [sender, &receiver] {
                    if let Some(mut socket) = state.sockets.remove(user) {
                        let _ = socket.write_all(&close_frame(1001));
                        let _ = socket.shutdown(std::net::Shutdown::Both);
                    }
                }
                return;
            }
            Fault::NeverAnswer => {}
            Fault::AnswerTwice => {
                let other = text_frame(&sent(&id, seq + 7, &temp_id));
                let _ = stream.write_all(&[answer, other].concat());
            }
            _ => {
                let _ = stream.write_all(&answer);
            }
        }
        match fault {
            Fault::Lose => {}
            Fault::LoseForOne => {
                let mut members = others(&state, group, sender, &receiver);
                members.pop();
                for member in members {
                    deliver(&mut state, &member, &delivery);
                }
            }
            Fault::Double => deliver(&mut state, &receiver, &[delivery.clone(), delivery].concat()),
            Fault::Delay => state.delayed = Some((receiver, delivery)),
            Fault::Resync => {
                let resync = json!({"type": "resync", "data": {"reason": "bus_lost"}});
                deliver(&mut state, &receiver, &text_frame(&resync));
            }
            _ => {
                for member in others(&state, group, sender, &receiver) {
                    deliver(&mut state, &member, &delivery);
                }
                if let Some((delayed_for, frame)) = state.delayed.take() {
                    if delayed_for == receiver {
                        deliver(&mut state, &receiver, &frame);
                    } else {
                        state.delayed = Some((delayed_for, frame));
                    }
                }
            }
        }
    }
}

fn sync(state: &State, stream: &mut TcpStream, request: &Value) {
    let asked = request["conversations"].as_array().cloned().unwrap_or_default();
    for one in asked {
        let id = one["conversation_id"].as_str().unwrap();
        let after = one["after_seq"].as_u64().unwrap();
        let frames: Vec<Value> = (1..)
            .zip(state.logs.get(id).into_iter().flatten())
            .filter(|&(seq, _)| seq > after)
            .map(|(seq, entry)| new_message(id, seq, entry))
            .collect();
        // Two pages where there is something to split, to test that the client asks on.
        let half = frames.len().div_ceil(2);
        let page = json!({"type": "sync", "action": "page", "data": {"conversation_id": id, "frames": frames[..half], "has_more": half < frames.len()}});
        let _ = stream.write_all(&text_frame(&page));
    }
    let _ = stream.write_all(&text_frame(&json!({"type": "sync", "action": "complete", "data": {}})));
}

/// Who gets a message.
fn others(state: &State, group: Option<&str>, sender: &str, receiver: &str) -> Vec<String> {
    match group {
        Some(group) => state.groups[group].iter().filter(|member| *member != sender).cloned().collect(),
        None => vec![receiver.to_owned()],
    }
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// A pattern as a login gives it.
fn some_token() -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT","kid":"k"}"#);
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"alice","sid":"s","iat":1000,"exp":1900}"#);
    format!("{header}.{claims}.")
}

fn user_of(token: &str) -> String {
    let Some(claims) = token.split('.').nth(1) else { return token.to_owned() };
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

fn deliver(state: &mut State, receiver: &str, frame: &[u8]) {
    if let Some(socket) = state.sockets.get_mut(receiver) {
        let _ = socket.write_all(frame);
    }
}

fn sent(id: &str, seq: u64, temp_id: &str) -> Value {
    json!({"type": "chat", "action": "message_sent", "data": {"temp_id": temp_id, "message_id": format!("{id}-{seq}"), "conversation_id": id, "seq": seq}})
}

fn new_message(id: &str, seq: u64, entry: &Entry) -> Value {
    json!({"type": "chat", "action": "new_message", "data": {"message_id": format!("{id}-{seq}"), "conversation_id": id, "seq": seq,
        "sender_id": entry.sender, "content": entry.content, "message_type": "text"}})
}
