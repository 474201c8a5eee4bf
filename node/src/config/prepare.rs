//! From what was written to what is used: names filled in, secrets read from their files, what cannot work refused.

use std::fs;
use std::path::Path;

use super::{Config, ConfigError, Events, ShardDatabase};
use crate::domain::ids::SLOT_COUNT;
use crate::domain::topic::{OWN_STREAM, Pattern};

/// Every event is compared with every pattern.
const SUBSCRIPTIONS_MAX: usize = 20;
const PATTERNS_MAX: usize = 20;
const SUBSCRIPTION_NAME_MAX: usize = 64;
/// Less than this Redis does not trim.
const STREAM_ENTRIES_MIN: u32 = 100;
const STREAM_BYTES_MIN: u64 = 64 << 10;
const OUTBOX_ROWS_MIN: u32 = 100;

/// Slots of one shard, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    pub first: u16,
    pub last: u16,
}

impl SlotRange {
    /// `FIRST-LAST`
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        let range = Self { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? };
        (range.first <= range.last && range.last < SLOT_COUNT).then_some(range)
    }

    /// The `index`th of `count` equal parts of all slots.
    pub fn part(index: u16, count: u16) -> Self {
        let at =
            |part: u16| u16::try_from(u32::from(part) * u32::from(SLOT_COUNT) / u32::from(count.max(1))).unwrap_or(0);
        Self { first: at(index), last: at(index + 1).saturating_sub(1) }
    }
}

impl std::fmt::Display for SlotRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl ShardDatabase {
    pub fn slot_range(&self) -> Result<SlotRange, ConfigError> {
        SlotRange::parse(&self.slots).ok_or_else(|| {
            let place = format!("shards `{}`", self.name);
            ConfigError::new(
                place,
                format!("slots must be FIRST-LAST within 0-{}, not `{}`", SLOT_COUNT - 1, self.slots),
            )
        })
    }
}

impl Config {
    /// To be called once, before use.
    pub fn prepare(mut self) -> Result<Self, ConfigError> {
        self.read_secrets()?;
        if self.node_id.is_empty() {
            self.node_id = default_node_id(&self.listen);
        }
        if self.directory.url.is_empty() {
            return Err(ConfigError::new("directory.url", "is needed: the address of the directory database"));
        }
        if self.redis.urls.is_empty() {
            return Err(ConfigError::new("redis.urls", "is needed: at least one address of Redis"));
        }
        if self.crash_point.is_some() && !self.is_development {
            return Err(ConfigError::new("crash_point", "is only for `herald dev`"));
        }
        if !(1..=3_600).contains(&self.limits.keep_alive_s) {
            return Err(ConfigError::new("limits.keep_alive_s", "must be 1 to 3600"));
        }
        self.events.check()?;
        self.fill_shards();
        self.check_slots()?;
        Ok(self)
    }

    /// Without `shards` the directory's database holds all slots; shards without slots share all equally.
    fn fill_shards(&mut self) {
        if self.shards.is_empty() {
            let url = self.directory.url.clone();
            self.shards.push(ShardDatabase { url, ..ShardDatabase::default() });
        }
        let count = u16::try_from(self.shards.len()).unwrap_or(u16::MAX);
        let share_equally = self.shards.iter().all(|shard| shard.slots.is_empty());
        for (index, shard) in (0..count).zip(self.shards.iter_mut()) {
            if shard.name.is_empty() {
                shard.name = format!("shard-{}", index + 1);
            }
            if share_equally {
                shard.slots = SlotRange::part(index, count).to_string();
            }
        }
    }

    /// Every slot exactly once. What the databases really hold is in their tables; this is what new ones are told.
    fn check_slots(&self) -> Result<(), ConfigError> {
        let mut ranges = Vec::new();
        for shard in &self.shards {
            if shard.url.is_empty() {
                return Err(ConfigError::new(format!("shards `{}`", shard.name), "url is needed"));
            }
            if !(1..=16).contains(&shard.lanes) {
                return Err(ConfigError::new(format!("shards `{}`", shard.name), "lanes must be 1 to 16"));
            }
            ranges.push((shard.slot_range()?, &shard.name));
        }
        ranges.sort_by_key(|(range, _)| range.first);
        let mut next = 0;
        for (range, name) in ranges {
            if range.first != next {
                let problem = if range.first < next { "is held by two shards" } else { "is held by no shard" };
                return Err(ConfigError::new(
                    format!("shards `{name}`"),
                    format!("slot {} {problem}", range.first.min(next)),
                ));
            }
            next = range.last + 1;
        }
        if next == SLOT_COUNT {
            Ok(())
        } else {
            Err(ConfigError::new("shards", format!("slot {next} is held by no shard")))
        }
    }

    fn read_secrets(&mut self) -> Result<(), ConfigError> {
        read_secret("directory.url_file", self.directory.url_file.as_deref(), &mut self.directory.url)?;
        for shard in &mut self.shards {
            read_secret("shards.url_file", shard.url_file.as_deref(), &mut shard.url)?;
        }
        for key in &mut self.auth.keys {
            read_secret("auth.keys.secret_file", key.secret_file.as_deref(), &mut key.secret)?;
            read_secret("auth.keys.private_key_file", key.private_key_file.as_deref(), &mut key.private_key)?;
            read_secret("auth.keys.public_key_file", key.public_key_file.as_deref(), &mut key.public_key)?;
        }
        for (name, issuer) in &mut self.auth.issuers {
            let key = |of: &str| format!("auth.issuers.{name}.{of}");
            read_secret(&key("secret_file"), issuer.secret_file.as_deref(), &mut issuer.secret)?;
            read_secret(&key("public_key_file"), issuer.public_key_file.as_deref(), &mut issuer.public_key)?;
        }
        let redis = &mut self.redis;
        read_secret("redis.ca_file", redis.ca_file.as_deref(), &mut redis.ca)?;
        read_secret("redis.certificate_file", redis.certificate_file.as_deref(), &mut redis.certificate)?;
        read_secret("redis.private_key_file", redis.private_key_file.as_deref(), &mut redis.private_key)?;
        let mut url = String::new();
        read_secret("redis.url_file", self.redis.url_file.as_deref(), &mut url)?;
        if !url.is_empty() {
            self.redis.urls = url.split_whitespace().map(str::to_owned).collect();
        }
        Ok(())
    }

    /// For showing: passwords and keys are stars.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        shown.directory.url = redact_url(&shown.directory.url);
        for shard in &mut shown.shards {
            shard.url = redact_url(&shard.url);
        }
        for url in &mut shown.redis.urls {
            *url = redact_url(url);
        }
        let keys = shown.auth.keys.iter_mut().flat_map(|key| [&mut key.secret, &mut key.private_key]);
        for secret in keys.chain([&mut shown.redis.private_key]).filter(|secret| !secret.is_empty()) {
            "***".clone_into(secret);
        }
        for issuer in shown.auth.issuers.values_mut() {
            if !issuer.secret.is_empty() {
                "***".clone_into(&mut issuer.secret);
            }
            issuer.jwks_url = redact_url(&issuer.jwks_url);
        }
        shown
    }
}

impl Events {
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, problem: String| Err(ConfigError::new(format!("events.{key}"), problem));
        if self.subscriptions.len() > SUBSCRIPTIONS_MAX {
            return refuse("subscriptions", format!("at most {SUBSCRIPTIONS_MAX}"));
        }
        if self.outbox_rows_max < OUTBOX_ROWS_MIN {
            return refuse("outbox_rows_max", format!("must be at least {OUTBOX_ROWS_MIN}"));
        }
        for (name, subscription) in &self.subscriptions {
            let key = |of: &str| format!("subscriptions.{name}{of}");
            let is_name =
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
            if !is_name || name.is_empty() || name.len() > SUBSCRIPTION_NAME_MAX || name == OWN_STREAM {
                return refuse(&key(""), format!("a name is of a-z, 0-9, _ and -, and not `{OWN_STREAM}`"));
            }
            if subscription.topics.is_empty() || subscription.topics.len() > PATTERNS_MAX {
                return refuse(&key(".topics"), format!("must have 1 to {PATTERNS_MAX} patterns"));
            }
            if let Some(bad) = subscription.topics.iter().find(|pattern| Pattern::parse(pattern).is_err()) {
                let problem = "is not words joined by dots, * for any word, # at the end for all that follows";
                return refuse(&key(".topics"), format!("`{bad}` {problem}"));
            }
            if subscription.entries_max < STREAM_ENTRIES_MIN {
                return refuse(&key(".entries_max"), format!("must be at least {STREAM_ENTRIES_MIN}"));
            }
            if subscription.bytes_max < STREAM_BYTES_MIN {
                return refuse(&key(".bytes_max"), format!("must be at least {STREAM_BYTES_MIN}"));
            }
        }
        Ok(())
    }
}

fn read_secret(key: &str, file: Option<&Path>, value: &mut String) -> Result<(), ConfigError> {
    let Some(file) = file else { return Ok(()) };
    let text = fs::read_to_string(file)
        .map_err(|error| ConfigError::Unreadable(format!("{key} ({})", file.display()), error))?;
    text.trim_end_matches(['\r', '\n']).clone_into(value);
    Ok(())
}

/// `scheme://user:password@host` with the password hidden.
fn redact_url(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:***@{host}"),
        None => url.to_owned(),
    }
}

/// The host's name and the port: unique in a cluster where each node has a host, or a port, of its own.
fn default_node_id(listen: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(48).collect();
    let port = listen.rsplit(':').next().unwrap_or_default();
    if host.is_empty() { format!("node-{port}") } else { format!("{host}-{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_slots(slots: &[&str]) -> Result<Config, String> {
        let mut config = Config::default();
        config.directory.url = "postgres://h/d".to_owned();
        config.shards = slots
            .iter()
            .map(|slots| ShardDatabase {
                url: "postgres://h/s".to_owned(),
                slots: (*slots).to_owned(),
                ..ShardDatabase::default()
            })
            .collect();
        config.prepare().map_err(|error| error.to_string())
    }

    #[test]
    fn slots_are_all_held_and_held_once() {
        assert!(with_slots(&["0-511", "512-1023"]).is_ok());
        assert_eq!(with_slots(&["", "", ""]).unwrap().shards[1].slots, "341-681");
        assert_eq!(with_slots(&[]).unwrap().shards[0].slots, "0-1023");
        assert!(with_slots(&["0-511", "511-1023"]).unwrap_err().contains("slot 511 is held by two"));
        assert!(with_slots(&["0-510", "512-1023"]).unwrap_err().contains("slot 511 is held by no"));
        assert!(with_slots(&["0-511"]).unwrap_err().contains("slot 512"));
        assert!(with_slots(&["0-1024"]).unwrap_err().contains("FIRST-LAST"));
    }

    #[test]
    fn secrets_come_from_files_and_are_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        fs::write(&file, "postgres://u:hidden@h/d\n").unwrap();
        let mut config = Config::default();
        config.directory.url_file = Some(file);
        config.auth.keys = vec![super::super::Key { secret: "hidden".to_owned(), ..Default::default() }];
        let config = config.prepare().unwrap();
        assert_eq!(config.directory.url, "postgres://u:hidden@h/d");
        let shown = config.redacted().to_toml().unwrap();
        assert!(!shown.contains("hidden") && shown.contains("postgres://u:***@h/d"), "{shown}");
    }

    #[test]
    fn subscriptions_have_a_name_patterns_and_bounds() {
        let check = |text: &str| {
            let events: Events = toml::from_str(text).unwrap();
            events.check().map_err(|error| error.to_string())
        };
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("subscriptions.billing-1.topics = ['chat.message.conversation.*', 'system.#']"), Ok(()));
        for (bad, word) in [
            ("subscriptions.Billing.topics = ['#']", "subscriptions.Billing"),
            ("subscriptions.own.topics = ['#']", "not `own`"),
            ("subscriptions.a.topics = []", "1 to 20 patterns"),
            ("subscriptions.a.topics = ['a', 'b..c']", "`b..c` is not words"),
            ("subscriptions.a = { topics = ['#'], entries_max = 0 }", "a.entries_max"),
            ("subscriptions.a = { topics = ['#'], bytes_max = 1000 }", "a.bytes_max"),
            ("outbox_rows_max = 1", "outbox_rows_max"),
        ] {
            let message = check(bad).unwrap_err();
            assert!(message.contains(word), "{bad}: {message}");
        }
        let mut many = Events::default();
        for number in 0..21 {
            let topics = vec!["#".to_owned()];
            let subscription = super::super::EventSubscription { topics, ..Default::default() };
            many.subscriptions.insert(format!("a{number}"), subscription);
        }
        assert!(many.check().is_err());
    }

    #[test]
    fn crash_points_are_for_development() {
        let mut config = Config { crash_point: Some("after_commit".to_owned()), ..Config::default() };
        config.directory.url = "postgres://h/d".to_owned();
        assert!(config.clone().prepare().is_err());
        config.is_development = true;
        assert!(config.prepare().is_ok());
    }
}
