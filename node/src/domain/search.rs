//! What a search looks for, and what the index keeps of a text. Words of scripts that put spaces between them count whole; of those
//! that do not (Chinese, Japanese, Korean, Thai and their kin) every piece counts, by its single characters and pairs of them; of
//! everything else each character is a word of its own, so that no character of a search means anything but itself.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

use super::ids::UserId;
use super::refusal::Refusal;
use super::text::check_length;

/// Greatest search, in code points.
pub const QUERY_MAX: usize = 200;
/// Bits of a block of the index, as the database keeps them.
pub const BITS: usize = 8_192;
/// Bits set for each word. Four, where a fifth of all is set: one block in 500 is looked at in vain for one word.
const BITS_PER_WORD: u32 = 4;
/// A block with more bits set takes no further message: some 450 words.
pub const BITS_SET_MAX: u32 = 1_600;
/// Published key of the words' hash: the index is made with it.
const KEY: (u64, u64) = (0x4865_7261_6c64_2073, 0x6561_7263_685f_6964);

/// What a character is to a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Part of a word that counts whole.
    Whole,
    /// Of a script without spaces.
    Piece,
    Symbol,
    Space,
}

/// Code points of scripts that are written without spaces between words, or whose words carry endings (Korean).
const PIECES: &[(u32, u32)] = &[
    (0x0e00, 0x0eff),
    (0x1000, 0x109f),
    (0x1100, 0x11ff),
    (0x1780, 0x17ff),
    (0x2e80, 0x2fff),
    (0x3005, 0x3007),
    (0x3021, 0x9fff),
    (0xa960, 0xa97f),
    (0xac00, 0xd7ff),
    (0xf900, 0xfaff),
    (0x1_aff0, 0x1_b16f),
    (0x2_0000, 0x3_ffff),
];

fn class_of(character: char) -> Class {
    if character.is_whitespace() {
        return Class::Space;
    }
    let is_word = character.is_alphanumeric() || character.general_category_group() == GeneralCategoryGroup::Mark;
    if !is_word {
        return Class::Symbol;
    }
    let code = u32::from(character);
    if PIECES.iter().any(|(first, last)| (*first..=*last).contains(&code)) { Class::Piece } else { Class::Whole }
}

/// The form in which texts are compared: NFKC, small letters, without what only joins or varies other characters.
pub fn fold(text: &str) -> String {
    let is_shown =
        |character: &char| !matches!(*character, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}');
    let small = |character: char| match character {
        'ς' => 'σ',
        other => other,
    };
    text.chars().filter(is_shown).flat_map(char::to_lowercase).nfkc().flat_map(char::to_lowercase).map(small).collect()
}

/// A word of the index: a hash of 32 bits.
type Word = u32;

fn hash(kind: u8, parts: &[&[u8]]) -> Word {
    let mut hash = SipHasher13::new_with_keys(KEY.0, KEY.1);
    hash.write_u8(kind);
    for part in parts {
        hash.write(part);
    }
    let bytes = hash.finish().to_be_bytes();
    Word::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])
}

fn hash_chars(kind: u8, characters: &[char]) -> Word {
    let mut text = String::with_capacity(8);
    text.extend(characters);
    hash(kind, &[text.as_bytes()])
}

/// Runs of one class in a folded text, without the spaces.
fn runs(folded: &[char]) -> impl Iterator<Item = (Class, &[char])> {
    folded
        .chunk_by(|one, next| class_of(*one) == class_of(*next))
        .filter_map(|run| run.first().map(|first| (class_of(*first), run)))
        .filter(|(class, _)| *class != Class::Space)
}

/// All words of a folded text. Of a search single characters are left out where pairs say more.
fn add_words(folded: &str, is_search: bool, words: &mut BTreeSet<Word>) {
    let characters: Vec<char> = folded.chars().collect();
    for (class, run) in runs(&characters) {
        match class {
            Class::Whole => {
                words.insert(hash_chars(b'w', run));
            }
            Class::Piece => {
                words.extend(run.windows(2).map(|pair| hash_chars(b'p', pair)));
                if !is_search || run.len() == 1 {
                    words.extend(run.chunks(1).map(|one| hash_chars(b'p', one)));
                }
            }
            Class::Symbol => words.extend(run.chunks(1).map(|one| hash_chars(b's', one))),
            Class::Space => {}
        }
    }
}

fn sender_word(sender: UserId) -> Word {
    hash(b'f', &[sender.0.as_bytes()])
}

/// A set of words as a block of the index keeps it: [`BITS`] bits, the first of them the highest of the first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordBits(Vec<u8>);

impl Default for WordBits {
    fn default() -> Self {
        Self(vec![0; BITS / 8])
    }
}

impl WordBits {
    /// Of a message, with its sender.
    pub fn of_message(content: &str, sender: UserId) -> Self {
        let mut words = BTreeSet::from([sender_word(sender)]);
        add_words(&fold(content), false, &mut words);
        Self::of_words(&words)
    }

    fn of_words(words: &BTreeSet<Word>) -> Self {
        let mut bits = Self::default();
        for word in words {
            // Double hashing: the low bits say where to begin, the others how far to go each time.
            let (mut place, step) = (*word, (*word >> 13) | 1);
            for _ in 0..BITS_PER_WORD {
                bits.set(place);
                place = place.wrapping_add(step);
            }
        }
        bits
    }

    fn set(&mut self, place: u32) {
        let place = usize::try_from(place).unwrap_or(0) % BITS;
        if let Some(byte) = self.0.get_mut(place / 8) {
            *byte |= 0x80 >> (place % 8);
        }
    }

    /// As the database has it; none of another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == BITS / 8).then(|| Self(bytes.to_vec()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where four of the bits are; of fewer, some come twice. None of a set of no words.
    pub fn some_places(&self) -> Option<[i32; 4]> {
        let has = |place: &usize| self.0.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0);
        let mut places = (0..BITS).filter(has).cycle().filter_map(|place| i32::try_from(place).ok());
        Some([places.next()?, places.next()?, places.next()?, places.next()?])
    }

    pub fn add(&mut self, other: &Self) {
        for (byte, more) in self.0.iter_mut().zip(&other.0) {
            *byte |= more;
        }
    }

    /// Bits set in either.
    pub fn count_with(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(one, other)| (one | other).count_ones()).sum()
    }
}

/// What is searched for: every one of its terms must stand in the message.
#[derive(Clone, Debug)]
pub struct Query {
    terms: Vec<String>,
    sender: Option<UserId>,
}

impl Query {
    /// Terms are what spaces separate.
    pub fn parse(text: &str, sender: Option<UserId>) -> Result<Self, Refusal> {
        check_length("q", text, 1, QUERY_MAX)?;
        let mut terms: Vec<String> = fold(text).split_whitespace().map(str::to_owned).collect();
        terms.sort_unstable();
        terms.dedup();
        if terms.is_empty() {
            return Err(Refusal::field("q", "must not be empty"));
        }
        Ok(Self { terms, sender })
    }

    /// What a block must have to be looked at.
    pub fn bits(&self) -> WordBits {
        let mut words: BTreeSet<Word> = self.sender.map(sender_word).into_iter().collect();
        for term in &self.terms {
            add_words(term, true, &mut words);
        }
        WordBits::of_words(&words)
    }

    pub const fn sender(&self) -> Option<UserId> {
        self.sender
    }

    /// Whether a text has all terms, in any order.
    pub fn matches(&self, content: &str) -> bool {
        let folded = fold(content);
        self.terms.iter().all(|term| stands_in(term, &folded))
    }
}

/// Whether a term stands in a text as it is; where it begins or ends within a word that counts whole, so must the text's.
fn stands_in(term: &str, text: &str) -> bool {
    let is_whole = |character: Option<char>| character.is_some_and(|character| class_of(character) == Class::Whole);
    let (is_open_before, is_open_after) = (!is_whole(term.chars().next()), !is_whole(term.chars().next_back()));
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(term)).map(|at| from + at) {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + term.len()..).and_then(|after| after.chars().next());
        if (is_open_before || !is_whole(before)) && (is_open_after || !is_whole(after)) {
            return true;
        }
        from = at + term.chars().next().map_or(1, char::len_utf8);
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(query: &str, text: &str) -> bool {
        let query = Query::parse(query, None).unwrap();
        let found = query.matches(text);
        if found {
            assert!(lets_through(&query, text, UserId::random()), "the index hides what matches: {query:?} {text}");
        }
        found
    }

    fn lets_through(query: &Query, text: &str, sender: UserId) -> bool {
        let block = WordBits::of_message(text, sender);
        block.count_with(&query.bits()) == block.count_with(&WordBits::default())
    }

    #[test]
    fn whole_words_in_any_order_and_any_case() {
        assert!(finds("world HELLO", "Hello, wide world!"));
        assert!(!finds("hello there", "Hello, world"));
        assert!(!finds("hell", "hello"));
        assert!(!finds("ello", "hello"));
        assert!(finds("STRASSE", "strasse") && finds("Ünïcode", "ü\u{301}x ÜNÏCODE"));
        assert!(finds("ΟΔΟΣ", "η οδός οδος"));
        assert!(finds("привет", "Привет, мир"));
    }

    #[test]
    fn some_places_are_of_bits_that_are_set() {
        let mut bits = WordBits::default();
        assert_eq!(bits.some_places(), None);
        bits.set(7);
        assert_eq!(bits.some_places(), Some([7; 4]));
        (8_000..8_010).for_each(|place| bits.set(place));
        assert_eq!(bits.some_places(), Some([7, 8_000, 8_001, 8_002]));
    }

    #[test]
    fn chinese_and_japanese_as_pieces() {
        for (query, text) in [
            ("楚", "清楚了"),
            ("清楚", "我很清楚"),
            ("東京タワー", "昨日は東京タワーに行った"),
            ("行った 東京", "東京に行った"),
            ("ﾀﾜｰ", "タワー"),
            ("한국", "한국어를"),
        ] {
            assert!(finds(query, text), "{query} in {text}");
        }
        assert!(!finds("楚清", "清楚"));
        assert!(finds("iPhone手机", "我的iphone手机壳"));
    }

    #[test]
    fn every_character_means_itself() {
        for (query, text) in [
            ("100%", "now 100% sure"),
            ("a_b", "x a_b y"),
            ("c++", "C++ and C"),
            ("\\", "a\\b"),
            ("👍", "ok 👍🏽"),
            ("'x'", "say 'x'"),
            ("*", "5*5"),
        ] {
            assert!(finds(query, text), "{query} in {text}");
        }
        for (query, text) in
            [("100%", "1000"), ("a_b", "axb"), ("%", "abc"), ("*", "abc"), ("a | b", "a"), ("a.c", "abc")]
        {
            assert!(!finds(query, text), "{query} in {text}");
        }
        assert!(Query::parse(" \u{200b} ", None).is_err());
        assert!(Query::parse("a\0", None).is_err());
    }

    #[test]
    fn a_sender_is_a_word_too() {
        let (one, other) = (UserId::random(), UserId::random());
        let query = Query::parse("hello", Some(one)).unwrap();
        assert!(lets_through(&query, "hello", one));
        assert!(!lets_through(&query, "hello", other));
    }

    proptest! {
        #[test]
        fn the_index_never_hides_what_matches(text in "\\PC{0,60}", from in 0_usize..60, length in 1_usize..20) {
            let query: String = text.chars().skip(from).take(length).collect();
            if let Ok(query) = Query::parse(&query, None) && query.matches(&text) {
                prop_assert!(lets_through(&query, &text, UserId::random()));
            }
        }
    }
}
