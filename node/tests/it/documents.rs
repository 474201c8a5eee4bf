//! The documents say what there is: every route and frame, with shapes that hold.

use std::collections::BTreeSet;

use herald_node::http::docs::words::stray_words;
use herald_node::http::docs::{asyncapi_document, openapi_document};
use herald_node::protocol::client::parse;
use herald_node::protocol::codes::{EACH_REFUSAL, problem_of};
use herald_node::protocol::schema::client::CLIENT_FRAMES;
use herald_node::protocol::schema::server::SERVER_FRAMES;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::call;
use crate::support::cluster::Cluster;
use crate::support::documents::judges;

/// Method, path and operation of every route.
fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = openapi_document()["paths"].as_object().unwrap();
    let of_path = |(path, methods): (&String, &'static Value)| {
        let path = path.clone();
        methods
            .as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (method.clone(), path.clone(), operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_route_is_described() {
    let mut lacking = Vec::new();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let route = format!("{} {path}", method.to_uppercase());
        if operation["summary"] == "" {
            lacking.push(format!("{route}: a line in http/docs/words.rs"));
        }
        let answers = operation["responses"].as_object().unwrap();
        if !answers.keys().any(|status| status.as_str() < "300") {
            lacking.push(format!("{route}: its handler answers an untyped Response, see Shows"));
        }
        let in_path = operation["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "path");
        if in_path.count() != path.matches('{').count() {
            lacking.push(format!("{route}: its path's parts"));
        }
        if !ids.insert(operation["operationId"].as_str().unwrap()) {
            lacking.push(format!("{route}: operationId is taken"));
        }
    }
    lacking.extend(stray_words().into_iter().map(|route| format!("{route}: words without a route")));
    assert!(lacking.is_empty(), "what is missing:\n{}", lacking.join("\n"));
}

/// Of bodies: what is compared with something kept, looked up, or one of a few words has no length of its own.
const WITHOUT_LENGTH: &[&str] = &[
    "auth_login",
    "users_login",
    "auth_refresh",
    "auth_logout",
    "users_me_password.current_password",
    "groups_join",
    "roles",
    "admin_notifications.type",
    "admin_notifications.language",
    "notification_templates.type",
    "notification_templates_id.type",
];

#[test]
fn every_text_and_list_of_a_body_says_how_long_it_may_be() {
    let mut lacking = Vec::new();
    for (_, _, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let is = |kind: &str| match &property["type"] {
                Value::Array(kinds) => kinds.contains(&json!(kind)),
                only => only == kind,
            };
            let is_free = is("string") && property.get("enum").is_none() && property.get("format").is_none();
            let lacks =
                is_free && property.get("maxLength").is_none() || is("array") && property.get("maxItems").is_none();
            let field = format!("{id}.{name}");
            if lacks && !WITHOUT_LENGTH.iter().any(|word| field.contains(word)) {
                lacking.push(field);
            }
        }
    }
    assert!(lacking.is_empty(), "without maxLength or maxItems: {lacking:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_described_route_answers_under_both_prefixes() {
    let cluster = Cluster::start(1).await;
    for (method, path, operation) in operations() {
        let path = path
            .replace("{emoji}", "x")
            .split('/')
            .map(|part| if part.starts_with('{') { Uuid::nil().to_string() } else { part.to_owned() })
            .collect::<Vec<_>>()
            .join("/");
        let paths = [path.clone(), path.replacen("/api/v1/", "/api/", 1)];
        let needs_token = operation["security"].as_array().is_some_and(|all| !all.is_empty());
        let is_socket = operation["responses"].get("101").is_some();
        for path in paths.iter().filter(|path| !is_socket || **path == paths[0]) {
            let url = format!("{}{path}", cluster.url(0));
            let answer = call(&cluster.http, method.to_uppercase().parse().unwrap(), &url, None, None).await;
            if needs_token {
                assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
            }
            assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_everything_and_loads_nothing_from_elsewhere() {
    let cluster = Cluster::start(1).await;
    for (path, document) in [("/openapi.json", openapi_document()), ("/asyncapi.json", asyncapi_document())] {
        let answer = call(&cluster.http, reqwest::Method::GET, &format!("{}{path}", cluster.url(0)), None, None).await;
        assert_eq!(&answer.expect(200), document);
    }
    let answer = call(&cluster.http, reqwest::Method::GET, &format!("{}/docs", cluster.url(0)), None, None).await;
    let policy = answer.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
    let page = answer.expect(200).as_str().unwrap().to_owned();
    for (_, path, _) in operations() {
        assert!(page.contains(&format!("</span>{path}</code>")), "{path}");
    }
    for frame in CLIENT_FRAMES.iter().chain(SERVER_FRAMES) {
        assert!(page.contains(&format!("<code>{}</code>", frame.name())), "{}", frame.name());
    }
    for part in page.split("href=\"").skip(1).chain(page.split("src=\"").skip(1)) {
        assert!(part.starts_with('/') || part.starts_with('#'), "{}", &part[..40]);
    }
    assert!(!page.contains("<script") && !page.contains("style=\""));
}

#[test]
fn every_code_is_in_the_documents() {
    let rest: BTreeSet<&str> = operations()
        .iter()
        .flat_map(|(_, _, operation)| operation["responses"].as_object().unwrap().values())
        .filter_map(|response| {
            response.pointer("/content/application~1problem+json/schema/allOf/1/properties/code/enum")
        })
        .flat_map(|codes| codes.as_array().unwrap())
        .map(|code| code.as_str().unwrap())
        .collect();
    let missing: Vec<&str> = EACH_REFUSAL
        .iter()
        .map(|refusal| problem_of(refusal).code)
        // Of WebSocket only; of paths that have no such method.
        .filter(|code| !["unknown_type", "method_not_allowed"].contains(code))
        .filter(|code| !rest.contains(code))
        .collect();
    assert!(missing.is_empty(), "no route answers {missing:?}");
}

#[test]
fn golden_frames_are_as_their_schemas_say_and_every_frame_has_one() {
    let golden = concat!(include_str!("../golden/frames.jsonl"), include_str!("../golden/sync.jsonl"));
    let mut seen = BTreeSet::new();
    for line in golden.lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        assert_eq!(judges().fault_of_frame("server", &frame), None);
        let kind = frame["type"].as_str().unwrap();
        seen.insert(frame["action"].as_str().map_or_else(|| kind.to_owned(), |action| format!("{kind}.{action}")));
    }
    let known: BTreeSet<String> = SERVER_FRAMES.iter().map(|frame| frame.name()).collect();
    assert_eq!(seen, known);
}

/// Frames of clients that are good.
fn good_frames() -> Vec<Value> {
    let user = "11111111-1111-4111-8111-111111111111";
    let chat = "00400000-0000-8000-8000-000000000000";
    let message = "00400000-0000-8000-8000-000000000001";
    vec![
        json!({"type": "auth", "token": "t"}),
        json!({"type": "auth", "token": "t", "sync": {"cursor": "c"}}),
        json!({"type": "chat", "action": "send", "data": {"temp_id": "t", "receiver_id": user, "message_type": "text", "content": "hi"}}),
        json!({"type": "chat", "action": "send", "data": {"temp_id": "t", "conversation_id": chat, "message_type": "emoji", "content": "x",
            "reply_to": message, "mentions": [user], "metadata": {"a": [1]}}}),
        json!({"type": "chat", "action": "send", "id": "7", "data": {"temp_id": "t", "group_id": chat, "message_type": "file", "file_id": user,
            "mentions": "all"}}),
        json!({"type": "chat", "action": "recall", "data": {"message_id": message}}),
        json!({"type": "chat", "action": "edit", "data": {"message_id": message, "content": "new"}}),
        json!({"type": "chat", "action": "react", "data": {"message_id": message, "emoji": "👍", "add": true}}),
        json!({"type": "read", "data": {"conversation_id": chat}}),
        json!({"type": "read", "data": {"conversation_id": chat, "seq": 5}}),
        json!({"type": "read", "data": {"conversation_id": chat, "message_id": message}}),
        json!({"type": "ack", "data": {"conversation_id": chat, "seq": 5}}),
        json!({"type": "typing", "data": {"receiver_id": user, "is_typing": true}}),
        json!({"type": "typing", "data": {"conversation_id": chat, "is_typing": false}}),
        json!({"type": "status", "data": {"status": "busy"}}),
        json!({"type": "sync"}),
        json!({"type": "sync", "data": {"cursor": "c", "seen": [{"conversation_id": chat, "seq": 3}], "limit": 50}}),
        json!({"type": "sync", "data": {"conversations": [{"conversation_id": chat, "after_seq": 3}]}}),
        json!({"type": "ping"}),
        json!({"type": "heartbeat", "id": "x"}),
    ]
}

/// The frame with one of its fields, at any depth, taken away or replaced by something else.
fn variations(frame: &Value) -> Vec<Value> {
    let mut pointers = Vec::new();
    collect_pointers(frame, "", &mut pointers);
    let mut all = Vec::new();
    for pointer in pointers {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut without = frame.clone();
        if let Some(Value::Object(object)) = without.pointer_mut(parent) {
            object.remove(name);
            all.push(without);
        }
        for other in [
            json!(null),
            json!(7),
            json!(-1),
            json!(1.5),
            json!(true),
            json!(""),
            json!("x"),
            json!([]),
            json!([7]),
            json!({}),
            json!("x".repeat(10_001)),
            json!("11111111-1111-4111-8111-111111111111"),
        ] {
            let mut changed = frame.clone();
            *changed.pointer_mut(&pointer).unwrap() = other;
            all.push(changed);
        }
    }
    all
}

fn collect_pointers(value: &Value, at: &str, pointers: &mut Vec<String>) {
    // What is inside of metadata is the client's own.
    if at.ends_with("/metadata") {
        return;
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let pointer = format!("{at}/{name}");
        collect_pointers(inner, &pointer, pointers);
        pointers.push(pointer);
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        let pointer = format!("{at}/{index}");
        collect_pointers(inner, &pointer, pointers);
        pointers.push(pointer);
    }
}

#[test]
fn what_the_parser_takes_from_clients_is_what_their_schemas_say() {
    let is_parsed = |frame: &Value| {
        let parsed = parse(&mut frame.to_string().into_bytes()).frame;
        // What no conversation or message can have as its id has the right shape, and is not found. A damaged sync in `auth` is told
        // after success.
        match parsed {
            Ok(herald_node::protocol::client::ClientFrame::Auth(auth)) => auth.sync.is_none_or(|sync| sync.is_ok()),
            Ok(_) | Err(herald_node::domain::Refusal::NotFound) => true,
            Err(_) => false,
        }
    };
    let mut seen = BTreeSet::new();
    let mut differing = Vec::new();
    for good in good_frames() {
        assert_eq!(judges().fault_of_frame("client", &good), None);
        assert!(is_parsed(&good), "{good}");
        let kind = good["type"].as_str().unwrap();
        seen.insert(good["action"].as_str().map_or_else(|| kind.to_owned(), |action| format!("{kind}.{action}")));
        for other in variations(&good) {
            let fault = judges().fault_of_frame("client", &other);
            if fault.is_none() != is_parsed(&other) {
                differing.push(format!(
                    "{other}: the parser {}, the schema: {fault:?}",
                    if fault.is_some() { "takes it" } else { "refuses it" }
                ));
            }
        }
    }
    assert!(
        differing.is_empty(),
        "{}:\n{}",
        differing.len(),
        differing.iter().take(40).map(|line| line.chars().take(400).collect::<String>()).collect::<Vec<_>>().join("\n")
    );
    let known: BTreeSet<String> = CLIENT_FRAMES.iter().map(|frame| frame.name()).collect();
    assert_eq!(seen, known);
}
