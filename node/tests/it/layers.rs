//! Imports point down only, and what belongs to one place is in that place: STYLE in code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::rust_files;

/// The parts of the node, from the ground up, and what of the others each names: of those above it in this list, all that it needs and
/// nothing else. Whoever adds a part, or a name, says where it stands.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("protocol", &["domain"]),
    ("clock", &["domain"]),
    ("tasks", &[]),
    ("config", &["domain"]),
    ("metrics", &["tasks"]),
    ("storage", &["config", "domain", "tasks"]),
    ("error", &["domain", "storage"]),
    ("auth", &["config", "domain", "error"]),
    ("hub", &["domain", "protocol"]),
    // Of storage only the names of shards.
    ("memory", &["config", "domain", "hub", "protocol", "storage"]),
    ("app", &["auth", "clock", "config", "domain", "hub", "memory", "storage", "tasks"]),
    ("service", &["app", "auth", "domain", "error", "hub", "memory", "protocol", "storage"]),
    ("inbox", &["app", "memory", "protocol", "service"]),
    ("session", &["app", "auth", "domain", "hub", "protocol", "service"]),
    ("http", &["app", "auth", "config", "domain", "error", "metrics", "protocol", "service", "session", "tasks"]),
    (
        "run",
        &[
            "app", "auth", "clock", "config", "domain", "http", "hub", "inbox", "memory", "metrics", "service",
            "storage", "tasks",
        ],
    ),
    ("cli", &["auth", "clock", "config", "domain", "run", "service", "storage"]),
];

/// The same for the subjects of `service`.
const SUBJECTS: &[(&str, &[&str])] = &[
    ("ask_shards", &[]),
    ("carry_through", &[]),
    ("feed", &[]),
    ("limits", &[]),
    ("delivery", &["limits"]),
    ("notifications", &["delivery", "feed", "limits"]),
    ("people", &["carry_through", "delivery", "notifications"]),
    ("admin", &["feed", "notifications", "people"]),
    ("events", &["feed", "notifications"]),
    ("accounts", &["feed", "limits"]),
    ("groups", &["carry_through", "limits"]),
    ("conversations", &["ask_shards", "delivery", "people"]),
    ("messages", &["ask_shards", "conversations", "delivery", "limits", "people"]),
    ("presence", &["ask_shards", "conversations", "delivery", "events", "people"]),
    ("sync", &["ask_shards", "conversations"]),
    ("sessions", &["accounts", "delivery"]),
    ("recovery", &["delivery", "sessions"]),
    ("friends", &["carry_through", "conversations", "people", "presence"]),
    ("own_data", &["accounts", "conversations", "delivery", "feed", "friends", "groups", "notifications", "people"]),
    ("operations", &["events", "groups", "notifications", "own_data", "people"]),
];

/// Words of other crates, and the parts that alone may name them.
const PLACES: &[(&str, &[&str])] = &[
    ("tokio_postgres", &["storage"]),
    ("deadpool_postgres", &["storage"]),
    ("refinery", &["storage"]),
    ("fastwebsockets", &["session"]),
    ("env::var", &["config"]),
    ("herald_router", &["app", "cli", "domain", "error", "inbox", "run", "service"]),
];

struct Source {
    path: PathBuf,
    /// Below `src`, without `.rs`: the folders, then the file.
    place: Vec<String>,
    /// Without comments and without the tests at its end.
    code: String,
}

fn node_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = |path: PathBuf| {
        let relative = path.strip_prefix(&root).unwrap().with_extension("");
        let place = relative.iter().map(|word| word.to_str().unwrap().to_owned()).collect();
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        Source { path, place, code }
    };
    rust_files(&root).into_iter().map(source).collect()
}

/// What a file names after each `prefix`: a word, or the first words of a group.
fn named(code: &str, prefix: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
    };
    let mut names = BTreeSet::new();
    for rest in code.split(prefix).skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for character in group.chars() {
            match character {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(word(&std::mem::take(&mut item)));
                    continue;
                }
                _ => {}
            }
            item.push(character);
        }
        names.insert(word(&item));
    }
    names.remove("");
    names
}

/// What a list says is so: nothing is named that it does not allow, nothing is allowed that is not named, and what is named stands above
/// in the list, so that there are no circles. `inside`: the folder whose parts the list is about.
fn check_layers(layers: &[(&str, &[&str])], inside: Option<&str>) {
    let mut wrong = Vec::new();
    for (index, (part, below)) in layers.iter().enumerate() {
        let is_above = |name: &&str| layers[..index].iter().any(|(above, _)| above == name);
        wrong.extend(
            below
                .iter()
                .filter(|name| !is_above(name))
                .map(|name| format!("{name} does not stand above {part} in the list")),
        );
    }
    let prefix = inside.map_or_else(|| "crate::".to_owned(), |folder| format!("crate::{folder}::"));
    let mut unused: BTreeSet<(&str, &str)> =
        layers.iter().flat_map(|(part, below)| below.iter().map(move |name| (*part, *name))).collect();
    for source in node_sources() {
        let part = match inside {
            None => source.place.first(),
            Some(folder) => source.place.get(1).filter(|_| source.place[0] == folder),
        };
        let Some(part) = part.filter(|part| !["lib", "main", "mod"].contains(&part.as_str())) else { continue };
        let Some((part, below)) = layers.iter().find(|(listed, _)| listed == part) else {
            wrong.push(format!("{} is of no part in the list: add it", source.path.display()));
            continue;
        };
        for name in named(&source.code, &prefix) {
            unused.retain(|allowed| *allowed != (*part, name.as_str()));
            if name != *part && !below.contains(&name.as_str()) {
                wrong.push(format!("{} names {name}", source.path.display()));
            }
        }
    }
    wrong.extend(unused.into_iter().map(|(part, name)| format!("{part} need not name {name}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_point_down() {
    check_layers(LAYERS, None);
}

#[test]
fn subjects_of_services_ask_only_those_below_them() {
    check_layers(SUBJECTS, Some("service"));
}

#[test]
fn what_has_a_place_is_in_its_place() {
    let mut wrong = Vec::new();
    for source in node_sources() {
        for (word, parts) in PLACES {
            if source.code.contains(word) && !parts.contains(&source.place[0].as_str()) {
                wrong.push(format!("{} names {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sql_is_in_storage_only() {
    let mut wrong = Vec::new();
    for source in node_sources().into_iter().filter(|source| source.place[0] != "storage") {
        for literal in source.code.split('"').skip(1).step_by(2) {
            let words: Vec<String> = literal.split_whitespace().take(2).map(str::to_ascii_lowercase).collect();
            let is_sql = match words.first().map(String::as_str) {
                Some("select") => words.len() > 1,
                Some("insert") => words.get(1).is_some_and(|word| word == "into"),
                Some("delete") => words.get(1).is_some_and(|word| word == "from"),
                Some("update") => literal.to_ascii_lowercase().contains(" set "),
                _ => false,
            };
            if is_sql {
                wrong.push(format!("{}: {literal}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_router_knows_no_chat_and_only_it_knows_redis() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let router = fs::read_to_string(root.join("router/Cargo.toml")).unwrap();
    assert!(!router.contains("herald-node"));
    for other in ["node/Cargo.toml", "loadtest/Cargo.toml"] {
        let manifest = fs::read_to_string(root.join(other)).unwrap();
        assert!(!manifest.lines().any(|line| line.starts_with("redis")), "{other} depends on redis");
    }
}

#[test]
fn names_in_groups_are_seen() {
    let names = named("use crate::{app::App, domain::{UserId, Seq}, storage};\nlet x = crate::http::y();", "crate::");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["app", "domain", "http", "storage"]);
}
