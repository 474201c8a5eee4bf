//! Imports point down only, and what belongs to one place is in that place: STYLE in code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each part of the node may name of the crate, beside itself. A part that is not listed here fails the test: whoever adds one
/// says where it stands.
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
    ("memory", &["auth", "clock", "config", "domain", "hub", "protocol", "storage"]),
    ("hub", &["domain", "protocol"]),
    ("app", &["auth", "clock", "config", "domain", "hub", "memory", "service", "storage", "tasks"]),
    (
        "service",
        &[
            "app", "auth", "clock", "config", "domain", "error", "hub", "memory", "metrics", "protocol", "storage",
            "tasks",
        ],
    ),
    ("inbox", &["app", "domain", "hub", "memory", "protocol", "service"]),
    ("session", &["app", "auth", "clock", "config", "domain", "error", "http", "hub", "protocol", "service", "tasks"]),
    (
        "http",
        &[
            "app", "auth", "clock", "config", "domain", "error", "hub", "metrics", "protocol", "service", "session",
            "tasks",
        ],
    ),
    ("run", ANYTHING_BELOW),
    ("cli", &["auth", "clock", "config", "domain", "metrics", "run", "service", "storage", "tasks"]),
];
const ANYTHING_BELOW: &[&str] = &[
    "app", "auth", "clock", "config", "domain", "error", "http", "hub", "inbox", "memory", "metrics", "protocol",
    "service", "session", "storage", "tasks",
];

/// Words of other crates, and the parts that alone may name them.
const PLACES: &[(&str, &[&str])] = &[
    ("tokio_postgres", &["storage"]),
    ("deadpool_postgres", &["storage"]),
    ("refinery", &["storage"]),
    ("fastwebsockets", &["session"]),
    ("env::var", &["config"]),
    ("herald_router", &["app", "auth", "cli", "domain", "error", "inbox", "run", "service"]),
];

struct Source {
    part: String,
    path: PathBuf,
    /// Without comments and without the tests at its end.
    code: String,
}

fn sources(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(root).unwrap();
            let part = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            Source { part, path, code }
        })
        .collect()
}

fn node_sources() -> Vec<Source> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// The parts that a file names: after each `crate::`, a word, or the first words of a group.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
    };
    let mut parts = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            parts.insert(word(rest));
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
                    parts.insert(word(&std::mem::take(&mut item)));
                    continue;
                }
                _ => {}
            }
            item.push(character);
        }
        parts.insert(word(&item));
    }
    parts.remove("");
    parts
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for source in node_sources() {
        if ["lib", "main"].contains(&source.part.as_str()) {
            continue;
        }
        let Some((_, below)) = LAYERS.iter().find(|(part, _)| *part == source.part) else {
            wrong.push(format!("{} belongs to no layer: add it to LAYERS", source.path.display()));
            continue;
        };
        for name in named(&source.code) {
            if name != source.part && !below.contains(&name.as_str()) {
                wrong.push(format!("{} names {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_has_a_place_is_in_its_place() {
    let mut wrong = Vec::new();
    for source in node_sources() {
        for (word, parts) in PLACES {
            if source.code.contains(word) && !parts.contains(&source.part.as_str()) {
                wrong.push(format!("{} names {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sql_is_in_storage_only() {
    let mut wrong = Vec::new();
    for source in node_sources().into_iter().filter(|source| source.part != "storage") {
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
    let names = named("use crate::{app::App, domain::{UserId, Seq}, storage};\nlet x = crate::http::y();");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["app", "domain", "http", "storage"]);
}
