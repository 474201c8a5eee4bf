//! What holds for REST as such: bodies, paths, methods, origins, addresses, sockets, health.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::accounts::{PASSWORD, login, register, text};
use crate::support::client::{Answer, call};
use crate::support::own::OwnRedis;
use crate::support::{Cluster, Setup, eventually};

async fn send_raw(cluster: &Cluster, content_type: Option<&str>, body: Vec<u8>) -> Answer {
    let mut request = cluster.http.post(format!("{}/api/v1/auth/login", cluster.url(0))).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.json().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_are_refused_as_what_they_are() {
    let cluster = Cluster::start(1).await;
    let json = Some("application/json; charset=utf-8");
    send_raw(&cluster, None, b"{}".to_vec()).await.refused(415, "unsupported_type");
    send_raw(&cluster, Some("text/plain"), b"{}".to_vec()).await.refused(415, "unsupported_type");
    for bad in ["", "{", "nonsense", "{\"username\":\"a\nb\"}", "{} x"] {
        let refused = send_raw(&cluster, json, bad.into()).await;
        assert!(refused.body["retryable"] == false);
        let code =
            if bad == "{} x" { refused.body["code"].as_str().unwrap().to_owned() } else { "invalid_json".to_owned() };
        assert!(["invalid_json", "invalid_request"].contains(&code.as_str()));
        if bad != "{} x" {
            refused.refused(400, "invalid_json");
        }
    }
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000 / 2), "]".repeat(100_000 / 2));
    send_raw(&cluster, json, deep.into()).await.refused(400, "invalid_json");
    send_raw(&cluster, json, b"{\"username\":\"\xff\",\"password\":\"x\"}".to_vec()).await.refused(400, "invalid_json");
    for bad in [r"\u0000", r"\ud800", r"\udc00x", r"\ud800\ud800"] {
        let body = format!("{{\"username\":\"a{bad}\",\"password\":\"x\"}}");
        send_raw(&cluster, json, body.into()).await.refused(422, "invalid_text");
    }
    let good = format!("{{\"username\":\"a\",\"password\":\"x\",\"pad\":\"{}\"}}", "x".repeat(128 * 1024 - 48));
    assert!(good.len() <= 128 * 1024);
    send_raw(&cluster, json, good.into()).await.refused(401, "invalid_credentials");
    for size in [128 * 1024, 1024 * 1024] {
        let large = format!("{{\"username\":\"{}\",\"password\":\"x\"}}", "x".repeat(size));
        send_raw(&cluster, json, large.into()).await.refused(413, "too_large");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_refuses_a_body_that_is_no_json() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let document = cluster.http.get(format!("{}/openapi.json", cluster.url(0))).send().await.unwrap();
    let document: serde_json::Value = document.json().await.unwrap();
    let send = async |method: &Method, path: &str, content_type: Option<&str>, body: reqwest::Body| {
        let url = format!("{}{path}", cluster.url(0));
        let mut request = cluster.http.request(method.clone(), url).bearer_auth(alice.token()).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let mut seen = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parts =
            path.split('/').map(|part| if part.starts_with('{') { Uuid::nil().to_string() } else { part.into() });
        let path = parts.collect::<Vec<String>>().join("/");
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "get") {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
                let status = send(&method, &path, content_type, "{}".into()).await;
                assert_eq!(status, 415, "{method} {path} with {content_type:?}");
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
    // What comes empty has no type to be wrong, also where its length is not told.
    let read_all = "/api/v1/notifications/read-all";
    for content_type in [None, Some("text/plain")] {
        assert_eq!(send(&Method::POST, read_all, content_type, "".into()).await, 204, "{content_type:?}");
    }
    for (pieces, status) in [("0\r\n\r\n", "204"), ("2\r\n{}\r\n0\r\n\r\n", "415")] {
        let mut socket = TcpStream::connect(cluster.node(0).address).await.unwrap();
        let token = alice.token();
        let head = format!("host: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-type: text/plain");
        let request = format!("POST {read_all} HTTP/1.1\r\n{head}\r\ntransfer-encoding: chunked\r\n\r\n{pieces}");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_there_are_problems_too() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let nowhere = alice.get(&cluster, 0, "/nowhere").await;
    assert_eq!(nowhere.headers["content-type"], "application/problem+json");
    nowhere.refused(404, "not_found");
    let answer = alice.delete(&cluster, 0, "/auth/login").await;
    assert_eq!(answer.headers["allow"], "POST");
    answer.refused(405, "method_not_allowed");
    alice.get(&cluster, 0, "/users/not-an-id").await.refused(404, "not_found");
    alice.get(&cluster, 0, &format!("/users/{}", Uuid::new_v4())).await.refused(404, "not_found");
    alice.delete(&cluster, 0, "/auth/sessions/nonsense").await.refused(404, "not_found");
    for header in [None, Some("nonsense"), Some("Bearer"), Some("Basic abc"), Some("Bearer a.b.c")] {
        let mut request = cluster.http.get(format!("{}/api/v1/users/me", cluster.url(0)));
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{header:?}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_head_is_closed_after_five_seconds() {
    let cluster = Cluster::start(1).await;
    let mut socket = TcpStream::connect(cluster.node(0).address).await.unwrap();
    socket.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-half").await.unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(8), socket.read_to_end(&mut rest)).await.expect("closed").unwrap();
    assert!((4.0..7.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
}

/// A load balancer keeps its connections for longer than a head may take, and a request must not meet the end of one.
#[tokio::test(flavor = "multi_thread")]
async fn between_two_requests_a_connection_may_rest_and_the_next_head_has_its_own_time() {
    let cluster = Setup::nodes(1).configure(|config| config.limits.keep_alive_s = 8).start().await;
    let ask = async |socket: &mut TcpStream| {
        socket.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 4_096];
        let read = socket.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK"));
    };
    let ended_after = async |mut socket: TcpStream| {
        let begun = Instant::now();
        tokio::time::timeout(Duration::from_secs(12), socket.read_to_end(&mut Vec::new()))
            .await
            .expect("closed")
            .unwrap();
        begun.elapsed().as_secs_f64()
    };
    let connect = async || TcpStream::connect(cluster.node(0).address).await.unwrap();
    let (mut asks_again, mut rests, mut begins) = (connect().await, connect().await, connect().await);
    for socket in [&mut asks_again, &mut rests, &mut begins] {
        ask(socket).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    begins.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-half").await.unwrap();
    ask(&mut asks_again).await;
    let (rested, begun) = tokio::join!(ended_after(rests), ended_after(begins));
    assert!((1.0..4.0).contains(&rested), "{rested}");
    assert!((1.0..6.0).contains(&begun), "{begun}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_counted_per_address_and_given_back() {
    let cluster = Setup::nodes(1)
        .configure(|config| {
            config.is_development = false;
            config.limits.connections_per_address_max = 3;
        })
        .start()
        .await;
    let address = cluster.node(0).address;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(TcpStream::connect(address).await.unwrap());
    }
    // They are admitted in the order of their connecting.
    let mut fourth = TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    fourth.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    sockets.clear();
    eventually("there is room again", async || {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer).await;
        answer.starts_with("HTTP/1.1 200 ")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_what_is_down() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(1).redis(&redis.url()).start().await;
    let ask =
        async |base: String, path: &str| call(&cluster.http, Method::GET, &format!("{base}{path}"), None, None).await;
    eventually("all is up", async || ask(cluster.url(0), "/health").await.status == 200).await;
    for base in [cluster.url(0), cluster.internal_url(0)] {
        for path in ["/health", "/livez", "/readyz"] {
            assert_eq!(ask(base.clone(), path).await.status, 200, "{base}{path}");
        }
    }
    let health = ask(cluster.url(0), "/health").await.expect(200);
    let names: Vec<_> = health["dependencies"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["directory", "redis", "shard-1", "shard-2"]);
    redis.kill();
    eventually("Redis is said to be down", async || {
        let health = ask(cluster.url(0), "/health").await;
        health.status == 503 && health.body["dependencies"]["redis"]["status"] == "down"
    })
    .await;
    assert_eq!(ask(cluster.url(0), "/readyz").await.status, 200, "Redis down is no reason");
    assert_eq!(ask(cluster.url(0), "/livez").await.status, 200);
    assert!(
        ask(cluster.internal_url(0), "/metrics").await.body.as_str().unwrap().contains("herald_http_requests_total")
    );
    assert_eq!(ask(cluster.url(0), "/metrics").await.status, 404, "for operators only");
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_of_allowed_origins_may_call() {
    let cluster = Setup::nodes(1)
        .configure(|config| config.allowed_origins = vec!["https://app.example".to_owned()])
        .start()
        .await;
    let url = format!("{}/api/v1/auth/login", cluster.url(0));
    let preflight = async |origin: &str| {
        let request = cluster.http.request(Method::OPTIONS, &url).header("origin", origin);
        request.header("access-control-request-method", "POST").send().await.unwrap()
    };
    let allowed = preflight("https://app.example").await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example");
    assert!(allowed.headers()["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(preflight("https://evil.example").await.headers().get("access-control-allow-origin").is_none());
    let answer = cluster.http.post(&url).header("origin", "https://app.example").json(&json!([])).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (422, &"https://app.example".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_believed_about_addresses() {
    let cluster =
        Setup::nodes(1).configure(|config| config.trusted_proxies = vec!["127.0.0.0/8".to_owned()]).start().await;
    register(&cluster, "alice").await;
    let login = async |from: &str, password: &str| {
        let request =
            cluster.http.post(format!("{}/api/v1/auth/login", cluster.url(0))).header("x-forwarded-for", from);
        request.json(&json!({"username": "alice", "password": password})).send().await.unwrap().status().as_u16()
    };
    for _ in 0..10 {
        assert_eq!(login("9.9.9.9, 1.1.1.1", "wrong password").await, 401);
    }
    assert_eq!(login("8.8.8.8, 1.1.1.1", PASSWORD).await, 429, "what the client itself wrote does not count");
    assert_eq!(login("2.2.2.2", PASSWORD).await, 200);
}
