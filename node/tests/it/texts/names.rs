//! Texts that are compared with others: names, addresses, passwords.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Cluster;
use crate::support::client::{Answer, call};

async fn post(cluster: &Cluster, path: &str, token: Option<&str>, body: Value) -> Answer {
    call(&cluster.http, reqwest::Method::POST, &format!("{}/api/v1{path}", cluster.url(0)), token, Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_kept_as_written_and_compared_folded() {
    let cluster = Cluster::start(1).await;
    // As written, and as somebody else writes the same.
    for (written, same) in [
        ("Ａlice.ﬁ", "alice.FI"),
        ("Straße_e\u{301}", "STRASSE_é"),
        ("李小龙नमस्ते", "李小龙नमस्ते"),
        ("ΟΔΟΣ-𝒳𠜎", "οδος-x𠜎"),
        (&"𠜎".repeat(50), &"𠜎".repeat(50)),
    ] {
        // The parts of an address may have anything but spaces.
        let (email, same_email) = (format!("{written}'%_\"@例え.example"), format!("{same}'%_\"@例え.EXAMPLE"));
        let body = json!({"username": written, "email": email, "password": "a good password"});
        let made = post(&cluster, "/auth/register", None, body).await.expect(201);
        let token = made["access_token"].as_str().unwrap();
        let url = format!("{}/api/v1/users/me", cluster.url(0));
        let me = call(&cluster.http, reqwest::Method::GET, &url, Some(token), None).await.expect(200);
        assert_eq!((&me["username"], &me["email"]), (&json!(written), &json!(email)));
        let taken = json!({"username": same, "password": "a good password"});
        post(&cluster, "/auth/register", None, taken).await.refused(409, "username_taken");
        let taken = json!({"username": "another.name", "email": same_email, "password": "a good password"});
        post(&cluster, "/auth/register", None, taken).await.refused(409, "email_taken");
        for by in [json!({"username": same}), json!({"email": same_email})] {
            let mut body = by;
            body["password"] = json!("a good password");
            assert_eq!(post(&cluster, "/auth/login", None, body).await.expect(200)["user"]["id"], made["user"]["id"]);
        }
    }
    let good = || json!({"username": "good.name", "email": "a@b", "password": "a good password"});
    let long_email = format!("{}@b", "𝕏".repeat(252));
    for (field, good_text, bad_text) in [
        ("username", "𠜎".repeat(49), "𠜎".repeat(51)),
        ("email", long_email.clone(), format!("𝕏{long_email}")),
        ("password", "𝕏".repeat(128), "𝕏".repeat(129)),
    ] {
        let mut body = good();
        body["username"] = json!(Uuid::new_v4().simple().to_string());
        body["email"] = json!(format!("{}@b", Uuid::new_v4()));
        body[field] = json!(bad_text);
        let refused = post(&cluster, "/auth/register", None, body.clone()).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!(field)), "{}", refused.body);
        body[field] = json!("a\0b");
        let refused = post(&cluster, "/auth/register", None, body.clone()).await;
        assert_eq!(refused.body["errors"][0]["field"], field, "{}", refused.body);
        refused.refused(422, "invalid_text");
        body[field] = json!(good_text);
        post(&cluster, "/auth/register", None, body).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_the_same_from_every_keyboard() {
    let cluster = Cluster::start(1).await;
    let log_in = async |password: &str| {
        post(&cluster, "/auth/login", None, json!({"username": "someone", "password": password})).await
    };
    let composed = "\u{feff}pässwörter ﬁ'%_\\ 한 👩‍👩‍👧‍👦\u{10ffff}";
    let decomposed = "\u{feff}pa\u{308}sswo\u{308}rter ﬁ'%_\\ \u{1112}\u{1161}\u{11ab} 👩‍👩‍👧‍👦\u{10ffff}";
    let body = json!({"username": "someone", "password": decomposed});
    let made = post(&cluster, "/auth/register", None, body).await.expect(201);
    log_in(composed).await.expect(200);
    log_in(decomposed).await.expect(200);
    for other in ["\u{feff}pässwörter fi'%_\\ 한 👩‍👩‍👧‍👦\u{10ffff}", &composed[3..], &format!("{composed} ")]
    {
        log_in(other).await.refused(401, "invalid_credentials");
    }
    let token = made["access_token"].as_str().unwrap();
    let change = async |current: &str, new: &str| {
        post(&cluster, "/users/me/password", Some(token), json!({"current_password": current, "new_password": new}))
            .await
    };
    change("\u{2028}wrong\u{202e}", "another password").await.refused(401, "invalid_credentials");
    for (current, new) in [("a\0b", "another password"), (composed, "another\0password")] {
        change(current, new).await.refused(422, "invalid_text");
    }
    let refused = change(composed, &"𝕏".repeat(129)).await;
    assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("new_password")));
    let new = format!("𝕏{}", "e\u{301}".repeat(63));
    change(composed, &new).await.expect(204);
    log_in(&format!("𝕏{}", "é".repeat(63))).await.expect(200);
    log_in(composed).await.refused(401, "invalid_credentials");
}
