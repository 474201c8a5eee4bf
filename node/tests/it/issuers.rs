//! Tokens of other issuers: keys of every kind and from every place, who their users are here, and what happens when keys change or
//! cannot be had. The keys in `keys/` are of tests only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use herald_node::config::{Config, Issuer};
use herald_node::domain::UserId;
use herald_node::storage::directory::accounts::{set_disabled, set_roles};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::support::client::{Answer, call, now_s};
use super::support::{Cluster, Device, Setup, eventually_within};

const ISSUER: &str = "https://login.example";
const SECRET: &str = "a secret that the other issuer shares with us";

/// One of the tests' keys, as the other issuer has it.
#[derive(Clone)]
struct SigningKey {
    kid: Option<String>,
    algorithm: Algorithm,
    encoding: EncodingKey,
}

impl SigningKey {
    fn secret() -> Self {
        Self { kid: None, algorithm: Algorithm::HS256, encoding: EncodingKey::from_secret(SECRET.as_bytes()) }
    }

    fn of(name: &str, pem: &str) -> Self {
        let pem = pem.as_bytes();
        let (algorithm, encoding) = match &name[..2] {
            "rs" => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
            "ec" => (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
            _ => (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
        };
        Self { kid: Some(name.to_owned()), algorithm, encoding: encoding.unwrap() }
    }

    fn rsa(number: usize) -> Self {
        let pem = [include_str!("keys/rsa-1.pem"), include_str!("keys/rsa-2.pem")][number - 1];
        Self::of(&format!("rsa-{number}"), pem)
    }

    fn ec(number: usize) -> Self {
        let pem = [include_str!("keys/ec-1.pem"), include_str!("keys/ec-2.pem")][number - 1];
        Self::of(&format!("ec-{number}"), pem)
    }

    fn ed(number: usize) -> Self {
        let pem = [include_str!("keys/ed-1.pem"), include_str!("keys/ed-2.pem")][number - 1];
        Self::of(&format!("ed-{number}"), pem)
    }

    fn without_kid(mut self) -> Self {
        self.kid = None;
        self
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.encoding, self.algorithm).unwrap();
        jwk.common.key_id.clone_from(&self.kid);
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.encoding).unwrap()
    }

    fn token(&self, subject: &str) -> String {
        self.sign(&claims(subject))
    }
}

fn claims(subject: &str) -> Value {
    let now = now_s();
    json!({"iss": ISSUER, "aud": "chat", "sub": subject, "name": "Ann Other", "iat": now, "exp": now + 600})
}

fn set(keys: &[&SigningKey]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

fn id_of(subject: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_URL, ISSUER.as_bytes()), subject.as_bytes())
}

/// Nodes that accept the issuer, with keys as `change` says.
async fn cluster(nodes: usize, change: impl Fn(&mut Issuer) + Send + Sync + 'static) -> Cluster {
    let configure = move |config: &mut Config| {
        let mut issuer = Issuer { issuer: ISSUER.to_owned(), audience: "chat".to_owned(), ..Issuer::default() };
        change(&mut issuer);
        config.auth.issuers.insert("partner".to_owned(), issuer);
    };
    Setup::nodes(nodes).configure(configure).start().await
}

async fn get(cluster: &Cluster, node: usize, path: &str, token: &str) -> Answer {
    call(&cluster.http, Method::GET, &format!("{}/api/v1{path}", cluster.url(node)), Some(token), None).await
}

async fn post(cluster: &Cluster, node: usize, path: &str, token: &str, body: Value) -> Answer {
    call(&cluster.http, Method::POST, &format!("{}/api/v1{path}", cluster.url(node)), Some(token), Some(body)).await
}

async fn me(cluster: &Cluster, node: usize, token: &str) -> Answer {
    get(cluster, node, "/users/me", token).await
}

/// A key set behind an address, which can change, fail and be away.
struct KeyServer {
    address: std::net::SocketAddr,
    shared: Arc<Shown>,
    task: Option<JoinHandle<()>>,
}

struct Shown {
    status: Mutex<u16>,
    body: Mutex<String>,
    asked: AtomicUsize,
}

impl KeyServer {
    async fn start(body: String) -> Self {
        let shared = Arc::new(Shown { status: Mutex::new(200), body: Mutex::new(body), asked: AtomicUsize::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Self { address: listener.local_addr().unwrap(), shared, task: None };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.task = Some(tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _ = socket.read(&mut head).await;
                shared.asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = (*shared.status.lock(), shared.body.lock().clone());
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            }
        }));
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn show(&self, body: String) {
        *self.shared.body.lock() = body;
    }

    fn answer(&self, status: u16) {
        *self.shared.status.lock() = status;
    }

    fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    fn stop(&mut self) {
        self.task.take().unwrap().abort();
    }

    async fn start_again(&mut self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        self.serve(listener);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_another_issuer_is_made_on_first_sight_and_chats_like_everyone() {
    let cluster = cluster(2, |issuer| issuer.secret = SECRET.to_owned()).await;
    let key = SigningKey::secret();
    let id = id_of("auth0|ann");

    // At once on both nodes: one user.
    let token = key.token("auth0|ann");
    let both = futures_util::future::join_all((0..8).map(|index| me(&cluster, index % 2, &token))).await;
    for answer in both {
        let user = answer.expect(200);
        assert_eq!((&user["id"], &user["username"], &user["email"]), (&json!(id), &Value::Null, &Value::Null));
        assert_eq!((&user["display_name"], &user["roles"]), (&json!("Ann Other"), &json!([])));
    }
    // No logins, no password, no administration, whatever the token says.
    assert_eq!(get(&cluster, 0, "/auth/sessions", &token).await.expect(200)["items"], json!([]));
    let mut wishes = claims("auth0|ann");
    wishes["roles"] = json!(["admin"]);
    wishes["name"] = json!("Another Name");
    let user = me(&cluster, 0, &key.sign(&wishes)).await.expect(200);
    assert_eq!((&user["roles"], &user["display_name"]), (&json!([]), &json!("Ann Other")));
    let password = json!({"current_password": "long enough", "new_password": "long enough"});
    post(&cluster, 0, "/users/me/password", &token, password).await.refused(401, "invalid_credentials");

    // All three ways into a socket; the expiry is the token's.
    let bob = cluster.user("bob").await;
    let mut bob_phone = bob.connect(&cluster, 1).await;
    let mut by_header = Device::connect(&cluster.ws_url(0), Some(&token)).await.authenticated().await;
    assert_eq!((&by_header.session["user_id"], &by_header.session["username"]), (&json!(id), &Value::Null));
    assert_eq!(by_header.session["display_name"], "Ann Other");
    let ends = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(&token).unwrap()["exp"].as_i64().unwrap();
    let said = by_header.session["expires_at"].as_str().unwrap().to_owned();
    let said = time::OffsetDateTime::parse(&said, &time::format_description::well_known::Rfc3339).unwrap();
    assert_eq!(said.unix_timestamp(), ends);
    let by_frame = Device::connect(&cluster.ws_url(1), None).await;
    by_frame.send(json!({"type": "auth", "token": token})).await;
    by_frame.authenticated().await;
    let ws_token = post(&cluster, 1, "/auth/ws-token", &token, json!({})).await.expect(201);
    let url = format!("{}?token={}", cluster.ws_url(0), ws_token["ws_token"].as_str().unwrap());
    let by_url = Device::connect(&url, None).await.authenticated().await;
    assert_eq!((&by_url.session["user_id"], &by_url.session["username"]), (&json!(id), &Value::Null));
    assert_eq!(by_url.session["expires_at"], by_header.session["expires_at"]);
    // The token itself does not belong into a URL.
    assert_eq!(Device::connect(&format!("{}?token={token}", cluster.ws_url(0)), None).await.closed().await, 1008);

    by_header.say(bob.id, "hello").await;
    let message = bob_phone.next_message().await;
    assert_eq!((&message["sender_id"], &message["sender_name"]), (&json!(id), &json!("Ann Other")));
    bob_phone.say(id, "hello, Ann").await;
    assert_eq!(by_header.next_message().await["content"], "hello, Ann");

    // A later token of the same user prolongs the session, another's does not.
    let mut longer = claims("auth0|ann");
    longer["exp"] = json!(now_s() + 800);
    let renewed = by_header.ask(json!({"type": "auth", "token": key.sign(&longer)})).await;
    assert_ne!(renewed["data"]["expires_at"], by_header.session["expires_at"], "{renewed}");
    let refused = by_header.ask(json!({"type": "auth", "token": key.token("auth0|eve")})).await;
    assert_eq!(refused["data"]["code"], "invalid_request");

    // What the user is called is the user's own from then on.
    let url = format!("{}/api/v1/users/me", cluster.url(0));
    call(&cluster.http, Method::PATCH, &url, Some(&token), Some(json!({"display_name": "Ann"}))).await.expect(200);
    let again = Device::connect(&cluster.ws_url(0), Some(&token)).await.authenticated().await;
    assert_eq!(again.session["display_name"], "Ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind_check_and_only_their_own_algorithm() {
    for (key, other, pem) in [
        (SigningKey::rsa(1), SigningKey::rsa(2), include_str!("keys/rsa-1.pub.pem")),
        (SigningKey::ec(1), SigningKey::ec(2), include_str!("keys/ec-1.pub.pem")),
        (SigningKey::ed(1), SigningKey::ed(2), include_str!("keys/ed-1.pub.pem")),
    ] {
        let cluster = cluster(1, move |issuer| issuer.public_key = pem.to_owned()).await;
        me(&cluster, 0, &key.token("ann")).await.expect(200);
        me(&cluster, 0, &key.clone().without_kid().token("ann")).await.expect(200);
        me(&cluster, 0, &other.token("ann")).await.refused(401, "unauthorized");
        // The public key as a secret, the oldest trick.
        let trick = EncodingKey::from_secret(pem.as_bytes());
        let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims("ann"), &trick).unwrap();
        me(&cluster, 0, &forged).await.refused(401, "unauthorized");
    }
    // All in one file.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let keys = [SigningKey::rsa(1), SigningKey::ec(1), SigningKey::ed(1)];
    std::fs::write(&file, set(&[&keys[0], &keys[1], &keys[2]])).unwrap();
    let path = file.clone();
    let cluster = cluster(1, move |issuer| issuer.jwks_file = Some(path.clone())).await;
    for key in &keys {
        me(&cluster, 0, &key.token("ann")).await.expect(200);
    }
    let mut crossed = SigningKey::ed(1);
    crossed.kid = Some("rsa-1".to_owned());
    me(&cluster, 0, &crossed.token("ann")).await.refused(401, "unauthorized");
    me(&cluster, 0, &SigningKey::rsa(1).without_kid().token("ann")).await.refused(401, "unauthorized");
    // A file that was changed is read again when a token asks for it.
    me(&cluster, 0, &SigningKey::ed(2).token("ann")).await.refused(401, "unauthorized");
    std::fs::write(&file, set(&[&SigningKey::ed(2)])).unwrap();
    me(&cluster, 0, &SigningKey::ed(2).token("ann")).await.expect(200);
    me(&cluster, 0, &SigningKey::ed(1).token("ann")).await.refused(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetched_key_set_rotates_is_kept_while_its_server_is_away_and_is_not_asked_for_without_end() {
    let mut server = KeyServer::start(set(&[&SigningKey::rsa(1)])).await;
    let url = server.url();
    let cluster = cluster(1, move |issuer| issuer.jwks_url.clone_from(&url)).await;
    let (old, new) = (SigningKey::rsa(1), SigningKey::ec(2));
    me(&cluster, 0, &old.token("ann")).await.expect(200);
    me(&cluster, 0, &old.token("ann")).await.expect(200);
    assert_eq!(server.asked(), 1, "the set is kept");

    // Rotated: both for a while, then the new one only.
    server.show(set(&[&old, &new]));
    me(&cluster, 0, &new.token("ann")).await.expect(200);
    me(&cluster, 0, &old.token("ann")).await.expect(200);
    assert_eq!(server.asked(), 2);

    // Away, and nonsense: what is known stays.
    server.stop();
    let begun = Instant::now();
    me(&cluster, 0, &SigningKey::ed(1).token("ann")).await.refused(401, "unauthorized");
    assert!(begun.elapsed() < Duration::from_secs(5));
    me(&cluster, 0, &new.token("ann")).await.expect(200);
    server.start_again().await;
    for (status, body) in [(200, "<html>".to_owned()), (500, set(&[&SigningKey::ed(1)])), (200, "x".repeat(600_000))] {
        server.answer(status);
        server.show(body);
        me(&cluster, 0, &SigningKey::ed(1).token("ann")).await.refused(401, "unauthorized");
        me(&cluster, 0, &new.token("ann")).await.expect(200);
    }

    // Strangers cannot have it asked without end, and do not wait.
    let before = server.asked();
    let begun = Instant::now();
    for index in 0..50 {
        let mut stranger = SigningKey::ed(2);
        stranger.kid = Some(format!("unknown-{index}"));
        me(&cluster, 0, &stranger.token("eve")).await.refused(401, "unauthorized");
    }
    let most = 4 + usize::try_from(begun.elapsed().as_secs() / 5 + 1).unwrap();
    assert!(server.asked() - before <= most, "{} times", server.asked() - before);

    // Some seconds later it is asked again.
    server.answer(200);
    server.show(set(&[&SigningKey::ed(1)]));
    let token = SigningKey::ed(1).token("ann");
    eventually_within(Duration::from_secs(15), "the newest key counts", async || {
        me(&cluster, 0, &token).await.status == 200
    })
    .await;
    me(&cluster, 0, &old.token("ann")).await.refused(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_key_was_ever_read_nobody_says_that_a_token_is_bad() {
    let mut server = KeyServer::start(set(&[&SigningKey::ed(1)])).await;
    server.stop();
    let url = server.url();
    let cluster = cluster(1, move |issuer| issuer.jwks_url.clone_from(&url)).await;
    let token = SigningKey::ed(1).token("ann");
    let answer = me(&cluster, 0, &token).await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.refused(503, "unavailable");
    assert_eq!(Device::connect(&cluster.ws_url(0), Some(&token)).await.closed().await, 1013);
    // Own users do not notice.
    let bob = cluster.user("bob").await;
    bob.get(&cluster, 0, "/users/me").await.expect(200);
    server.start_again().await;
    eventually_within(Duration::from_secs(20), "the keys are read", async || {
        me(&cluster, 0, &token).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_required_typed_and_without_leeway() {
    let cluster = cluster(1, |issuer| issuer.secret = SECRET.to_owned()).await;
    let key = SigningKey::secret();
    let now = now_s();
    for (name, value) in [
        ("iss", json!("https://login.example/")),
        ("iss", json!("herald")),
        ("aud", json!("herald")),
        ("aud", json!(["other"])),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("sub", json!(5)),
        ("sub", json!("")),
        ("iat", Value::Null),
        ("iat", json!(now.to_string())),
        ("iat", json!(now - 901)),
        ("iat", json!(now + 60)),
        ("exp", Value::Null),
        ("exp", json!(now)),
        ("exp", json!((now + 600).to_string())),
        ("nbf", json!(now + 60)),
    ] {
        let mut claims = claims("ann");
        claims[name] = value.clone();
        let answer = me(&cluster, 0, &key.sign(&claims)).await;
        assert_eq!(answer.status, 401, "{name} {value}");
        answer.refused(401, "unauthorized");
    }
    // It ends when it says, also for a socket that it opened.
    let mut short = claims("ann");
    short["exp"] = json!(now_s() + 3);
    let mut device = Device::connect(&cluster.ws_url(0), Some(&key.sign(&short))).await.authenticated().await;
    assert_eq!(device.closed().await, 4001);
    // And a quarter of an hour after it was made at the latest.
    let mut old = claims("ann");
    (old["iat"], old["exp"]) = (json!(now_s() - 896), json!(now_s() + 3_600));
    let old = key.sign(&old);
    let mut device = Device::connect(&cluster.ws_url(0), Some(&old)).await.authenticated().await;
    assert_eq!(device.closed().await, 4001);
    me(&cluster, 0, &old).await.refused(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_or_deleted_here_stays_out_and_roles_are_given_here() {
    let cluster = cluster(2, |issuer| issuer.secret = SECRET.to_owned()).await;
    let key = SigningKey::secret();
    let (ann, token) = (UserId(id_of("ann")), key.token("ann"));
    let mut device = Device::connect(&cluster.ws_url(1), Some(&token)).await.authenticated().await;
    me(&cluster, 0, &token).await.expect(200);

    let directory = &cluster.app(0).directory;
    assert!(set_roles(directory, ann, &["admin".to_owned()]).await.unwrap());
    let me_now = async || me(&cluster, 1, &token).await.expect(200);
    assert_eq!(me_now().await["roles"], json!(["admin"]));

    assert!(set_disabled(directory, ann, true).await.unwrap());
    assert_eq!(device.closed().await, 4501);
    eventually_within(Duration::from_secs(5), "refused everywhere", async || {
        me(&cluster, 0, &token).await.status == 401 && me(&cluster, 1, &token).await.status == 401
    })
    .await;
    me(&cluster, 0, &key.token("ann")).await.refused(401, "unauthorized");
    assert_eq!(Device::connect(&cluster.ws_url(0), Some(&token)).await.closed().await, 1008);
    assert!(set_disabled(directory, ann, false).await.unwrap());
    eventually_within(Duration::from_secs(5), "let in again", async || me(&cluster, 1, &token).await.status == 200)
        .await;

    // A deleted account is not made anew, also where no node has seen it deleted.
    let eve = id_of("eve");
    let client = cluster.databases.directory().await;
    client
        .execute("insert into account (id, display_name, deleted_at) values ($1, '', clock_timestamp())", &[&eve])
        .await
        .unwrap();
    me(&cluster, 0, &key.token("eve")).await.refused(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_with_the_same_ids_speaks_for_users_who_are_here_already() {
    let cluster = cluster(1, |issuer| {
        issuer.secret = SECRET.to_owned();
        issuer.same_ids = true;
    })
    .await;
    let key = SigningKey::secret();
    let bob = cluster.user("bob").await;
    let user = me(&cluster, 0, &key.token(&bob.id.to_string())).await.expect(200);
    assert_eq!((&user["id"], &user["username"], &user["display_name"]), (&json!(bob.id), &json!("bob"), &json!("bob")));
    let id = Uuid::new_v4();
    let user = me(&cluster, 0, &key.token(&id.to_string())).await.expect(200);
    assert_eq!(
        (&user["id"], &user["username"], &user["display_name"]),
        (&json!(id), &Value::Null, &json!("Ann Other"))
    );
    for subject in ["ann", "00000000-0000-0000-0000-000000000000", "5"] {
        me(&cluster, 0, &key.token(subject)).await.refused(401, "unauthorized");
    }
}
