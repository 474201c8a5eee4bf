//! Fields of client requests, read leniently: a value of the wrong type is remembered as wrong, so that the refusal can name the
//! field, instead of failing the whole document without saying where.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

use crate::domain::text::check_length;
use crate::domain::{FieldError, Refusal};

/// A field that should be text. `null` counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Text {
    #[default]
    Absent,
    Given(String),
    /// Some other type.
    Wrong,
}

impl Text {
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The text, where it can be told back to the client: at most `max` code points, without U+0000.
    pub fn shown(&self, max: usize) -> Option<String> {
        match self {
            Self::Given(text) if !text.contains('\0') && text.chars().count() <= max => Some(text.clone()),
            _ => None,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Given(text.to_owned())
    }
}

/// A field that should be a whole number or true or false. `null` counts as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scalar {
    #[default]
    Absent,
    Whole(i64),
    Flag(bool),
    Wrong,
}

/// Reads a field of any JSON type: what is of another type than wanted is `Wrong`, and `null` is `Absent`. The body says what is wanted.
macro_rules! lenient {
    ($name:ident, $visitor:ident { $($body:tt)* }) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }

        struct $visitor;

        impl<'de> Visitor<'de> for $visitor {
            type Value = $name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<$name, E> {
                Ok($name::Absent)
            }
            fn visit_none<E>(self) -> Result<$name, E> {
                Ok($name::Absent)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_any(self)
            }
            fn visit_f64<E>(self, _: f64) -> Result<$name, E> {
                Ok($name::Wrong)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<$name, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok($name::Wrong)
            }
            $($body)*
        }
    };
}

pub(super) use lenient;

lenient!(Text, TextVisitor {
    fn visit_str<E>(self, value: &str) -> Result<Text, E> {
        Ok(Text::Given(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Text, E> {
        Ok(Text::Given(value))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text::Wrong)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text::Wrong)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text::Wrong)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Text, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::Wrong)
    }
});

lenient!(Scalar, ScalarVisitor {
    fn visit_str<E>(self, _: &str) -> Result<Scalar, E> {
        Ok(Scalar::Wrong)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(i64::try_from(value).unwrap_or(i64::MAX)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Wrong)
    }
});

/// Collects what is wrong with a request; the refusal names all fields at once.
#[derive(Debug, Default)]
pub struct Faults {
    errors: Vec<FieldError>,
    invalid_text: Option<Cow<'static, str>>,
}

impl Faults {
    pub fn add(&mut self, field: &'static str, message: &'static str) {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Takes over what a check refused.
    pub fn take<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(Refusal::InvalidRequest(errors)) => self.errors.extend(errors),
            Err(Refusal::InvalidText(field)) => self.invalid_text = Some(field),
            Err(_) => self.add("", "is not valid"),
        }
        None
    }

    pub fn check(self) -> Result<(), Refusal> {
        if !self.errors.is_empty() {
            return Err(Refusal::InvalidRequest(self.errors));
        }
        self.invalid_text.map_or(Ok(()), |field| Err(Refusal::InvalidText(field)))
    }

    /// Text that must be there, of `min` to `max` code points.
    pub fn text(&mut self, field: &'static str, value: Text, min: usize, max: usize) -> Option<String> {
        match value {
            Text::Absent => {
                self.add(field, "is required");
                None
            }
            value => self.optional_text(field, value, min, max),
        }
    }

    /// Text that may be left out.
    pub fn optional_text(&mut self, field: &'static str, value: Text, min: usize, max: usize) -> Option<String> {
        match value {
            Text::Absent => None,
            Text::Wrong => {
                self.add(field, "must be text");
                None
            }
            Text::Given(text) => {
                self.take(check_length(field, &text, min, max))?;
                Some(text)
            }
        }
    }

    /// An id that must be there.
    pub fn id(&mut self, field: &'static str, value: &Text) -> Option<Uuid> {
        if value.is_absent() {
            self.add(field, "is required");
            return None;
        }
        self.optional_id(field, value)
    }

    /// An id that may be left out.
    pub fn optional_id(&mut self, field: &'static str, value: &Text) -> Option<Uuid> {
        match value {
            Text::Absent => return None,
            Text::Given(text) => {
                if let Ok(id) = Uuid::parse_str(text) {
                    return Some(id);
                }
            }
            Text::Wrong => {}
        }
        self.add(field, "must be a UUID");
        None
    }

    /// A whole number that may be left out.
    pub fn optional_whole(&mut self, field: &'static str, value: Scalar) -> Option<i64> {
        match value {
            Scalar::Absent => None,
            Scalar::Whole(number) => Some(number),
            Scalar::Flag(_) | Scalar::Wrong => {
                self.add(field, "must be a whole number");
                None
            }
        }
    }

    /// True or false, which must be there.
    pub fn flag(&mut self, field: &'static str, value: Scalar) -> bool {
        match value {
            Scalar::Flag(flag) => return flag,
            Scalar::Absent => self.add(field, "is required"),
            Scalar::Whole(_) | Scalar::Wrong => self.add(field, "must be true or false"),
        }
        false
    }
}
