//! What happens, by topic: words joined by dots, from the general to the particular. Who wants to know of some subscribes to a pattern.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::ids::{ConversationId, UserId};
use super::refusal::Refusal;
use super::text::check_length;
use super::timestamp::Timestamp;

/// Longest pattern, in code points, and most words of one.
pub const PATTERN_MAX: usize = 200;
const WORDS_MAX: usize = 8;
/// In a pattern: any one word, and, at its end, all that follows.
const ANY_WORD: &str = "*";
const ANY_REST: &str = "#";

/// The stream of this cluster's own consumers; those of programs outside have names of their own.
pub const OWN_STREAM: &str = "own";

/// The topics there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A message was sent into this conversation.
    Message(ConversationId),
    /// The members of this conversation are told, by an entry of its log, that the conversation itself has changed: who is in it, what
    /// they may do, what it is called, or that it has ended.
    Notice(ConversationId),
    /// A user is to be seen as online, away or busy.
    UserOnline(UserId),
    Broadcast,
    /// Somebody has reported an event.
    Event,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(conversation) => write!(f, "chat.message.conversation.{conversation}"),
            Self::Notice(conversation) => write!(f, "system.notification.conversation.{conversation}"),
            Self::UserOnline(user) => write!(f, "user.status.online.{user}"),
            Self::Broadcast => f.write_str("system.broadcast"),
            Self::Event => f.write_str("system.event"),
        }
    }
}

impl Topic {
    /// How the topics of what lanes write begin.
    pub const OF_ENTRIES: [&[&str]; 2] =
        [&["chat", "message", "conversation"], &["system", "notification", "conversation"]];
}

/// Which topics somebody wants to know of: `chat.message.conversation.*`, `system.#`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        check_length("pattern", text, 1, PATTERN_MAX)?;
        let words: Vec<&str> = text.split('.').collect();
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
        };
        let last = words.len().saturating_sub(1);
        let is_good =
            |(index, word): (usize, &&str)| *word == ANY_WORD || (*word == ANY_REST && index == last) || is_word(word);
        if words.len() <= WORDS_MAX && words.iter().enumerate().all(is_good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refusal::field(
                "pattern",
                "must be words joined by dots, * for any word, # at the end for all that follows",
            ))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, topic: &str) -> bool {
        let mut words = topic.split('.');
        for wanted in self.0.split('.') {
            if wanted == ANY_REST {
                return true;
            }
            if !words.next().is_some_and(|word| wanted == ANY_WORD || wanted == word) {
                return false;
            }
        }
        words.next().is_none()
    }

    /// Whether it can match some topic that begins with these words.
    pub fn may_match_within(&self, words: &[&str]) -> bool {
        let mut own = self.0.split('.');
        for word in words {
            match own.next() {
                Some(ANY_REST) => return true,
                Some(wanted) if wanted == ANY_WORD || wanted == *word => {}
                _ => return false,
            }
        }
        own.next().is_some()
    }
}

/// What is to be done about what matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consumer {
    /// Every administrator is notified.
    Alert,
    /// It is kept in the audit log.
    Audit,
}

impl Consumer {
    pub const ALL: [Self; 2] = [Self::Alert, Self::Audit];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Audit => "audit",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|consumer| consumer.as_str() == text)
    }
}

/// What somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub id: Uuid,
    pub consumer: Consumer,
    pub pattern: Pattern,
    /// Only what has at least this level; what has none always counts.
    pub level: Option<String>,
}

/// A subscription, with who wished it when: what happened before is none of its business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub subscription: Subscription,
    pub created_by: UserId,
    pub created_at: Timestamp,
}

/// Levels of reports, from the least.
const LEVELS: [&str; 5] = ["debug", "info", "warning", "error", "critical"];

impl Subscription {
    pub fn wants(&self, topic: &str, payload: &Value) -> bool {
        self.pattern.matches(topic) && self.is_level_enough(payload)
    }

    fn is_level_enough(&self, payload: &Value) -> bool {
        let place = |level: &str| LEVELS.iter().position(|known| *known == level);
        let least = self.level.as_deref().and_then(place);
        let level = payload.get("level").and_then(Value::as_str).and_then(place);
        match (least, level) {
            (Some(least), Some(level)) => level >= least,
            _ => true,
        }
    }

    /// A level that a subscription can name.
    pub fn is_level(text: &str) -> bool {
        LEVELS.contains(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_match_word_by_word() {
        for (text, topic, is_match) in [
            ("system.event", "system.event", true),
            ("system.event", "system.events", false),
            ("system.event", "system.event.x", false),
            ("system.*", "system.event", true),
            ("system.*", "system.a.b", false),
            ("system.*", "system", false),
            ("system.#", "system.a.b", true),
            ("#", "anything.at.all", true),
            ("chat.message.*.7", "chat.message.conversation.7", true),
            ("*.status.online.*", "user.status.online.7", true),
        ] {
            assert_eq!(pattern(text).matches(topic), is_match, "{text} {topic}");
        }
        for bad in ["", ".", "a..b", "a.#.b", "A", "a b", "ä", &"a".repeat(201), "a.b.c.d.e.f.g.h.i", "a%"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_says_what_it_can_match() {
        for (text, can) in [
            ("chat.#", true),
            ("#", true),
            ("*.message.conversation.*", true),
            ("chat.message.conversation.7", true),
            ("chat.message", false),
            ("system.#", false),
        ] {
            assert_eq!(pattern(text).may_match_within(&["chat", "message"]), can, "{text}");
        }
    }

    #[test]
    fn levels_are_compared_where_there_are_any() {
        let mut rule = Subscription {
            id: Uuid::nil(),
            consumer: Consumer::Alert,
            pattern: pattern("#"),
            level: Some("error".into()),
        };
        assert!(rule.wants("a", &json!({"level": "critical"})) && !rule.wants("a", &json!({"level": "warning"})));
        assert!(rule.wants("a", &json!({})));
        rule.level = None;
        assert!(rule.wants("a", &json!({"level": "debug"})));
    }
}
