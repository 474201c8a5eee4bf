//! By what a user is found: the username, and the display name from the beginning of each of its words on. Scripts that are written
//! without spaces have a beginning at every character, so that one or two characters from within a name find it, too.

use std::collections::BTreeMap;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

use super::account::fold;
use super::refusal::Refusal;
use super::text::{DISPLAY_NAME_MAX, check_length};

/// Longest name that is kept or looked for, in code points; folding can make a text longer.
const NAME_MAX: usize = 100;
/// Longest word that similar ones are looked for, in code points.
const WORD_MAX: usize = 50;
/// Names of one user at most.
const NAMES_MAX: usize = 64;
/// Shorter words have no similar ones, in code points.
const SIMILAR_MIN: usize = 3;

/// One of the names of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchName {
    pub name: String,
    /// The word that it begins with, where it is a whole one.
    pub word: Option<String>,
}

/// All names of a user, each once.
pub fn names_of(username: Option<&str>, display_name: &str) -> Vec<SearchName> {
    let mut names = BTreeMap::new();
    for text in username.into_iter().chain([display_name]) {
        for found in beginnings(&plain(text)) {
            let word = names.entry(found.name).or_insert(None);
            *word = word.take().or(found.word);
        }
    }
    names.into_iter().map(|(name, word)| SearchName { name, word }).take(NAMES_MAX).collect()
}

/// What somebody looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// Names from here on,
    pub beginning: String,
    /// and before this, begin with it.
    pub end: String,
    /// Its longest word, if there can be similar ones.
    pub word: Option<String>,
}

impl SearchQuery {
    /// None where nothing is left to look for.
    pub fn parse(field: &'static str, text: &str) -> Result<Option<Self>, Refusal> {
        check_length(field, text, 0, DISPLAY_NAME_MAX)?;
        let beginning = cut(&plain(text), NAME_MAX);
        if beginning.is_empty() {
            return Ok(None);
        }
        let words = beginning.split(|character| !is_of_word(character));
        let word = words.max_by_key(|word| word.chars().count()).filter(|word| word.chars().count() >= SIMILAR_MIN);
        Ok(Some(Self {
            end: format!("{beginning}{}", char::MAX),
            word: word.map(|word| cut(word, WORD_MAX)),
            beginning,
        }))
    }
}

/// Folded, with single spaces.
fn plain(text: &str) -> String {
    fold(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

/// The whole text, and the rest of it from each beginning on.
fn beginnings(text: &str) -> Vec<SearchName> {
    let mut found = Vec::new();
    let mut before: Option<char> = None;
    for (index, character) in text.char_indices() {
        let is_first_of_word = is_of_word(character) && !before.is_some_and(is_of_word);
        let is_within =
            is_of_word(character) && !is_mark(character) && (is_unspaced(character) || before.is_some_and(is_unspaced));
        if index == 0 || is_first_of_word || is_within {
            let rest = text.get(index..).unwrap_or_default();
            let word = rest.split(|character| !is_of_word(character)).next().filter(|_| is_first_of_word);
            found.push(SearchName { name: cut(rest, NAME_MAX), word: word.map(|word| cut(word, WORD_MAX)) });
        }
        before = Some(character);
    }
    found
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || is_mark(character)
}

fn is_mark(character: char) -> bool {
    character.general_category_group() == GeneralCategoryGroup::Mark
}

/// Of scripts that do not set words, or given names, apart.
const fn is_unspaced(character: char) -> bool {
    matches!(character,
        '\u{0e00}'..='\u{0eff}'       // Thai, Lao
        | '\u{1000}'..='\u{109f}'     // Myanmar
        | '\u{1780}'..='\u{17ff}'     // Khmer
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}'     // Hiragana, Katakana
        | '\u{3100}'..='\u{312f}'     // Bopomofo
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'     // Han
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}'     // Hangul
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(username: Option<&str>, display_name: &str) -> Vec<(String, Option<String>)> {
        names_of(username, display_name).into_iter().map(|found| (found.name, found.word)).collect()
    }

    fn owned(pairs: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        pairs.iter().map(|(name, word)| ((*name).to_owned(), word.map(str::to_owned))).collect()
    }

    #[test]
    fn every_word_begins_a_name() {
        let expected = [
            ("al", Some("al")),
            ("jean-pierre o'neill", Some("jean")),
            ("neill", Some("neill")),
            ("o'neill", Some("o")),
            ("pierre o'neill", Some("pierre")),
        ];
        assert_eq!(names(Some("AL"), "  Jean-Pierre\u{3000}O'Neill "), owned(&expected));
    }

    #[test]
    fn scripts_without_spaces_begin_anywhere() {
        assert_eq!(names(None, "李小龙"), owned(&[("小龙", None), ("李小龙", Some("李小龙")), ("龙", None)]));
        assert_eq!(names(None, "ab李"), owned(&[("ab李", Some("ab李")), ("李", None)]));
        let thai = names(None, "น้ำ");
        assert!(thai.iter().all(|(name, _)| !name.starts_with('\u{0e49}')), "a mark begins nothing: {thai:?}");
        assert_eq!(names(None, "नमस्ते दुनिया").len(), 2);
    }

    #[test]
    fn what_is_no_word_is_found_by_its_beginning() {
        assert_eq!(names(None, "🎉 party"), owned(&[("party", Some("party")), ("🎉 party", None)]));
        assert_eq!(names(None, "100%_a"), owned(&[("100%_a", Some("100")), ("a", Some("a"))]));
    }

    #[test]
    fn names_are_bounded() {
        let long = "\u{fdfa}".repeat(100);
        assert!(names_of(Some(&long), &"李 ".repeat(50)).len() <= NAMES_MAX);
        assert!(names_of(Some(&long), "x").iter().all(|found| found.name.chars().count() <= NAME_MAX));
    }

    #[test]
    fn a_query_is_folded_and_taken_as_it_is() {
        let query = SearchQuery::parse("query", "  STRASSE  Li ").unwrap().unwrap();
        assert_eq!((query.beginning.as_str(), query.word.as_deref()), ("strasse li", Some("strasse")));
        assert!(query.beginning < query.end && "strasse lim" < query.end.as_str());
        assert_eq!(SearchQuery::parse("query", "  ").unwrap(), None);
        assert_eq!(SearchQuery::parse("query", "%_").unwrap().unwrap().beginning, "%_");
        assert_eq!(SearchQuery::parse("query", "a\0"), Err(Refusal::InvalidText("query".into())));
        assert!(SearchQuery::parse("query", &"x".repeat(101)).is_err());
    }
}
