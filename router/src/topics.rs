//! Events for whoever subscribes: one stream, read by groups of consumers. Each entry comes to one consumer of each group, and again to
//! another one if it is not acknowledged in time. What is lost with Redis's data is appended again by the one who has it.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use crate::lock::millis;
use crate::{Router, RouterError, value};

/// Entries that are kept, some more for speed: what consumers have not read by then is lost to them here.
const ENTRIES_MAX: usize = 100_000;
/// Redis's answer to making a group that is there.
const GROUP_EXISTS: &str = "BUSYGROUP";
/// Redis's answer to reading with a group that is not there.
const NO_GROUP: &str = "NOGROUP";

/// What a consumer got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicEntry {
    /// Its place in the stream, to acknowledge it by.
    pub place: String,
    pub topic: String,
    pub payload: String,
}

impl Router {
    /// Appends entries of topic and payload, in this order, in one round trip.
    pub async fn append_topics(&self, entries: &[(String, String)]) -> Result<(), RouterError> {
        let key = self.shared.keys.topics();
        let mut pipeline = Pipeline::with_capacity(entries.len());
        for (topic, payload) in entries {
            let mut command = redis::cmd("XADD");
            command.arg(&key).arg("MAXLEN").arg("~").arg(ENTRIES_MAX).arg("*");
            command.arg("t").arg(topic).arg("p").arg(payload);
            pipeline.add_command(command);
        }
        self.shared.run(&pipeline).await.map(|_| ())
    }

    /// Up to `count` entries that no consumer of this group had yet. A group that is not there begins with all that is kept.
    pub async fn read_topics(&self, group: &str, count: usize) -> Result<Vec<TopicEntry>, RouterError> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(group).arg(self.node_id().as_str()).arg("COUNT").arg(count);
        command.arg("STREAMS").arg(self.shared.keys.topics()).arg(">");
        let answer = self.ask_group(group, command).await?;
        Ok(streams(&answer).map(entries).unwrap_or_default())
    }

    /// Up to `count` entries that some consumer of this group has had for longer than `idle` without acknowledging them.
    pub async fn claim_topics(
        &self,
        group: &str,
        idle: Duration,
        count: usize,
    ) -> Result<Vec<TopicEntry>, RouterError> {
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(self.shared.keys.topics()).arg(group).arg(self.node_id().as_str()).arg(millis(idle));
        command.arg("0-0").arg("COUNT").arg(count);
        let answer = self.ask_group(group, command).await?;
        let Some([_, found, ..]) = value::array(&answer) else { return Ok(Vec::new()) };
        Ok(entries(found))
    }

    /// How often this entry was given to a consumer of the group.
    pub async fn tries_of(&self, group: &str, place: &str) -> Result<u64, RouterError> {
        let mut command = redis::cmd("XPENDING");
        command.arg(self.shared.keys.topics()).arg(group).arg(place).arg(place).arg(1);
        let answer = self.shared.run_one(command).await?;
        let line = value::array(&answer).and_then(<[Value]>::first).and_then(value::array);
        Ok(line.and_then(|line| line.get(3)).and_then(value::unsigned).unwrap_or(0))
    }

    /// These need not come again.
    pub async fn acknowledge_topics(&self, group: &str, places: &[String]) -> Result<(), RouterError> {
        if places.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("XACK");
        command.arg(self.shared.keys.topics()).arg(group).arg(places);
        self.shared.run_one(command).await.map(|_| ())
    }

    /// Asks in the name of a group, which is made where it is missing.
    async fn ask_group(&self, group: &str, command: Cmd) -> Result<Value, RouterError> {
        match self.shared.run_one(command.clone()).await {
            Err(RouterError::Refused(error)) if error.code() == Some(NO_GROUP) => {
                self.make_group(group).await?;
                self.shared.run_one(command).await
            }
            answered => answered,
        }
    }

    async fn make_group(&self, group: &str) -> Result<(), RouterError> {
        let mut command = redis::cmd("XGROUP");
        command.arg("CREATE").arg(self.shared.keys.topics()).arg(group).arg("0").arg("MKSTREAM");
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
