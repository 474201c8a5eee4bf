//! Registering, and what an account shows of itself.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{PASSWORD, get, login, post, register, text};
use crate::support::Cluster;
use crate::support::client::call;

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
