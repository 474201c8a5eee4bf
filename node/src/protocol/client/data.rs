//! `data` of a client's frame: the fields of all frames together, read leniently.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::FRAME_ID_MAX;
use crate::domain::Refusal;
use crate::protocol::field::{Scalar, Text, lenient};
use crate::protocol::send::SendData;

/// Fields of all frames together: which are meant says `type`, which may come after them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Data {
    pub temp_id: Text,
    pub receiver_id: Text,
    pub conversation_id: Text,
    pub group_id: Text,
    pub message_type: Text,
    pub content: Text,
    pub file_id: Text,
    pub reply_to: Text,
    pub mentions: Option<Value>,
    pub metadata: Option<Value>,
    pub message_id: Text,
    pub emoji: Text,
    pub add: Scalar,
    pub seq: Scalar,
    pub is_typing: Scalar,
    pub status: Text,
    pub cursor: Text,
    pub conversations: Option<Value>,
    pub seen: Option<Value>,
    pub limit: Scalar,
}

impl Data {
    pub fn into_send(self) -> SendData {
        SendData {
            temp_id: self.temp_id,
            receiver_id: self.receiver_id,
            conversation_id: self.conversation_id,
            group_id: self.group_id,
            message_type: self.message_type,
            content: self.content,
            file_id: self.file_id,
            reply_to: self.reply_to,
            mentions: self.mentions,
            metadata: self.metadata,
        }
    }
}

/// A field that should be an object.
#[derive(Debug, Default)]
pub enum DataField {
    #[default]
    Absent,
    Given(Box<Data>),
    Wrong,
}

impl DataField {
    /// Its fields; where there is none each field is missing.
    pub fn given(self) -> Result<Box<Data>, Refusal> {
        match self {
            Self::Given(data) => Ok(data),
            Self::Absent => Ok(Box::default()),
            Self::Wrong => Err(Refusal::field("data", "must be an object")),
        }
    }

    pub fn temp_id(&self) -> Option<String> {
        match self {
            Self::Given(data) => data.temp_id.shown(FRAME_ID_MAX),
            _ => None,
        }
    }
}

lenient!(DataField, DataVisitor {
    fn visit_str<E>(self, _: &str) -> Result<DataField, E> {
        Ok(DataField::Wrong)
    }
    fn visit_bool<E>(self, _: bool) -> Result<DataField, E> {
        Ok(DataField::Wrong)
    }
    fn visit_i64<E>(self, _: i64) -> Result<DataField, E> {
        Ok(DataField::Wrong)
    }
    fn visit_u64<E>(self, _: u64) -> Result<DataField, E> {
        Ok(DataField::Wrong)
    }
    fn visit_map<A: MapAccess<'de>>(self, items: A) -> Result<DataField, A::Error> {
        Data::deserialize(MapAccessDeserializer::new(items)).map(|data| DataField::Given(Box::new(data)))
    }
});
