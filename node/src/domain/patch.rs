//! A field of a PATCH: absent, null, or a value.

use serde::{Deserialize, Deserializer};

/// Use with `#[serde(default)]`: absent keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Absent is `None`, null is `Some(None)`: as commands have it.
    pub fn into_change(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }

    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_null_and_a_value_are_told_apart() {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            field: Patch<String>,
        }
        let field = |json| serde_json::from_str::<Body>(json).unwrap().field;
        assert_eq!(["{}", r#"{"field":null}"#].map(|json| field(json).into_change()), [None, Some(None)]);
        assert_eq!(field(r#"{"field":"x"}"#).into_change(), Some(Some("x".to_owned())));
        assert_eq!(field("{}"), Patch::Keep);
        assert_eq!(field(r#"{"field":null}"#), Patch::Clear);
        assert_eq!(field(r#"{"field":"x"}"#), Patch::Set("x".to_owned()));
    }
}
