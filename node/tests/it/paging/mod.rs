//! Every list is read in pages that fit together: while others come before, between and after what is read, each item that stays comes
//! once, in the list's order.

mod moving;
mod table;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt as _, stream};
use herald_node::http::docs::openapi_document;
use serde_json::{Value, json};

use crate::support::{Cluster, Setup};
use table::{LISTS, List, Order};
use world::{Made, World};

/// Ranks of the items that are there from the beginning: three of them are of the same moment.
const RANKS: [u8; 7] = [32, 64, 96, 96, 96, 128, 160];
/// Between so many pages others come.
const GAPS: usize = 3;
/// Requests that have nothing to do with each other are sent so many at once.
const AT_ONCE: usize = 16;

/// Lists that are short by what they are, and whole in one answer.
const WHOLE: &[&str] = &["/messages/unread-count", "/users/me/export", "/admin/stats"];

#[test]
fn every_list_has_a_row_and_every_row_a_list() {
    let mut lists = BTreeSet::new();
    for (path, methods) in openapi_document()["paths"].as_object().unwrap() {
        let Some(operation) = methods.get("get") else { continue };
        let parameters = operation["parameters"].as_array().unwrap();
        let is_paged = parameters.iter().any(|parameter| {
            parameter["in"] == "query"
                && ["cursor", "before_seq", "after_seq"].iter().any(|name| parameter["name"] == *name)
        });
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        if is_paged {
            let has_limit = parameters.iter().any(|parameter| parameter["name"] == "limit");
            assert!(has_limit, "{path} has pages of any length");
            lists.insert(path.replacen("/groups/{", "…/{", 1).replacen("/conversations/{", "…/{", 1));
        } else if shows_a_list(operation) {
            assert!(WHOLE.contains(&path), "{path} shows a list that has no pages");
        }
    }
    let in_table: BTreeSet<String> = LISTS.iter().map(|list| list.route.to_owned()).collect();
    let lacking: Vec<_> = lists.difference(&in_table).collect();
    let stray: Vec<_> = in_table.difference(&lists).collect();
    assert!(lacking.is_empty() && stray.is_empty(), "lists without a row: {lacking:?}\nrows without a list: {stray:?}");
}

/// Its answer has an array somewhere on top.
fn shows_a_list(operation: &Value) -> bool {
    let Some(mut schema) = operation.pointer("/responses/200/content/application~1json/schema") else { return false };
    if let Some(name) = schema["$ref"].as_str() {
        schema = openapi_document().pointer(name.trim_start_matches('#')).unwrap();
    }
    let is_array = |schema: &Value| schema["type"] == "array" && schema["items"]["type"] != "string";
    is_array(schema) || schema["properties"].as_object().is_some_and(|fields| fields.values().any(is_array))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_every_list_fit_together_while_others_come_and_go() {
    let cluster = Setup::nodes(1)
        .set("max_messages_per_second", 1_000_000)
        .set("enable_first_message_limit", false)
        .start()
        .await;
    let mut world = World::new(&cluster).await;
    let mut faults = Vec::new();
    let mut cursors = Vec::new();
    for list in LISTS {
        let walk = walk(&mut world, list).await;
        faults.extend(walk.faults.into_iter().map(|fault| format!("{}: {fault}", list.path)));
        cursors.extend(walk.cursor.map(|cursor| (list, cursor)));
    }
    faults.extend(wrong_cursors(&mut world, &cursors).await);
    faults.extend(wrong_limits(&mut world).await);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

struct Walk {
    faults: Vec<String>,
    /// That of the first page.
    cursor: Option<String>,
}

/// Reads a list in pages of two, while others come into it and one that was shown goes.
async fn walk(world: &mut World<'_>, list: &List) -> Walk {
    let mut known: BTreeMap<String, i64> = BTreeMap::new();
    let mut expected: BTreeSet<String> = BTreeSet::new();
    if list.order == Order::Fixed {
        let all = world.get(list.path).await.expect(200);
        expected.extend(ids(list, &all));
    } else {
        for rank in RANKS {
            let Made { id, rank } = world.add(list, rank).await;
            known.insert(id.clone(), rank);
            expected.insert(id);
        }
    }
    let mut shown: Vec<String> = Vec::new();
    let (mut next, mut first_cursor) = (String::new(), None);
    for page_number in 0.. {
        assert!(page_number < 1_000, "{} has no end", list.path);
        let page = world.get(&paged(list, &format!("{next}limit=2"))).await.expect(200);
        let items = ids(list, &page);
        assert!(items.len() <= 2, "{}: {page}", list.path);
        shown.extend(items.iter().cloned());
        let following = next_of(list, &page);
        if page_number == 0 {
            first_cursor = page["next_cursor"].as_str().map(str::to_owned);
        }
        let Some(following) = following else { break };
        next = format!("{following}&");
        if page_number >= GAPS || list.order == Order::Fixed {
            continue;
        }
        // Before, beside and between what is read, and behind it.
        let reached = shown.iter().filter_map(|id| known.get(id)).max().copied().unwrap_or_default();
        for rank in [1, u8::try_from(reached).unwrap_or(96), 112, 200] {
            let made = world.add(list, rank).await;
            if rank == 200 && list.order != Order::Front {
                expected.insert(made.id.clone());
            }
            known.insert(made.id, made.rank);
        }
        // Names are indexed by who looks for them from the beginning.
        world.get(list.path).await.expect(200);
        if page_number == 0 {
            let last = shown.iter().rfind(|id| known.contains_key(*id)).cloned();
            if let Some(last) = last {
                world.remove(list, &last).await;
            }
        }
    }
    let mut faults = Vec::new();
    let times = |id: &String| shown.iter().filter(|other| *other == id).count();
    faults
        .extend(expected.iter().filter(|id| times(id) == 0).map(|id| format!("{id} is missing: {known:?}, {shown:?}")));
    faults.extend(
        shown
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .filter(|id| times(id) > 1)
            .map(|id| format!("{id} comes twice")),
    );
    let ranks: Vec<i64> = shown.iter().filter_map(|id| known.get(id)).copied().collect();
    if !ranks.is_sorted() {
        faults.push(format!("not in order: {ranks:?}"));
    }
    // A page that ends with the list is the last, also where it is full.
    let whole = ids(list, &world.get(&paged(list, "limit=200")).await.expect(200));
    let full = world.get(&paged(list, &format!("limit={}", whole.len().max(1)))).await.expect(200);
    if whole.len() < 200 && (full["next_cursor"] != Value::Null || ids(list, &full) != whole) {
        faults.push(format!("of {} items a page of as many says that there are more", whole.len()));
    }
    Walk { faults, cursor: first_cursor }
}

/// The list's path, with what says which page.
fn paged(list: &List, page: &str) -> String {
    if list.path.contains("after_seq=0") && page.contains("after_seq") {
        return list.path.replace("after_seq=0", page);
    }
    format!("{}{}{page}", list.path, if list.path.contains('?') { '&' } else { '?' })
}

fn ids(list: &List, page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{}: {page}", list.path));
    let id =
        |item: &Value| item.pointer(list.id).and_then(Value::as_str).unwrap_or_else(|| panic!("{item}")).to_owned();
    items.iter().map(id).collect()
}

/// Its cursors are seqs.
fn is_log(list: &List) -> bool {
    list.route.ends_with("/messages") || list.route == "/messages/{id}"
}

/// What asks for the next page. Of a log that is its last seq, until nothing comes any more.
fn next_of(list: &List, page: &Value) -> Option<String> {
    if !is_log(list) {
        return page["next_cursor"].as_str().map(|cursor| format!("cursor={cursor}"));
    }
    assert_eq!(page["next_cursor"], Value::Null);
    let last = page["items"].as_array()?.last()?["seq"].as_i64()?;
    Some(format!("{}={last}", if list.path.contains("after_seq") { "after_seq" } else { "before_seq" }))
}

/// Cursors that are damaged, of another list, or of another reader are refused as such.
async fn wrong_cursors(world: &mut World<'_>, cursors: &[(&List, String)]) -> Vec<String> {
    let plain = |list: &List| list.path.split('?').next().unwrap_or_default().to_owned();
    let mut requests = Vec::new();
    for (list, cursor) in cursors {
        world.get(&paged(list, &format!("cursor={cursor}"))).await.expect(200);
        let foreign = cursors.iter().filter(|(other, _)| plain(other) != plain(list));
        let wrong = damage(cursor).into_iter().chain(foreign.map(|(_, cursor)| cursor.clone()));
        for wrong in wrong {
            requests.push((&world.reader, world.fill(&paged(list, &format!("cursor={wrong}")))));
        }
        requests.push((&world.other, world.fill(&paged(list, &format!("cursor={cursor}")))));
    }
    let asked = requests.iter().map(async |(reader, path)| {
        let answer = reader.get(world.cluster, 0, path).await;
        let is_refused = (answer.status, answer.body["code"].as_str()) == (400, Some("invalid_cursor"));
        (!is_refused).then(|| format!("{} asks {path}: {} {}", reader.name, answer.status, answer.body))
    });
    stream::iter(asked).buffered(AT_ONCE).filter_map(async |fault| fault).collect().await
}

fn damage(cursor: &str) -> Vec<String> {
    let changed = |at: usize| {
        let other = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &cursor[..at], &cursor[at + 1..])
    };
    let encoded = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let length = cursor.len();
    vec![
        changed(0),
        changed(length / 2),
        changed(length - 1),
        cursor[..length / 2].to_owned(),
        format!("{cursor}AAAA"),
        "x".to_owned(),
        "%00".to_owned(),
        encoded(Value::Null),
        encoded(json!([i64::MAX, "ffffffff-ffff-ffff-ffff-ffffffffffff"])),
        encoded(json!("ffffffff-ffff-ffff-ffff-ffffffffffff")),
    ]
}

/// A page has one item at least, and no more than 200.
async fn wrong_limits(world: &mut World<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for list in LISTS {
        for limit in ["0", "-1", "x", "1.5", "", "%00"] {
            let answer = world.get(&paged(list, &format!("limit={limit}"))).await;
            if answer.status != 422 || answer.body["errors"][0]["field"] != "limit" {
                faults.push(format!("{}: limit={limit}: {} {}", list.path, answer.status, answer.body));
            }
        }
        world.add_many(list, 205).await;
        for limit in ["100000", "99999999999999999999999"] {
            let page = world.get(&paged(list, &format!("limit={limit}"))).await;
            let count = page.body["items"].as_array().map(Vec::len);
            let is_good = if list.has_many() { count == Some(200) } else { count <= Some(200) };
            if page.status != 200 || !is_good {
                faults.push(format!("{}: limit={limit}: {}, {count:?} items", list.path, page.status));
            }
        }
    }
    faults
}
