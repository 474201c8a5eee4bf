//! Accounts over real HTTP: registering, logging in and out, tokens, and what every node learns from the feed of changes.

use std::time::{Duration, Instant};

use herald_node::config::Key;
use herald_node::domain::audit::Author;
use herald_node::domain::{LoginId, UserId};
use herald_node::service::accounts::authenticate::{Accept, authenticate};
use herald_node::service::feed::load_settings::set_setting;
use herald_node::storage::directory::accounts::{set_disabled, set_roles};
use herald_node::storage::{migrate, provision};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::support::client::{Answer, call};
use super::support::cluster::{KID, SECRET};
use super::support::own::{OwnPostgres, OwnRedis};
use super::support::{Cluster, Device, Setup, eventually, eventually_within};

const PASSWORD: &str = "correct horse";

async fn post(cluster: &Cluster, node: usize, path: &str, token: Option<&str>, body: Value) -> Answer {
    let url = format!("{}/api/v1{path}", cluster.url(node));
    call(&cluster.http, Method::POST, &url, token, Some(body)).await
}

async fn get(cluster: &Cluster, node: usize, path: &str, token: &str) -> Answer {
    let url = format!("{}/api/v1{path}", cluster.url(node));
    call(&cluster.http, Method::GET, &url, Some(token), None).await
}

async fn delete(cluster: &Cluster, node: usize, path: &str, token: &str) -> Answer {
    let url = format!("{}/api/v1{path}", cluster.url(node));
    call(&cluster.http, Method::DELETE, &url, Some(token), None).await
}

async fn register(cluster: &Cluster, username: &str) -> Value {
    let body = json!({"username": username, "password": PASSWORD, "email": format!("{username}@example.org")});
    post(cluster, 0, "/auth/register", None, body).await.expect(201)
}

async fn login(cluster: &Cluster, node: usize, username: &str) -> Value {
    post(cluster, node, "/auth/login", None, json!({"username": username, "password": PASSWORD})).await.expect(200)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The `sid` of an access token.
fn login_of(token: &str) -> Uuid {
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap();
    claims["sid"].as_str().unwrap().parse().unwrap()
}

async fn is_refused(cluster: &Cluster, node: usize, token: &str) -> bool {
    get(cluster, node, "/users/me", token).await.status == 401
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_registers_and_logs_in() {
    let cluster = Cluster::start(1).await;
    let body =
        json!({"username": "Älice", "password": PASSWORD, "email": "Alice@Example.org", "display_name": "Alice L."});
    let made = post(&cluster, 0, "/auth/register", None, body).await.expect(201);
    assert_eq!((text(&made, "token_type"), &made["expires_in"]), ("Bearer", &json!(900)));
    assert_eq!((text(&made["user"], "username"), text(&made["user"], "display_name")), ("Älice", "Alice L."));
    let me = get(&cluster, 0, "/users/me", text(&made, "access_token")).await.expect(200);
    assert_eq!(me, made["user"]);

    for who in [
        json!({"username": "Älice"}),
        json!({"username": "ÄLICE"}),
        json!({"username": "A\u{308}lice"}),
        json!({"email": "alice@example.ORG"}),
    ] {
        let mut body = who.clone();
        body["password"] = json!(PASSWORD);
        let tokens = post(&cluster, 0, "/users/login", None, body).await.expect(200);
        assert_eq!(tokens["user"]["id"], me["id"], "{who}");
    }
    let url = format!("{}/api/auth/login", cluster.url(0));
    let body = json!({"username": "älice", "password": PASSWORD});
    call(&cluster.http, Method::POST, &url, None, Some(body)).await.expect(200);

    let wrong = json!({"username": "Älice", "password": "wrong password"});
    let unknown = json!({"username": "nobody", "password": "wrong password"});
    let wrong = post(&cluster, 0, "/auth/login", None, wrong).await;
    let unknown = post(&cluster, 0, "/auth/login", None, unknown).await;
    assert_eq!(wrong.body, unknown.body);
    wrong.refused(401, "invalid_credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_are_taken_once() {
    let cluster = Cluster::start(2).await;
    register(&cluster, "straße").await;
    let register = async |node, username: &str, email: Option<&str>| {
        let body = json!({"username": username, "password": PASSWORD, "email": email});
        post(&cluster, node, "/users/register", None, body).await
    };
    register(1, "STRASSE", None).await.refused(409, "username_taken");
    register(1, "other", Some("STRASSE@EXAMPLE.ORG")).await.refused(409, "email_taken");
    register(0, "other", Some("other@example.org")).await.expect(201);

    // At once on both nodes: one gets it.
    let (one, other) = tokio::join!(register(0, "both", None), register(1, "Both", None));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_field() {
    let cluster = Cluster::start(1).await;
    let refused =
        post(&cluster, 0, "/auth/register", None, json!({"username": "a b", "password": "short", "email": "x"})).await;
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    let fields: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|error| text(error, "field")).collect();
    assert_eq!(fields, ["username", "password", "email"]);
    for name in ["type", "title", "status", "code", "detail", "retryable"] {
        assert!(refused.body.get(name).is_some(), "{name}");
    }
    refused.refused(422, "invalid_request");

    let refused = post(&cluster, 0, "/auth/register", None, json!({"username": 5, "password": PASSWORD})).await;
    assert_eq!(refused.body["errors"][0]["field"], "username");
    refused.refused(422, "invalid_request");
    post(&cluster, 0, "/auth/login", None, json!({"password": PASSWORD})).await.refused(422, "invalid_request");
    post(&cluster, 0, "/auth/login", None, json!([])).await.refused(422, "invalid_request");
}

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
async fn a_profile_is_read_and_changed() {
    let cluster = Cluster::start(1).await;
    let (alice, bob) = (cluster.user("alice").await, cluster.user("bob").await);
    let change = json!({"display_name": "Al", "avatar_url": "https://a.example/a.png", "status_text": "hi", "read_receipts": false});
    let me = alice.patch(&cluster, 0, "/users/me", change).await.expect(200);
    assert_eq!(
        (text(&me, "display_name"), text(&me, "status_text"), &me["read_receipts"]),
        ("Al", "hi", &json!(false))
    );
    let me = alice.patch(&cluster, 0, "/users/me", json!({"status_text": null})).await.expect(200);
    assert_eq!((&me["status_text"], text(&me, "display_name")), (&Value::Null, "Al"));
    let seen = bob.get(&cluster, 0, &format!("/users/{}", alice.id)).await.expect(200);
    assert_eq!(
        seen.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["avatar_url", "created_at", "display_name", "id", "status_text", "username"]
    );
    for bad in [
        json!({"display_name": ""}),
        json!({"display_name": "x".repeat(101)}),
        json!({"status_text": "x".repeat(201)}),
        json!({"read_receipts": "no"}),
    ] {
        alice.patch(&cluster, 0, "/users/me", bad).await.refused(422, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_unicode_comes_back_as_it_was_sent() {
    let cluster = Cluster::start(1).await;
    let alice = cluster.user("alice").await;
    let edges = "\u{1}\u{7f}\u{80}\u{d7ff}\u{e000}\u{fffe}\u{ffff}\u{10000}\u{10ffff}\"\\/\r\n\t\u{2028}\u{202e}\u{feff}e\u{301}👩‍👩‍👧‍👦";
    let mut texts = vec![edges.to_owned()];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200 {
        let text = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_u32(u32::try_from((random >> 33) % 0x11_0000).unwrap())
        });
        texts.push(text.flatten().filter(|character| *character != '\0').take(200).collect());
    }
    for text in texts {
        let me = alice.patch(&cluster, 0, "/users/me", json!({"status_text": text})).await.expect(200);
        assert_eq!(me["status_text"], json!(text), "{text:?}");
        assert_eq!(alice.get(&cluster, 0, "/users/me").await.body["status_text"], json!(text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_rotate_and_one_used_again_ends_its_login() {
    let cluster = Cluster::start(2).await;
    let first = register(&cluster, "alice").await;
    let refresh =
        async |node, token: &str| post(&cluster, node, "/auth/refresh", None, json!({"refresh_token": token})).await;

    let first_token = text(&first, "refresh_token").to_owned();
    let (one, other) = tokio::join!(refresh(0, &first_token), refresh(1, &first_token));
    let (one, other) = (one.expect(200), other.expect(200));
    assert_eq!(one["refresh_token"], other["refresh_token"], "two tabs get the same successor");
    assert_ne!(text(&one, "refresh_token"), first_token);
    let again = refresh(1, &first_token).await.expect(200);
    assert_eq!(again["refresh_token"], one["refresh_token"], "a lost answer is given again");

    let second = refresh(1, text(&one, "refresh_token")).await.expect(200);
    let access = text(&second, "access_token").to_owned();
    get(&cluster, 0, "/users/me", &access).await.expect(200);

    // The first token's successor has been used: someone has a token that is not theirs.
    refresh(0, &first_token).await.refused(401, "invalid_refresh_token");
    refresh(0, text(&second, "refresh_token")).await.refused(401, "invalid_refresh_token");
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "the login's tokens are refused", async || {
            is_refused(&cluster, node, &access).await
        })
        .await;
    }
    for nonsense in ["", "x", &"A".repeat(86)] {
        refresh(0, nonsense).await.refused(401, "invalid_refresh_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_of_a_refresh_token_is_half_a_minute() {
    let cluster = Cluster::start(1).await;
    let first = register(&cluster, "alice").await;
    let refresh = async |token: &str| post(&cluster, 0, "/auth/refresh", None, json!({"refresh_token": token})).await;
    let token = text(&first, "refresh_token");
    let next = refresh(token).await.expect(200);
    cluster.app(0).clock.advance(Duration::from_secs(25));
    assert_eq!(refresh(token).await.expect(200)["refresh_token"], next["refresh_token"]);
    cluster.app(0).clock.advance(Duration::from_secs(10));
    refresh(token).await.refused(401, "invalid_refresh_token");
    refresh(text(&next, "refresh_token")).await.refused(401, "invalid_refresh_token");

    // A login that nobody uses ends with its refresh token.
    let other = login(&cluster, 0, "alice").await;
    cluster.app(0).clock.advance(Duration::from_hours(30 * 24));
    refresh(text(&other, "refresh_token")).await.refused(401, "invalid_refresh_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_counts_on_every_node_also_without_redis() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(2).redis(&redis.url()).start().await;
    register(&cluster, "alice").await;
    for is_redis_there in [true, false] {
        let tokens = login(&cluster, 0, "alice").await;
        let access = text(&tokens, "access_token");
        get(&cluster, 1, "/users/me", access).await.expect(200);
        let alice = UserId(text(&tokens["user"], "id").parse().unwrap());
        if !is_redis_there {
            redis.kill();
        }
        let body = json!({"refresh_token": tokens["refresh_token"]});
        post(&cluster, 0, "/auth/logout", None, body.clone()).await.expect(204);
        assert!(is_refused(&cluster, 0, access).await, "at once on the node that was asked");
        let begun = Instant::now();
        eventually_within(Duration::from_secs(5), "refused on the other", async || {
            is_refused(&cluster, 1, access).await
        })
        .await;
        println!("with Redis: {is_redis_there}, the other node knew after {:?}", begun.elapsed());
        assert!(cluster.app(1).hub.of_user(alice).is_empty());
        post(&cluster, 1, "/auth/logout", None, body).await.expect(204);
        post(&cluster, 1, "/auth/refresh", None, json!({"refresh_token": tokens["refresh_token"]}))
            .await
            .refused(401, "invalid_refresh_token");
    }
    post(&cluster, 0, "/auth/logout", None, json!({"refresh_token": "unknown"})).await.expect(204);
    post(&cluster, 0, "/auth/logout", None, json!({})).await.refused(422, "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_listed_and_ended() {
    let cluster = Cluster::start(1).await;
    let first = register(&cluster, "alice").await;
    let token = text(&first, "access_token");
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(login(&cluster, 0, "alice").await);
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&cluster, 0, &format!("/auth/sessions?limit=2&cursor={cursor}"), token).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    let current: Vec<_> = seen.iter().filter(|login| login["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(text(current[0], "id"), login_of(token).to_string());
    assert_eq!(text(current[0], "address"), "127.0.0.1");
    get(&cluster, 0, "/auth/sessions?cursor=nonsense", token).await.refused(400, "invalid_cursor");
    get(&cluster, 0, "/auth/sessions?limit=0", token).await.refused(422, "invalid_request");

    let other = text(&others[0], "access_token");
    let id = login_of(other);
    delete(&cluster, 0, &format!("/auth/sessions/{id}"), token).await.expect(204);
    assert!(is_refused(&cluster, 0, other).await);
    delete(&cluster, 0, &format!("/auth/sessions/{id}"), token).await.refused(404, "not_found");
    let bob = register(&cluster, "bob").await;
    let own = login_of(token);
    delete(&cluster, 0, &format!("/auth/sessions/{own}"), text(&bob, "access_token")).await.refused(404, "not_found");
    delete(&cluster, 0, &format!("/auth/sessions/{own}"), token).await.expect(204);
    assert!(is_refused(&cluster, 0, token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_all_other_logins() {
    let cluster = Cluster::start(2).await;
    let first = register(&cluster, "alice").await;
    let other = login(&cluster, 1, "alice").await;
    let (token, other) = (text(&first, "access_token"), text(&other, "access_token"));
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        post(&cluster, 0, "/users/me/password", Some(token), body).await
    };
    change("wrong password", "another password").await.refused(401, "invalid_credentials");
    change(PASSWORD, "short").await.refused(422, "invalid_request");
    change(PASSWORD, "another password").await.expect(204);
    get(&cluster, 1, "/users/me", token).await.expect(200);
    eventually_within(Duration::from_secs(5), "the other login has ended", async || {
        is_refused(&cluster, 1, other).await
    })
    .await;
    post(&cluster, 0, "/auth/login", None, json!({"username": "alice", "password": PASSWORD}))
        .await
        .refused(401, "invalid_credentials");
    post(&cluster, 1, "/auth/login", None, json!({"username": "alice", "password": "another password"}))
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_stopped_on_all_nodes() {
    let cluster = Cluster::start(2).await;
    register(&cluster, "alice").await;
    register(&cluster, "bob").await;
    let guess = async |node, username: &str, password: &str| {
        post(&cluster, node, "/auth/login", None, json!({"username": username, "password": password})).await
    };
    for attempt in 0..9 {
        guess(attempt % 2, "alice", "wrong password").await.refused(401, "invalid_credentials");
    }
    let by_email = json!({"email": "alice@example.org", "password": "wrong password"});
    post(&cluster, 0, "/auth/login", None, by_email).await.refused(401, "invalid_credentials");
    for node in [0, 1] {
        let refused = guess(node, "ALICE", PASSWORD).await;
        let retry_after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=900).contains(&retry_after), "{retry_after}");
        assert_eq!(refused.body["retryable"], true);
        refused.refused(429, "rate_limited");
        guess(node, "bob", PASSWORD).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_stopped_without_redis_too_and_many_at_once_are_no_way_round() {
    let mut redis = OwnRedis::start().await;
    let cluster =
        Setup::nodes(1).redis(&redis.url()).configure(|config| config.limits.password_hashes_max = 4).start().await;
    register(&cluster, "alice").await;
    redis.kill();
    let guesses = (0..30)
        .map(|_| post(&cluster, 0, "/auth/login", None, json!({"username": "alice", "password": "wrong password"})));
    let answers = futures_util::future::join_all(guesses).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(401), count(429)), (10, 20));
    post(&cluster, 0, "/auth/login", None, json!({"username": "alice", "password": PASSWORD}))
        .await
        .refused(429, "rate_limited");
    cluster.app(0).clock.advance(Duration::from_mins(15));
    login(&cluster, 0, "alice").await;
}

async fn ws_token(cluster: &Cluster, node: usize, access: &str) -> String {
    let made = post(cluster, node, "/auth/ws-token", Some(access), Value::Null).await.expect(201);
    assert_eq!(made["expires_in"], 300);
    assert_eq!(text(&made, "ws_url"), cluster.ws_url(node));
    text(&made, "ws_token").to_owned()
}

/// True if this node lets the token in.
async fn lets_in(cluster: &Cluster, node: usize, token: &str) -> bool {
    authenticate(cluster.app(node), token, Accept::WsToken).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ws_token_is_good_once_on_any_node() {
    let cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let token = ws_token(&cluster, 0, access).await;
    assert!(is_refused(&cluster, 0, &token).await, "it is no access token");
    assert!(!lets_in(&cluster, 0, access).await, "an access token is no ws_token");
    let caller = authenticate(cluster.app(1), &token, Accept::Either).await.unwrap();
    let own = authenticate(cluster.app(1), access, Accept::Access).await.unwrap();
    assert_eq!((caller.user, caller.login, caller.expires_at), (own.user, own.login, own.expires_at));
    for node in [0, 1] {
        assert!(!lets_in(&cluster, node, &token).await);
    }
    let made = post(&cluster, 1, "/message/ws-token", Some(access), Value::Null).await.expect(201);
    let token = text(&made, "ws_token");
    let tries = (0..20).map(|index| lets_in(&cluster, index % 2, token));
    let let_in = futures_util::future::join_all(tries).await.into_iter().filter(|is_in| *is_in).count();
    assert_eq!(let_in, 1);
    let late = ws_token(&cluster, 0, access).await;
    cluster.app(0).clock.advance(Duration::from_secs(301));
    assert!(!lets_in(&cluster, 0, &late).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ws_token_is_good_once_while_redis_goes_and_comes() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(2).redis(&redis.url()).start().await;
    eventually("Redis is up", async || cluster.app(0).router.is_up() && cluster.app(1).router.is_up()).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");

    let used_before = ws_token(&cluster, 0, access).await;
    assert!(lets_in(&cluster, 0, &used_before).await);
    let directory = cluster.databases.directory().await;
    eventually("its use is written down", async || {
        directory.query_one("select count(*) from used_token", &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;

    redis.kill();
    eventually("both know", async || !cluster.app(0).router.is_up() && !cluster.app(1).router.is_up()).await;
    assert!(!lets_in(&cluster, 1, &used_before).await, "used while Redis was there");
    let used_without = ws_token(&cluster, 0, access).await;
    assert!(lets_in(&cluster, 1, &used_without).await, "new sockets are taken without Redis");
    for node in [0, 1] {
        assert!(!lets_in(&cluster, node, &used_without).await);
    }
    let unused = ws_token(&cluster, 0, access).await;

    redis.start_again().await;
    eventually("both know", async || cluster.app(0).router.is_up() && cluster.app(1).router.is_up()).await;
    for node in [0, 1] {
        assert!(!lets_in(&cluster, node, &used_without).await);
        assert!(!lets_in(&cluster, node, &unused).await, "Redis cannot know whether it was used");
    }
    let fresh = ws_token(&cluster, 0, access).await;
    assert!(lets_in(&cluster, 1, &fresh).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_anyone_noticing() {
    let key = |kid: &str, secret: &str| Key {
        kid: kid.to_owned(),
        algorithm: "HS256".to_owned(),
        secret: secret.to_owned(),
        ..Key::default()
    };
    let new = "another secret of tests, also only of tests";
    let cluster = Setup::nodes(2)
        .configure(move |config| {
            config.auth.keys = vec![key(KID, SECRET), key("new", new)];
            // The second node signs with the new key already.
            if config.node_id == "node-2" {
                config.auth.signing_kid = "new".to_owned();
            }
        })
        .start()
        .await;
    let first = register(&cluster, "alice").await;
    get(&cluster, 1, "/users/me", text(&first, "access_token")).await.expect(200);
    let token = text(&first, "refresh_token");
    let second = post(&cluster, 0, "/auth/refresh", None, json!({"refresh_token": token})).await.expect(200);
    let again = post(&cluster, 1, "/auth/refresh", None, json!({"refresh_token": token})).await.expect(200);
    assert_eq!(second["refresh_token"], again["refresh_token"], "the same successor by the old key");
    let third =
        post(&cluster, 1, "/auth/refresh", None, json!({"refresh_token": again["refresh_token"]})).await.expect(200);
    get(&cluster, 0, "/users/me", text(&third, "access_token")).await.expect(200);
    let header = jsonwebtoken::decode_header(text(&third, "access_token")).unwrap();
    assert_eq!(header.kid.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_is_out_everywhere_and_may_come_back() {
    let cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let (id, access) = (text(&alice["user"], "id").parse::<UserId>().unwrap(), text(&alice, "access_token"));
    assert!(set_disabled(&cluster.app(0).directory, id, true).await.unwrap());
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "refused", async || is_refused(&cluster, node, access).await).await;
    }
    post(&cluster, 0, "/auth/login", None, json!({"username": "alice", "password": PASSWORD}))
        .await
        .refused(401, "invalid_credentials");
    post(&cluster, 0, "/auth/refresh", None, json!({"refresh_token": alice["refresh_token"]}))
        .await
        .refused(401, "invalid_refresh_token");

    assert!(set_disabled(&cluster.app(1).directory, id, false).await.unwrap());
    for node in [0, 1] {
        eventually_within(Duration::from_secs(5), "let in", async || !is_refused(&cluster, node, access).await).await;
    }
    assert!(!set_disabled(&cluster.app(1).directory, UserId::random(), true).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_knows_who_is_out_and_whose_login_has_ended() {
    let mut cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let bob = register(&cluster, "bob").await;
    let bob_id = text(&bob["user"], "id").parse().unwrap();
    cluster.stop(1).await;
    post(&cluster, 0, "/auth/logout", None, json!({"refresh_token": alice["refresh_token"]})).await.expect(204);
    set_disabled(&cluster.app(0).directory, bob_id, true).await.unwrap();
    // Disabled for so long that the feed says nothing of it.
    cluster.databases.directory().await.execute("delete from change where kind = 'user_disabled'", &[]).await.unwrap();
    cluster.start_again(1).await;
    assert!(is_refused(&cluster, 1, text(&alice, "access_token")).await);
    assert!(is_refused(&cluster, 1, text(&bob, "access_token")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_committed_late_is_not_passed_over() {
    let cluster = Cluster::start(1).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let login = login_of(access).to_string();
    let mut slow = cluster.databases.directory().await;
    let transaction = slow.transaction().await.unwrap();
    transaction.execute("insert into change (kind, subject) values ('login_ended', $1)", &[&login]).await.unwrap();
    // More transactions than a cursor reaches back, each seen by the follower at once or together.
    let quick = cluster.databases.directory().await;
    for _ in 0..1_500 {
        quick
            .execute("insert into change (kind, subject) values ('login_ended', $1)", &[&Uuid::new_v4().to_string()])
            .await
            .unwrap();
    }
    let last = LoginId::random();
    quick.execute("insert into change (kind, subject) values ('login_ended', $1)", &[&last.to_string()]).await.unwrap();
    eventually("the later ones are known", async || cluster.app(0).standing.is_login_ended(last)).await;
    assert!(!is_refused(&cluster, 0, access).await);
    transaction.commit().await.unwrap();
    eventually_within(Duration::from_secs(5), "the late one too", async || is_refused(&cluster, 0, access).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_roles_are_gone_from_old_tokens_too() {
    let cluster = Cluster::start(2).await;
    let admin = cluster.user_with_roles("admin", &["admin"]).await;
    let token = admin.token();
    let is_admin = async |node| authenticate(cluster.app(node), &token, Accept::Access).await.unwrap().is_admin();
    assert!(is_admin(1).await);
    assert!(set_roles(&cluster.app(0).directory, UserId(admin.id), &[]).await.unwrap());
    eventually_within(Duration::from_secs(5), "no admin any more", async || !is_admin(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_followed_also_without_redis() {
    let mut redis = OwnRedis::start().await;
    let mut cluster = Setup::nodes(2).redis(&redis.url()).set("recall_window_s", 7).start().await;
    let recall_window_s = |cluster: &Cluster, node| cluster.app(node).settings.load().recall_window_s;
    assert_eq!(recall_window_s(&cluster, 1), 7);
    let author = Author { id: UserId::random(), address: "127.0.0.1".to_owned() };
    for (is_redis_there, value) in [(true, 60), (false, 61)] {
        if !is_redis_there {
            redis.kill();
        }
        set_setting(cluster.app(0), &author, "recall_window_s", &json!(value)).await.unwrap();
        assert_eq!(recall_window_s(&cluster, 0), value);
        let limit = Duration::from_secs(if is_redis_there { 1 } else { 2 });
        eventually_within(limit, "the other node follows", async || recall_window_s(&cluster, 1) == value).await;
    }
    assert!(set_setting(cluster.app(0), &author, "nonsense", &json!(1)).await.is_err());
    assert!(set_setting(cluster.app(0), &author, "max_messages_per_second", &json!(0)).await.is_err());
    assert!(set_setting(cluster.app(0), &author, "require_friendship", &json!("yes")).await.is_err());
    cluster.stop(1).await;
    cluster.start_again(1).await;
    assert_eq!(recall_window_s(&cluster, 1), 61, "what was set wins over the configuration, also after a restart");
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

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_an_ended_login_are_closed_on_every_node_also_without_redis() {
    let mut redis = OwnRedis::start().await;
    let cluster = Setup::nodes(2).redis(&redis.url()).start().await;
    register(&cluster, "alice").await;
    let staying = login(&cluster, 0, "alice").await;
    let mut stays =
        Device::connect(&cluster.ws_url(1), Some(text(&staying, "access_token"))).await.authenticated().await;
    for is_redis_there in [true, false] {
        let tokens = login(&cluster, 0, "alice").await;
        let access = text(&tokens, "access_token");
        let mut device = Device::connect(&cluster.ws_url(1), Some(access)).await.authenticated().await;
        if !is_redis_there {
            redis.kill();
        }
        let begun = Instant::now();
        post(&cluster, 0, "/auth/logout", None, json!({"refresh_token": tokens["refresh_token"]})).await.expect(204);
        assert_eq!(device.closed().await, 4501);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let mut late = Device::connect(&cluster.ws_url(1), Some(access)).await;
        assert_eq!(late.closed().await, 1008, "its token is good for nothing");
    }
    stays.send(json!({"type": "ping"})).await;
    stays.expect("pong").await;
    let alice = text(&staying["user"], "id").parse().unwrap();
    set_disabled(&cluster.app(0).directory, alice, true).await.unwrap();
    assert_eq!(stays.closed().await, 4501);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_takes_only_a_ws_token_and_that_once() {
    let cluster = Cluster::start(2).await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let token = ws_token(&cluster, 0, access).await;
    let url = |node, token: &str| format!("{}?token={token}", cluster.ws_url(node));
    let device = Device::connect(&url(1, &token), None).await.authenticated().await;
    assert_eq!(device.session["username"], "alice");
    for node in [0, 1] {
        assert_eq!(Device::connect(&url(node, &token), None).await.closed().await, 1008);
    }
    assert_eq!(
        Device::connect(&url(0, access), None).await.closed().await,
        1008,
        "an access token does not belong into a URL"
    );
    let token = ws_token(&cluster, 0, access).await;
    Device::connect(&cluster.ws_url(1), Some(&token)).await.authenticated().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_directory_connected_users_stay_and_the_rest_is_said_to_be_unavailable() {
    let mut server = OwnPostgres::start().await;
    provision::create_database(&server.options.url("postgres"), "directory").await.unwrap();
    let url = server.options.url("directory");
    migrate::migrate_directory(&url).await.unwrap();
    let mut cluster = Setup::nodes(2).directory_url(&url).start().await;
    let alice = register(&cluster, "alice").await;
    let access = text(&alice, "access_token");
    let mut device = Device::connect(&cluster.ws_url(0), Some(access)).await.authenticated().await;
    cluster.stop(1).await;
    server.kill();

    let begun = Instant::now();
    let answer = get(&cluster, 0, "/users/me", access).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(answer.body["retryable"], true);
    answer.refused(503, "unavailable");
    post(&cluster, 0, "/auth/login", None, json!({"username": "alice", "password": PASSWORD}))
        .await
        .refused(503, "unavailable");
    let health =
        async |path: &str| call(&cluster.http, Method::GET, &format!("{}{path}", cluster.url(0)), None, None).await;
    eventually("health says which", async || {
        let health = health("/health").await;
        health.status == 503 && health.body["dependencies"]["directory"]["status"] == "down"
    })
    .await;
    assert_eq!(health("/readyz").await.status, 200);
    device.send(json!({"type": "ping"})).await;
    device.expect("pong").await;

    // A node that starts now knows nobody whose login has ended: it lets nobody in until it does.
    cluster.start_again(1).await;
    get(&cluster, 1, "/users/me", access).await.refused(503, "unavailable");
    server.start_again().await;
    for node in [0, 1] {
        eventually("the directory is back", async || get(&cluster, node, "/users/me", access).await.status == 200)
            .await;
    }
    login(&cluster, 1, "alice").await;
}
