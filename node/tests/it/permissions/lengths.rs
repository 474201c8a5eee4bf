//! The lengths that the documents say are those that are checked: whoever may make a request is refused it when one of its texts or
//! lists is one too long, or one too short.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Request;
use super::cast::{Who, World, ask};
use super::table::{Row, nameless, rows};
use crate::support::{Cluster, Setup};
use herald_node::http::docs::openapi_document;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_or_shorter_than_the_documents_say_is_refused_by_its_field() {
    let cluster = Setup::nodes(1).set("max_messages_per_second", 1_000_000).start().await;
    let mut world = World::new(&cluster).await;
    let mut wrong = Vec::new();
    let mut count = 0;
    for row in rows().iter().filter(|row| row.body.starts_with('{')) {
        let may = |who: &Who| row.cell(*who).code.is_empty();
        let Some(who) = [Who::Owner, Who::Other, Who::System].into_iter().find(may) else { continue };
        let request = Request::new(&mut world, row, who).await;
        for (name, value) in bad_values(row) {
            let mut body: Value = serde_json::from_str(&request.body).unwrap();
            body[&name] = value;
            let answer = ask(&cluster, world.caller(who), request.method, &request.path, &body.to_string()).await;
            let fields = answer.body["errors"].as_array().cloned().unwrap_or_default();
            if answer.status != 422 || !fields.iter().any(|error| error["field"] == name) {
                wrong.push(format!("{} with another {name}: {} {}", row.said(), answer.status, answer.body));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 50, "only {count} fields have a length");
}

/// Of each field of the body that has bounds, what is beyond them.
fn bad_values(row: &Row) -> Vec<(String, Value)> {
    let route = row.route();
    let (method, path) = route.split_once(' ').unwrap();
    let paths = openapi_document()["paths"].as_object().unwrap();
    let (_, operations) = paths.iter().find(|(known, _)| nameless(known) == path).unwrap();
    let operation = &operations[method.to_ascii_lowercase()];
    let properties = operation.pointer("/requestBody/content/application~1json/schema/properties").unwrap();
    let mut bad = Vec::new();
    for (name, schema) in properties.as_object().unwrap() {
        let bound = |word: &str| schema[word].as_u64().and_then(|bound| usize::try_from(bound).ok());
        let text = |length: usize| json!("x".repeat(length));
        let list = |length: usize| json!(std::iter::repeat_with(Uuid::new_v4).take(length).collect::<Vec<_>>());
        bad.extend(bound("maxLength").map(|max| (name.clone(), text(max + 1))));
        bad.extend(bound("minLength").filter(|min| *min > 0).map(|min| (name.clone(), text(min - 1))));
        bad.extend(bound("maxItems").map(|max| (name.clone(), list(max + 1))));
        bad.extend(bound("minItems").filter(|min| *min > 0).map(|min| (name.clone(), list(min - 1))));
    }
    bad
}
