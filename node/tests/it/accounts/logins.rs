//! Logins: refreshed, listed, ended, guessed at.

use std::time::{Duration, Instant};

use herald_node::config::Key;
use herald_node::domain::UserId;
use serde_json::json;

use super::{PASSWORD, delete, get, is_refused, login, login_of, post, register, text};
use crate::support::cluster::{KID, SECRET};
use crate::support::own::OwnRedis;
use crate::support::{Cluster, Setup, eventually_within};

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
