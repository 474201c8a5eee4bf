//! Events for whoever subscribes: streams, each read by groups of consumers. An entry comes to one consumer of each group, and again to
//! another one if it is not acknowledged in time. What is lost with Redis's data is appended again by the one who has it.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use crate::lock::millis;
use crate::shared::EntryId;
use crate::{Router, RouterError, value};

/// Redis's answer to making a group that is there.
const GROUP_EXISTS: &str = "BUSYGROUP";
/// Redis's answer to reading with a group that is not there.
const NO_GROUP: &str = "NOGROUP";
/// Redis's answer to asking about a key that is not there: it has no code of its own.
const NO_KEY: &str = "no such key";

/// What a consumer got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEntry {
    /// Its place in the stream, to acknowledge it by.
    pub place: String,
    pub topic: String,
    pub payload: String,
}

/// How full a stream is, and how far its readers are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    pub entries: u64,
    /// Of Redis's memory, about.
    pub bytes: u64,
    pub groups: Vec<GroupState>,
}

/// How far the consumers of a group are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    pub name: String,
    /// Entries that none of them was given yet. Where Redis cannot tell, all that are in the stream.
    pub unread: u64,
    /// Entries that were given and not acknowledged.
    pub pending: u64,
    /// The place of the last entry that one of them was given.
    pub read_to: String,
}

impl GroupState {
    /// Entries that are still to be done.
    pub const fn waiting(&self) -> u64 {
        self.unread.saturating_add(self.pending)
    }
}

impl Router {
    /// Appends entries of topic and payload to a stream, in this order, in one round trip. About `entries_max` are kept, some more for
    /// speed: what consumers have not read by then is lost to them here.
    pub async fn append_topics(
        &self,
        stream: &str,
        entries_max: u64,
        entries: &[(String, String)],
    ) -> Result<(), RouterError> {
        let key = self.shared.keys.topics(stream);
        let mut pipeline = Pipeline::with_capacity(entries.len());
        for (topic, payload) in entries {
            let mut command = redis::cmd("XADD");
            command.arg(&key).arg("MAXLEN").arg("~").arg(entries_max).arg("*");
            command.arg("topic").arg(topic).arg("event").arg(payload);
            pipeline.add_command(command);
        }
        self.shared.run(&pipeline).await.map(|_| ())
    }

    /// Up to `count` entries that no consumer of this group had yet. A group that is not there begins with all that is kept.
    pub async fn read_topics(&self, stream: &str, group: &str, count: usize) -> Result<Vec<TopicEntry>, RouterError> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(group).arg(self.node_id().as_str()).arg("COUNT").arg(count);
        command.arg("STREAMS").arg(self.shared.keys.topics(stream)).arg(">");
        let answer = self.ask_group(stream, group, command).await?;
        Ok(streams(&answer).map(entries).unwrap_or_default())
    }

    /// Up to `count` entries that some consumer of this group has had for longer than `idle` without acknowledging them.
    pub async fn claim_topics(
        &self,
        stream: &str,
        group: &str,
        idle: Duration,
        count: usize,
    ) -> Result<Vec<TopicEntry>, RouterError> {
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(self.shared.keys.topics(stream)).arg(group).arg(self.node_id().as_str()).arg(millis(idle));
        command.arg("0-0").arg("COUNT").arg(count);
        let answer = self.ask_group(stream, group, command).await?;
        let Some([_, found, ..]) = value::array(&answer) else { return Ok(Vec::new()) };
        Ok(entries(found))
    }

    /// How often this entry was given to a consumer of the group.
    pub async fn tries_of(&self, stream: &str, group: &str, place: &str) -> Result<u64, RouterError> {
        let mut command = redis::cmd("XPENDING");
        command.arg(self.shared.keys.topics(stream)).arg(group).arg(place).arg(place).arg(1);
        let answer = self.shared.run_one(command).await?;
        let line = value::array(&answer).and_then(<[Value]>::first).and_then(value::array);
        Ok(line.and_then(|line| line.get(3)).and_then(value::unsigned).unwrap_or(0))
    }

    /// These need not come again.
    pub async fn acknowledge_topics(&self, stream: &str, group: &str, places: &[String]) -> Result<(), RouterError> {
        if places.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XACK");
        command.arg(self.shared.keys.topics(stream)).arg(group).arg(places);
        self.shared.run_one(command).await.map(|_| ())
    }

    /// How full a stream is, and how far its readers are; of one that is not there, nothing.
    pub async fn measure_topics(&self, stream: &str) -> Result<StreamState, RouterError> {
        let key = self.shared.keys.topics(stream);
        let mut about = redis::cmd("XINFO");
        about.arg("GROUPS").arg(&key);
        let groups = match self.shared.run_one(about).await {
            Err(RouterError::Refused(error)) if error.detail().is_some_and(|detail| detail.contains(NO_KEY)) => {
                return Ok(StreamState::default());
            }
            answered => answered?,
        };
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("XLEN").arg(&key);
        pipeline.cmd("MEMORY").arg("USAGE").arg(&key);
        let answers = self.shared.run(&pipeline).await?;
        let [entries, bytes] = answers.as_slice() else { return Err(RouterError::Unexpected("a stream's state")) };
        let (entries, bytes) = (value::unsigned(entries).unwrap_or(0), value::unsigned(bytes).unwrap_or(0));
        let groups = value::array(&groups).unwrap_or_default();
        let groups = groups.iter().filter_map(|group| group_state(group, entries)).collect();
        Ok(StreamState { entries, bytes, groups })
    }

    /// Removes the oldest entries until about this many are left; answers how many went.
    pub async fn trim_topics(&self, stream: &str, entries_max: u64) -> Result<u64, RouterError> {
        let mut command = redis::cmd("XTRIM");
        command.arg(self.shared.keys.topics(stream)).arg("MAXLEN").arg("~").arg(entries_max);
        // Else Redis removes ten thousand at most.
        command.arg("LIMIT").arg(0);
        Ok(value::unsigned(&self.shared.run_one(command).await?).unwrap_or(0))
    }

    /// Removes, about, what all of these groups, as they were measured, have acknowledged; answers how many entries went.
    pub async fn forget_done_topics(&self, stream: &str, groups: &[&GroupState]) -> Result<u64, RouterError> {
        let key = self.shared.keys.topics(stream);
        let mut needed: Option<EntryId> = None;
        for group in groups {
            let place = if group.pending == 0 {
                group.read_to.clone()
            } else {
                let mut command = redis::cmd("XPENDING");
                command.arg(&key).arg(&group.name);
                let answer = self.shared.run_one(command).await?;
                let first = value::array(&answer).and_then(|summary| summary.get(1)).and_then(value::text);
                first.unwrap_or(&group.read_to).to_owned()
            };
            let place = EntryId::parse(&place).ok_or(RouterError::Unexpected("a group's place"))?;
            needed = Some(needed.map_or(place, |before| before.min(place)));
        }
        let Some(needed) = needed else { return Ok(0) };
        let mut command = redis::cmd("XTRIM");
        command.arg(key).arg("MINID").arg("~").arg(format!("{}-{}", needed.ms, needed.number));
        Ok(value::unsigned(&self.shared.run_one(command).await?).unwrap_or(0))
    }

    /// Asks in the name of a group, which is made where it is missing.
    async fn ask_group(&self, stream: &str, group: &str, command: Cmd) -> Result<Value, RouterError> {
        match self.shared.run_one(command.clone()).await {
            Err(RouterError::Refused(error)) if error.code() == Some(NO_GROUP) => {
                self.make_group(stream, group).await?;
                self.shared.run_one(command).await
            }
            answered => answered,
        }
    }

    async fn make_group(&self, stream: &str, group: &str) -> Result<(), RouterError> {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(self.shared.keys.topics(stream)).arg(group).arg("0").arg("MKSTREAM");
        match self.shared.run_one(command).await {
            Err(RouterError::Refused(error)) if error.code() == Some(GROUP_EXISTS) => Ok(()),
            answered => answered.map(|_| ()),
        }
    }
}

/// The one stream's entries in an answer to a reading: a map from its key with RESP3, pairs in a list without.
fn streams(answer: &Value) -> Option<&Value> {
    match answer {
        Value::Map(pairs) => pairs.first().map(|(_, entries)| entries),
        other => value::array(other)?.first().and_then(value::array)?.get(1),
    }
}

fn entries(list: &Value) -> Vec<TopicEntry> {
    value::array(list).unwrap_or_default().iter().filter_map(entry).collect()
}

/// An entry that was trimmed meanwhile has no fields: there is nothing to be done with it.
fn entry(value: &Value) -> Option<TopicEntry> {
    let [place, fields] = value::array(value)? else { return None };
    let [_, topic, _, payload] = value::array(fields)? else { return None };
    let text = |value| value::text(value).map(str::to_owned);
    Some(TopicEntry { place: text(place)?, topic: text(topic)?, payload: text(payload)? })
}

/// A line of `XINFO GROUPS`: a map with RESP3, names and values in turn without.
fn group_state(line: &Value, entries: u64) -> Option<GroupState> {
    let find = |wanted: &str| match line {
        Value::Map(pairs) => {
            pairs.iter().find(|(name, _)| value::text(name) == Some(wanted)).map(|(_, value)| value.clone())
        }
        other => {
            let pairs = value::array(other)?.chunks_exact(2);
            pairs
                .filter(|pair| pair.first().and_then(value::text) == Some(wanted))
                .find_map(|pair| pair.get(1).cloned())
        }
    };
    let name = value::text(&find("name")?)?.to_owned();
    let unread = find("lag").as_ref().and_then(value::unsigned).unwrap_or(entries);
    let pending = find("pending").as_ref().and_then(value::unsigned).unwrap_or(0);
    let read_to = value::text(&find("last-delivered-id")?)?.to_owned();
    Some(GroupState { name, unread, pending, read_to })
}
