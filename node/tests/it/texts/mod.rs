//! Every text of every request and frame: all of Unicode comes back as it was sent, what is no text is refused as such, and lengths are
//! those that the documents say, in code points.

mod fields;
mod frames;
mod literal;
mod names;
mod rest;
mod samples;
mod table;
mod world;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use fields::text_fields;
use table::{FRAMES, ROWS};

#[test]
fn every_text_field_has_a_row_and_every_row_a_field() {
    // Cursors are no texts of anybody's: `paging` says what becomes of wrong ones.
    let is_text = |name: &String| !name.ends_with(" ?cursor");
    let fields: BTreeSet<String> = text_fields().into_keys().filter(is_text).collect();
    let rows = ROWS.iter().map(|row| row.field).chain(FRAMES.iter().map(|(field, ..)| *field));
    let rows: BTreeSet<String> = rows.map(str::to_owned).collect();
    let lacking: Vec<_> = fields.difference(&rows).collect();
    let stray: Vec<_> = rows.difference(&fields).collect();
    assert!(lacking.is_empty() && stray.is_empty(), "without a row: {lacking:#?}\nwithout a field: {stray:#?}");
    assert_eq!(rows.len(), ROWS.len() + FRAMES.len(), "a field has two rows");
}

/// The last word of a field's name: what errors call it by.
fn called(field: &str) -> &str {
    let name = field.split(' ').next_back().unwrap_or_default();
    let name =
        name.strip_prefix("data.").filter(|rest| *rest != "*").unwrap_or(name).trim_matches(|c| "?{}".contains(c));
    name.split(['.', '[']).next().unwrap_or_default()
}

/// The JSON with `TEXT` replaced, in names too.
fn with_text(value: &Value, text: &str) -> Value {
    match value {
        Value::String(word) if word == "TEXT" => json!(text),
        Value::Array(items) => items.iter().map(|item| with_text(item, text)).collect(),
        Value::Object(fields) => {
            let name = |name: &String| if name == "TEXT" { text.to_owned() } else { name.clone() };
            fields.iter().map(|(key, value)| (name(key), with_text(value, text))).collect()
        }
        other => other.clone(),
    }
}

/// What is to be shown: the text, or the object that holds it as name and value.
fn expected(body: &str, text: &str) -> Value {
    if body.contains(r#"{"TEXT":"TEXT"}"#) { json!({text: text}) } else { json!(text) }
}
