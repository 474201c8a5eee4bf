//! A user with tokens and REST calls, and a device with a socket.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};
use uuid::Uuid;

use super::DEADLINE;
use super::cluster::{Cluster, KID, SECRET};
use super::documents::judges;

/// Seconds since 1970, as tokens count.
pub fn now_s() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// A token with these claims, signed with the tests' key.
pub fn sign(claims: &Value) -> String {
    let header = Header { kid: Some(KID.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[derive(Clone, Debug)]
pub struct User {
    pub id: Uuid,
    pub login: Uuid,
    pub name: String,
    pub roles: Vec<String>,
    pub http: reqwest::Client,
}

/// What a REST call answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body of an answer that had to have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The stable code of a refusal that had to have this status.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
    }
}

impl User {
    pub fn claims(&self) -> Value {
        let now = now_s();
        json!({
            "sub": self.id, "sid": self.login, "name": self.name, "display_name": self.name, "roles": self.roles,
            "typ": "access", "iss": "herald", "aud": "herald", "iat": now, "exp": now + 900, "jti": Uuid::new_v4(),
        })
    }

    pub fn token(&self) -> String {
        sign(&self.claims())
    }

    /// A socket at this node, authenticated and past the `success` frame.
    pub async fn connect(&self, cluster: &Cluster, node: usize) -> Device {
        Device::connect(&cluster.ws_url(node), Some(&self.token())).await.authenticated().await
    }

    /// The same, with a `sync` in its first frame.
    pub async fn connect_with_sync(&self, cluster: &Cluster, node: usize, sync: Value) -> Device {
        let device = Device::connect(&cluster.ws_url(node), None).await;
        device.send(json!({"type": "auth", "token": self.token(), "sync": sync})).await;
        device.authenticated().await
    }

    pub async fn get(&self, cluster: &Cluster, node: usize, path: &str) -> Answer {
        self.call(reqwest::Method::GET, &format!("{}/api/v1{path}", cluster.url(node)), None).await
    }

    pub async fn post(&self, cluster: &Cluster, node: usize, path: &str, body: Value) -> Answer {
        self.call(reqwest::Method::POST, &format!("{}/api/v1{path}", cluster.url(node)), Some(body)).await
    }

    pub async fn put(&self, cluster: &Cluster, node: usize, path: &str, body: Value) -> Answer {
        self.call(reqwest::Method::PUT, &format!("{}/api/v1{path}", cluster.url(node)), Some(body)).await
    }

    pub async fn patch(&self, cluster: &Cluster, node: usize, path: &str, body: Value) -> Answer {
        self.call(reqwest::Method::PATCH, &format!("{}/api/v1{path}", cluster.url(node)), Some(body)).await
    }

    pub async fn delete(&self, cluster: &Cluster, node: usize, path: &str) -> Answer {
        self.call(reqwest::Method::DELETE, &format!("{}/api/v1{path}", cluster.url(node)), None).await
    }

    pub async fn call(&self, method: reqwest::Method, url: &str, body: Option<Value>) -> Answer {
        call(&self.http, method, url, Some(&self.token()), body).await
    }
}

/// One REST call, with or without a token and a body.
pub async fn call(
    http: &reqwest::Client,
    method: reqwest::Method,
    url: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut request = http.request(method.clone(), url).timeout(DEADLINE);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = reqwest::Url::parse(url).unwrap().path().to_owned();
    // What is no JSON is text to its schema, also where it happens to be read as something else: no line at all, or one.
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let judged = match essence {
        "" => Value::Null,
        json if json == "application/json" || json.ends_with("+json") => body.clone(),
        _ if body.is_string() => body.clone(),
        _ => Value::String(body.to_string()),
    };
    if let Some(fault) = judges().fault_of_answer(method.as_str(), &path, status, content_type, &judged) {
        panic!("{fault}");
    }
    Answer { status, headers, body }
}

/// One socket. A task of its own reads it, so that Pings are answered while the test does something else.
pub struct Device {
    out: mpsc::Sender<Message>,
    frames: mpsc::Receiver<Received>,
    /// Came while something else was waited for.
    waiting: VecDeque<Value>,
    /// Of `success`.
    pub session: Value,
    close_code: Option<u16>,
}

enum Received {
    Frame(Value),
    /// The code of the close frame; 1006 when there was none.
    Closed(u16),
}

impl Device {
    /// Opens a socket with the token in the `Authorization` header, or without one.
    pub async fn connect(url: &str, token: Option<&str>) -> Self {
        let mut request = url.into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        Self::open(request).await
    }

    pub async fn open(request: tokio_tungstenite::tungstenite::handshake::client::Request) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let (mut sink, mut stream) = socket.split();
        let (out, mut to_send) = mpsc::channel::<Message>(10_000);
        let (sender, frames) = mpsc::channel(100_000);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    received = stream.next() => {
                        let event = match received {
                            Some(Ok(Message::Text(text))) => Received::Frame(serde_json::from_str(&text).unwrap()),
                            Some(Ok(Message::Close(frame))) => Received::Closed(frame.map_or(1005, |frame| frame.code.into())),
                            Some(Ok(_)) => continue,
                            Some(Err(_)) | None => Received::Closed(1006),
                        };
                        let is_end = matches!(event, Received::Closed(_));
                        if sender.send(event).await.is_err() || is_end {
                            // The answer to a close frame is still written.
                            let _ = sink.flush().await;
                            return;
                        }
                    }
                    message = to_send.recv() => match message {
                        Some(message) => { let _ = sink.send(message).await; }
                        None => return,
                    },
                }
            }
        });
        Self { out, frames, waiting: VecDeque::new(), session: Value::Null, close_code: None }
    }

    /// Waits for `success`.
    pub async fn authenticated(mut self) -> Self {
        let frame = self.next().await;
        assert_eq!((frame["type"].as_str(), frame["status"].as_str()), (Some("auth"), Some("success")), "{frame}");
        self.session = frame["data"].clone();
        self
    }

    pub async fn send(&self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&self, text: &str) {
        let _ = self.out.send(Message::text(text)).await;
    }

    pub async fn send_message(&self, message: Message) {
        let _ = self.out.send(message).await;
    }

    pub async fn close(&self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = self.out.send(Message::Close(Some(frame))).await;
    }

    /// The next frame, whatever it is.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            match self.waiting.pop_front() {
                Some(frame) => frame,
                None => {
                    self.receive(DEADLINE).await.unwrap_or_else(|| panic!("{caller}: no frame came; {}", self.state()))
                }
            }
        }
    }

    /// The next frame of this kind, `chat/new_message` or `pong`; what comes before is kept for later.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            self.find(DEADLINE, |frame| is_of(frame, kind))
                .await
                .unwrap_or_else(|| panic!("{caller}: no {kind} came; {}, kept {:?}", self.state(), self.waiting))
        }
    }

    /// The first frame that fits, within `limit`; what comes before is kept.
    pub async fn find(&mut self, limit: Duration, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        if let Some(index) = self.waiting.iter().position(&fits) {
            return self.waiting.remove(index);
        }
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let frame = self.receive(left).await?;
            if fits(&frame) {
                return Some(frame);
            }
            self.waiting.push_back(frame);
        }
    }

    /// True if no frame of this kind comes within `time`.
    pub async fn has_none(&mut self, kind: &str, time: Duration) -> bool {
        self.find(time, |frame| is_of(frame, kind)).await.is_none()
    }

    /// The data of the next `chat`/`new_message`.
    #[track_caller]
    pub fn next_message(&mut self) -> impl Future<Output = Value> {
        let frame = self.expect("chat/new_message");
        async move { frame.await["data"].take() }
    }

    /// Sends text to a user and answers the data of `message_sent`.
    pub async fn say(&mut self, to: Uuid, content: &str) -> Value {
        self.chat(json!({"receiver_id": to, "content": content})).await
    }

    /// Sends text to a conversation and answers the data of `message_sent`.
    pub async fn say_in(&mut self, conversation: &str, content: &str) -> Value {
        self.chat(json!({"conversation_id": conversation, "content": content})).await
    }

    /// Sends a message with these fields, `message_type` and `temp_id` filled in where they lack, and answers the data of
    /// `message_sent`.
    pub async fn chat(&mut self, data: Value) -> Value {
        let mut answer = self.ask(chat_frame(data)).await;
        assert_eq!(answer["action"], "message_sent", "{answer}");
        answer["data"].take()
    }

    /// The same, for a send that is refused: the data of `error`.
    pub async fn chat_refused(&mut self, data: Value) -> Value {
        let mut answer = self.ask(chat_frame(data)).await;
        assert_eq!(answer["type"], "error", "{answer}");
        answer["data"].take()
    }

    /// Sends a frame with an `id` of its own and answers the frame that carries it.
    pub async fn ask(&mut self, mut frame: Value) -> Value {
        let id = Uuid::new_v4().to_string();
        frame["id"] = json!(id);
        self.send(frame.clone()).await;
        let answer = self.find(DEADLINE, |answer| answer["id"] == json!(id)).await;
        answer.unwrap_or_else(|| panic!("no answer to {frame}; {}, kept {:?}", self.state(), self.waiting))
    }

    /// All pages of a sync, and its cursor.
    pub async fn sync(&mut self, data: Value) -> (Vec<Value>, Value) {
        let id = Uuid::new_v4().to_string();
        self.send(json!({"type": "sync", "id": id, "data": data})).await;
        let mut pages = Vec::new();
        loop {
            let frame = self.find(DEADLINE, |frame| frame["id"] == id.as_str()).await.expect("an answer to sync");
            match frame["action"].as_str() {
                Some("page") => pages.push(frame["data"].clone()),
                Some("complete") => return (pages, frame["data"]["cursor"].clone()),
                _ => panic!("{frame}"),
            }
        }
    }

    /// Waits for the close and answers its code; frames before it are kept.
    pub async fn closed(&mut self) -> u16 {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self.close_code.is_none() {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.receive(left).await {
                Some(frame) => self.waiting.push_back(frame),
                None => assert!(self.close_code.is_some(), "the socket was not closed; kept {:?}", self.waiting),
            }
        }
        self.close_code.unwrap()
    }

    /// Frames that came and were not asked for.
    pub fn take_waiting(&mut self) -> Vec<Value> {
        while let Ok(Received::Frame(frame)) = self.frames.try_recv() {
            self.waiting.push_back(frame);
        }
        self.waiting.drain(..).collect()
    }

    async fn receive(&mut self, limit: Duration) -> Option<Value> {
        if self.close_code.is_some() {
            return None;
        }
        match tokio::time::timeout(limit, self.frames.recv()).await {
            Ok(Some(Received::Frame(frame))) => {
                if let Some(fault) = judges().fault_of_frame("server", &frame) {
                    panic!("{fault}");
                }
                Some(frame)
            }
            Ok(Some(Received::Closed(code))) => {
                self.close_code = Some(code);
                None
            }
            Ok(None) => {
                self.close_code = Some(1006);
                None
            }
            Err(_) => None,
        }
    }

    fn state(&self) -> String {
        self.close_code
            .map_or_else(|| "the socket is open".to_owned(), |code| format!("the socket was closed with {code}"))
    }
}

fn chat_frame(mut data: Value) -> Value {
    if data.get("temp_id").is_none() {
        data["temp_id"] = json!(Uuid::new_v4());
    }
    if data.get("message_type").is_none() {
        data["message_type"] = json!("text");
    }
    json!({"type": "chat", "action": "send", "data": data})
}

fn is_of(frame: &Value, kind: &str) -> bool {
    let (wanted, action) = kind.split_once('/').map_or((kind, None), |(wanted, action)| (wanted, Some(action)));
    frame["type"] == wanted && action.is_none_or(|action| frame["action"] == action)
}
