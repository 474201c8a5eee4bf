//! Reading the configuration: each source by itself first, so that an error names where it came from, then one over the other.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Config;
use crate::domain::settings::{self, SettingError, Settings};

/// Where a configuration comes from, beside the defaults; later ones win.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Variables `HERALD_...`: the keys joined by `__`.
    pub environment: Vec<(String, String)>,
    /// `key=value` of the command line: the keys joined by dots, or a run-time setting's name.
    pub flags: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{place}: {problem}")]
    Invalid { place: String, problem: String },
    #[error("{0} cannot be read")]
    Unreadable(String, #[source] std::io::Error),
}

impl ConfigError {
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), problem: problem.into() }
    }
}

/// Variables that begin like ours but are no keys: those of the command line itself and of `herald dev`.
const NO_KEYS: &[&str] = &["CONFIG"];
const NO_KEYS_PREFIX: &str = "DEV_";
const PREFIX: &str = "HERALD_";

/// The environment of this process, as far as it is ours.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// The folders of `PATH`.
pub fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// A library that `herald dev` preloads into its PostgreSQL, for measuring with a slower disk.
pub fn postgres_preload() -> Option<PathBuf> {
    std::env::var_os("HERALD_DEV_POSTGRES_PRELOAD").filter(|path| !path.is_empty()).map(PathBuf::from)
}

impl Config {
    /// Defaults < file < environment < flags. Not yet [`Config::prepare`]d.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut table = Table::new();
        if let Some(file) = &sources.file {
            merge(&mut table, read_file(file)?);
        }
        for (name, text) in &sources.environment {
            if let Some(path) = environment_path(name) {
                merge(&mut table, place(name, &path, text)?);
            }
        }
        for flag in &sources.flags {
            merge(&mut table, read_flag(flag)?);
        }
        parse("configuration", table)
    }

    /// The run-time settings' initial values: the defaults with what `settings` names.
    pub fn initial_settings(&self) -> Result<Settings, SettingError> {
        let mut initial = Settings::default();
        for (name, value) in &self.settings {
            initial.set(name, &serde_json::to_value(value).unwrap_or_default())?;
        }
        Ok(initial)
    }

    /// As a file, for a process that reads it back with `--config`.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::new("configuration", error.to_string()))
    }
}

/// Refuses a `key=value` whose key nobody knows, before anything is started with it.
pub fn check_flag(flag: &str) -> Result<(), ConfigError> {
    read_flag(flag).map(|_| ())
}

fn read_file(file: &Path) -> Result<Table, ConfigError> {
    let place = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| ConfigError::Unreadable(place.clone(), error))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::new(&place, error.to_string()))?;
    parse(&place, table.clone())?;
    Ok(table)
}

fn environment_path(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    if NO_KEYS.contains(&rest) || rest.starts_with(NO_KEYS_PREFIX) {
        return None;
    }
    Some(rest.to_ascii_lowercase().split("__").map(str::to_owned).collect())
}

fn read_flag(flag: &str) -> Result<Table, ConfigError> {
    let shown = format!("--set {flag}");
    let (key, text) = flag.split_once('=').ok_or_else(|| ConfigError::new(&shown, "must be key=value"))?;
    let mut path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
    if settings::NAMES.contains(&key.trim()) {
        path.insert(0, "settings".to_owned());
    }
    place(&shown, &path, text)
}

/// One value at its place: as TOML where it parses and fits, else as text.
fn place(source: &str, path: &[String], text: &str) -> Result<Table, ConfigError> {
    let as_text = nest(path, Value::String(text.to_owned()));
    let Some(value) = parse_value(text) else {
        return parse(source, as_text.clone()).map(|_| as_text);
    };
    let as_value = nest(path, value);
    match parse(source, as_value.clone()) {
        Ok(_) => Ok(as_value),
        // `node_id=7` is a name although it reads as a number.
        Err(error) => parse(source, as_text.clone()).map(|_| as_text).map_err(|_| error),
    }
}

fn parse_value(text: &str) -> Option<Value> {
    let table: Table = format!("value = {text}").parse().ok()?;
    (table.len() == 1).then(|| table.get("value").cloned()).flatten()
}

fn nest(path: &[String], value: Value) -> Table {
    let mut table = Table::new();
    match path.split_first() {
        Some((key, [])) => table.insert(key.clone(), value),
        Some((key, rest)) => table.insert(key.clone(), Value::Table(nest(rest, value))),
        None => None,
    };
    table
}

/// Tables are merged key by key; lists and values are replaced.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

fn parse(source: &str, table: Table) -> Result<Config, ConfigError> {
    let config: Config = Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError::new(source, error.to_string().trim()))?;
    config.initial_settings().map_err(|problem| ConfigError::new(source, problem.to_string()))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: Option<&str>, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("herald.toml");
        if let Some(text) = file {
            fs::write(&path, text).unwrap();
        }
        let sources = Sources {
            file: file.map(|_| path),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        };
        Config::load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn later_sources_win() {
        let file = "drain_s = 1\n[limits]\ngates_max = 2\nlane_queue_max = 2\n[redis]\nurls = ['redis://a']\n";
        let environment = [("HERALD_LIMITS__GATES_MAX", "3"), ("HERALD_LIMITS__LANE_QUEUE_MAX", "3")];
        let config = load(Some(file), &environment, &["limits.lane_queue_max=4"]).unwrap();
        assert_eq!((config.drain_s, config.limits.gates_max, config.limits.lane_queue_max), (1, 3, 4));
        assert_eq!(config.redis.urls, ["redis://a"]);
        assert_eq!(config.redis.key_prefix, "herald:");
    }

    #[test]
    fn values_are_toml_where_they_parse_and_fit_else_text() {
        let environment = [("HERALD_ALLOWED_ORIGINS", "['https://a', 'https://b']"), ("HERALD_NODE_ID", "7")];
        let config = load(None, &environment, &["directory.url=postgres://h/d", "max_messages_per_second=50"]).unwrap();
        assert_eq!(config.allowed_origins, ["https://a", "https://b"]);
        assert_eq!(config.node_id, "7");
        assert_eq!(config.directory.url, "postgres://h/d");
        assert_eq!(config.settings.get("max_messages_per_second"), Some(&Value::Integer(50)));
    }

    #[test]
    fn unknown_keys_are_refused_by_name_and_place() {
        let refused = |result: Result<Config, String>, words: &[&str]| {
            let message = result.unwrap_err();
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        };
        refused(load(Some("[limits]\nnonsense = 1\n"), &[], &[]), &["herald.toml", "nonsense"]);
        refused(load(None, &[("HERALD_NONSENSE", "1")], &[]), &["HERALD_NONSENSE", "nonsense"]);
        refused(load(None, &[("HERALD_LIMITS__NONSENSE", "1")], &[]), &["HERALD_LIMITS__NONSENSE", "nonsense"]);
        refused(load(None, &[], &["nonsense=1"]), &["--set nonsense=1"]);
        refused(load(None, &[], &["settings.nonsense=1"]), &["nonsense"]);
        refused(load(None, &[], &["recall_window_s=soon"]), &["recall_window_s"]);
        assert!(load(None, &[("HERALD_CONFIG", "x"), ("HERALD_DEV_POSTGRES_PRELOAD", "x")], &[]).is_ok());
    }
}
