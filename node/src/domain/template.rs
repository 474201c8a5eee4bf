//! Templates of notifications: text with `{{word}}`, in several languages.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::TemplateId;
use super::notification::NotificationKind;
use super::refusal::Refusal;
use super::text::{
    CONTENT_MAX, NOTIFICATION_TITLE_MAX, TEMPLATE_LANGUAGES_MAX, TEMPLATE_NAME_MAX, check_length, check_text,
};
use super::timestamp::Timestamp;

/// Filled in, no text is longer in bytes; what is too long in code points is refused after.
const RENDERED_BYTES_MAX: usize = 4 * CONTENT_MAX;
/// Longest name of a language (BCP 47).
const LANGUAGE_MAX: usize = 35;

/// Title and content in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wording {
    #[schemars(length(min = 1, max = NOTIFICATION_TITLE_MAX))]
    pub title: String,
    #[schemars(length(min = 1, max = CONTENT_MAX))]
    pub content: String,
}

impl Wording {
    fn check(&self) -> Result<(), Refusal> {
        check_length("title", &self.title, 1, NOTIFICATION_TITLE_MAX)?;
        check_length("content", &self.content, 1, CONTENT_MAX)
    }
}

/// What administrators keep under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Template {
    pub id: TemplateId,
    pub name: String,
    pub r#type: NotificationKind,
    #[serde(flatten)]
    pub wording: Wording,
    pub languages: BTreeMap<String, Wording>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Template {
    /// Refuses what cannot be kept.
    pub fn check(&self) -> Result<(), Refusal> {
        check_length("name", &self.name, 1, TEMPLATE_NAME_MAX)?;
        self.wording.check()?;
        if self.languages.len() > TEMPLATE_LANGUAGES_MAX {
            return Err(Refusal::field("languages", "has more than 50 languages"));
        }
        let mut known = BTreeSet::new();
        for (language, wording) in &self.languages {
            if !known.insert(language.to_ascii_lowercase()) {
                return Err(Refusal::field("languages", "has a language twice"));
            }
            let is_tag = language.chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
            if !is_tag || language.is_empty() || language.len() > LANGUAGE_MAX {
                return Err(Refusal::field("languages", "has a key that is no language"));
            }
            wording.check().map_err(|refusal| match refusal {
                Refusal::InvalidText(_) => Refusal::InvalidText("languages".into()),
                _ => Refusal::field("languages", "has a title or content that is empty or too long"),
            })?;
        }
        Ok(())
    }

    /// The wording in a language, such as `zh-Hant-TW`: its own, that of `zh-Hant`, of `zh`, or the template's (RFC 4647, 3.4).
    pub fn wording_in(&self, language: Option<&str>) -> &Wording {
        let mut wanted = language.unwrap_or_default();
        loop {
            let found = self.languages.iter().find(|(language, _)| language.eq_ignore_ascii_case(wanted));
            if let Some((_, wording)) = found {
                return wording;
            }
            let Some((shorter, _)) = wanted.rsplit_once('-') else { return &self.wording };
            wanted = shorter;
        }
    }
}

/// What stands for `{{word}}`: texts, and numbers and flags as they are written.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn parse(values: &BTreeMap<String, Value>) -> Result<Self, Refusal> {
        let mut variables = BTreeMap::new();
        for (name, value) in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => return Err(Refusal::field("variables", "must be texts, numbers or flags")),
            };
            check_text("variables", &text)?;
            variables.insert(name.clone(), text);
        }
        Ok(Self(variables))
    }

    /// Fills a text in. What is filled in is not looked at again. A word without a value is refused.
    pub fn fill(&self, text: &str) -> Result<String, Refusal> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            filled.push_str(before);
            let word = after.split_once("}}").map(|(word, tail)| (word.trim(), tail)).filter(|(word, _)| is_word(word));
            if let Some((word, tail)) = word {
                let value =
                    self.0.get(word).ok_or_else(|| Refusal::field("variables", format!("{word} is missing")))?;
                filled.push_str(value);
                rest = tail;
            } else {
                filled.push_str("{{");
                rest = after;
            }
            if filled.len() > RENDERED_BYTES_MAX {
                return Err(Refusal::field("variables", "make the text too long"));
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(json: Value) -> Variables {
        Variables::parse(&serde_json::from_value(json).unwrap()).unwrap()
    }

    #[test]
    fn words_are_filled_in_once() {
        let variables = variables(serde_json::json!({"name": "{{other}}", "count": 3, "on": true, "名前": "李"}));
        let fill = |text| variables.fill(text);
        assert_eq!(fill("Hi {{name}}, {{ count }} {{on}} {{名前}}").unwrap(), "Hi {{other}}, 3 true 李");
        assert_eq!(fill("{{}} {{a b}} {{ {name} }} {{").unwrap(), "{{}} {{a b}} {{ {name} }} {{");
        assert_eq!(fill("{{{name}}}").unwrap(), "{{{name}}}");
        assert_eq!(fill("").unwrap(), "");
        assert!(fill("{{missing}}").is_err());
        assert!(fill(&"{{name}}".repeat(10_000)).is_err());
        assert!(Variables::parse(&BTreeMap::from([("a".to_owned(), Value::Null)])).is_err());
    }

    #[test]
    fn a_language_falls_back_to_its_family_and_then_to_the_template() {
        let wording = |text: &str| Wording { title: text.to_owned(), content: text.to_owned() };
        let template = Template {
            id: TemplateId::random(),
            name: "welcome".to_owned(),
            r#type: NotificationKind::System,
            wording: wording("base"),
            languages: BTreeMap::from([("zh".to_owned(), wording("zh")), ("zh-TW".to_owned(), wording("zh-TW"))]),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        assert_eq!(template.check(), Ok(()));
        for (asked, got) in [
            (None, "base"),
            (Some("fr"), "base"),
            (Some("zh-CN"), "zh"),
            (Some("ZH-tw"), "zh-TW"),
            (Some("zh-TW-x-private"), "zh-TW"),
            (Some("zho"), "base"),
            (Some(""), "base"),
        ] {
            assert_eq!(template.wording_in(asked).title, got, "{asked:?}");
        }
        let two = |one: &str, other: &str| {
            let languages = BTreeMap::from([(one.to_owned(), wording("1")), (other.to_owned(), wording("2"))]);
            Template { languages, ..template.clone() }.check()
        };
        assert!(two("zh", "en").is_ok() && two("zh", "ZH").is_err(), "one language is not two");
    }
}
