//! The texts of REST.

use serde_json::Value;

use super::fields::{Bounds, text_fields};
use super::samples::{of_length, samples};
use super::table::{Fate, ROWS, Row};
use super::world::World;
use super::{called, expected, with_text};
use crate::support::client::Answer;

/// Every byte that could be anything but itself.
pub fn percent(text: &[u8]) -> String {
    text.iter()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_unicode_comes_back_as_it_was_sent() {
    let world = World::new().await;
    let bounds = text_fields();
    let mut faults = Vec::new();
    for (number, row) in (0..).zip(ROWS) {
        if matches!(row.fate, Fate::Elsewhere(_)) {
            continue;
        }
        let Bounds { min, max } = bounds[row.field];
        for text in samples(number, min, max.unwrap_or(100)) {
            faults.extend(fault(&world, row, &text).await);
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_are_counted_in_code_points_and_what_is_no_text_is_refused() {
    let world = World::new().await;
    let bounds = text_fields();
    let rows = ROWS.iter().filter(|row| !matches!(row.fate, Fate::Elsewhere(_)));
    let mut faults = Vec::new();
    for (number, row) in (0..).zip(rows) {
        if let Some(max) = bounds[row.field].max {
            faults.extend(fault(&world, row, &of_length(number, max)).await);
            let answer = send(&world, row, &of_length(number, max + 1)).await;
            faults.extend(unlike(row, "one code point too many", &answer, "invalid_request"));
        }
        for (what, escaped, encoded) in
            [("U+0000", "a\\u0000b", "a%00b"), ("a lone surrogate", "a\\ud800b", "a%ED%A0%80b")]
        {
            let body = world.fill(row.body).await.replace("TEXT", escaped);
            let answer = send_raw(&world, row, encoded, body).await;
            // What names a setting is no text: no setting has such a name.
            if row.field != "POST /admin/settings/{key} {key}" || answer.status != 404 {
                faults.extend(unlike(row, what, &answer, "invalid_text"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

async fn send(world: &World, row: &Row, text: &str) -> Answer {
    let body = world.fill(row.body).await;
    let body = serde_json::from_str(&body).map_or(String::new(), |body: Value| with_text(&body, text).to_string());
    send_raw(world, row, &percent(text.as_bytes()), body).await
}

async fn send_raw(world: &World, row: &Row, in_path: &str, body: String) -> Answer {
    let (method, _) = row.field.split_once(' ').unwrap();
    let path = world.fill(row.path).await.replace("TEXT", in_path);
    let url = format!("{}/api/v1{path}", world.cluster.url(0));
    let mut request = world.cluster.http.request(method.parse().unwrap(), url).bearer_auth(world.me.token());
    if !body.is_empty() {
        request = request.header("content-type", "application/json").body(body);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.json().await.unwrap_or_default() }
}

/// What is wrong with what becomes of a good text.
async fn fault(world: &World, row: &Row, text: &str) -> Option<String> {
    let answer = send(world, row, text).await;
    let said = |what: &str| Some(format!("{}: {text:?}: {what}: {} {}", row.field, answer.status, answer.body));
    match row.fate {
        Fate::Kept(shown, path, place) => {
            let expected = expected(row.body, text);
            if !(200..300).contains(&answer.status)
                || !shown.is_empty() && answer.body.pointer(shown) != Some(&expected)
            {
                return said("is not in the answer");
            }
            if path.is_empty() {
                return None;
            }
            let path = path.replace("{answer}", answer.body["id"].as_str().unwrap_or_default());
            let path = world.fill(&path).await;
            let read = world.me.get(&world.cluster, 0, &path).await;
            (read.body.pointer(place) != Some(&expected))
                .then(|| format!("{}: {text:?}: {path}: {}", row.field, read.body))
        }
        Fate::Key(place) => {
            let has_key = answer.body.pointer(place).is_some_and(|keys| keys.get(text).is_some());
            if has_key { None } else { said("is no key of the answer") }
        }
        Fate::Names(place) => {
            let again = send(world, row, text).await;
            let other = send(world, row, &format!("{}\u{301}", text.chars().skip(1).collect::<String>())).await;
            let id = |answer: &Answer| answer.body.pointer(place).cloned();
            let is_good =
                id(&answer).is_some() && id(&answer) == id(&again) && id(&other).is_some() && id(&answer) != id(&other);
            if is_good { None } else { said(&format!("again {}, another {}", again.body, other.body)) }
        }
        // What is nothing but spaces looks for nothing.
        Fate::Sought(status) => {
            if answer.status == status || answer.status == 422 && text.trim().is_empty() {
                None
            } else {
                said(&format!("{status} is right"))
            }
        }
        Fate::Elsewhere(_) => None,
    }
}

/// What is wrong with a refusal.
fn unlike(row: &Row, what: &str, answer: &Answer, code: &str) -> Option<String> {
    let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
    let is_named = errors
        .iter()
        .filter_map(|error| error["field"].as_str())
        .any(|field| field.split(['.', '[']).next() == Some(called(row.field)));
    let is_good = answer.status == 422 && answer.body["code"] == code && is_named;
    (!is_good).then(|| format!("{} with {what}: {} {}", row.field, answer.status, answer.body))
}
