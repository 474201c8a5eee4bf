//! Names and addresses of accounts: what may be one, and when two are the same.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use super::refusal::Refusal;
use super::text::{check_length, check_text};

/// Shortest and longest username, in code points.
pub const USERNAME_MIN: usize = 3;
pub const USERNAME_MAX: usize = 50;
/// Shortest (`a@b`) and longest email address (RFC 5321), in code points.
pub const EMAIL_MIN: usize = 3;
pub const EMAIL_MAX: usize = 254;

/// A username as its user wrote it, and the key by which it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    pub shown: String,
    pub key: String,
}

impl Username {
    /// Letters with their marks, digits, and `_.-`, of any script.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        check_length("username", text, USERNAME_MIN, USERNAME_MAX)?;
        if has_only_name_characters(text) {
            Ok(Self { shown: text.to_owned(), key: fold(text) })
        } else {
            Err(Refusal::field("username", "may have letters, digits and _ . - only"))
        }
    }
}

/// A mark needs a letter (or another mark) before it.
fn has_only_name_characters(text: &str) -> bool {
    let mut may_be_marked = false;
    text.chars().all(|character| {
        let is_mark = matches!(
            character.general_category(),
            GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark
        );
        if is_mark {
            return may_be_marked;
        }
        let is_letter = matches!(
            character.general_category(),
            GeneralCategory::UppercaseLetter
                | GeneralCategory::LowercaseLetter
                | GeneralCategory::TitlecaseLetter
                | GeneralCategory::ModifierLetter
                | GeneralCategory::OtherLetter
        );
        may_be_marked = is_letter;
        is_letter
            || character.general_category() == GeneralCategory::DecimalNumber
            || matches!(character, '_' | '.' | '-')
    })
}

/// An email address as written, and the key by which it is compared. Whether mail reaches it is not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    pub shown: String,
    pub key: String,
}

impl Email {
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        check_length("email", text, EMAIL_MIN, EMAIL_MAX)?;
        let has_space = text.chars().any(|character| character.is_whitespace() || character.is_control());
        match text.rsplit_once('@') {
            Some((local, host)) if !local.is_empty() && !host.is_empty() && !has_space => {
                Ok(Self { shown: text.to_owned(), key: fold(text) })
            }
            _ => Err(Refusal::field("email", "is no email address")),
        }
    }
}

/// By what a login names its account; anything at all may be given, only what is no text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountKey {
    Username(String),
    Email(String),
}

impl AccountKey {
    pub fn username(text: &str) -> Result<Self, Refusal> {
        check_text("username", text)?;
        Ok(Self::Username(fold(&cut(text))))
    }

    pub fn email(text: &str) -> Result<Self, Refusal> {
        check_text("email", text)?;
        Ok(Self::Email(fold(&cut(text))))
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Username(key) | Self::Email(key) => key,
        }
    }
}

/// What is longer than any name is not looked at whole.
fn cut(text: &str) -> String {
    text.chars().take(EMAIL_MAX + 1).collect()
}

/// NFKC and full case folding: two texts with the same key are the same to people.
pub fn fold(text: &str) -> String {
    let folded: String = text.nfkc().flat_map(fold_character).collect();
    folded.nfkc().collect()
}

/// Lower, upper, lower: what Unicode's CaseFolding.txt (C and F) gives, `ß`, `ẞ` and `ss` among it; the dotless i stays what it is.
fn fold_character(character: char) -> impl Iterator<Item = char> {
    let is_dotless = character == 'ı';
    let upper = |lower: char| if is_dotless { lower.to_string() } else { lower.to_uppercase().collect() };
    let folded: String = character.to_lowercase().map(upper).collect();
    let folded: String = if is_dotless { folded } else { folded.chars().flat_map(char::to_lowercase).collect() };
    folded.chars().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_letters_of_any_script() {
        for good in
            ["alice", "Al.ice_1-", "李小龙", "नमस्ते", "Ωμέγα", "мария", "عربي", "e\u{301}te\u{301}", "١٢٣", "ñandú"]
        {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "al",
            "a b c",
            "a@b",
            "💥💥💥",
            "\u{301}abc",
            "ab\0",
            "a\u{200d}bc",
            "\u{202e}abc",
            "1\u{301}23",
            "a/b",
            &"x".repeat(51),
        ] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Username::parse("ab\0"), Err(Refusal::InvalidText("username".into())));
        assert!(Username::parse(&"李".repeat(50)).is_ok());
    }

    #[test]
    fn names_that_look_the_same_are_the_same() {
        for (one, other) in [
            ("Alice", "aLICE"),
            ("Ａlice", "alice"),
            ("straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "οδος"),
            ("ﬁsh", "FISH"),
            ("e\u{301}te", "été".get(..4).unwrap_or("éte")),
            ("Ǆ", "ǆ"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("ıspanak"), fold("ispanak"));
        assert_ne!(fold("ete"), fold("été"));
    }

    #[test]
    fn folding_again_changes_nothing() {
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = character.to_string();
            let once = fold(&text);
            assert_eq!(fold(&once), once, "{character:?}");
        }
    }

    #[test]
    fn emails_have_two_parts() {
        assert!(Email::parse("A@example.org").is_ok_and(|email| email.key == "a@example.org"));
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b\n"] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }
}
