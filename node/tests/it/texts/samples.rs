//! Texts of all kinds, from a seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// What something on the way might take for something else, change, or choke on.
const PIECES: &[&str] = &[
    "e\u{301}",
    "\u{1100}\u{1161}\u{11a8}",
    "\u{5d0}\u{202e}abc\u{202c}",
    "مرحبا",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽",
    "क्षि ก็ 漢字かな한국어 𠜎𝕏",
    "ﬁ ǆ ẞ ı İ K",
    "\u{378}\u{e01f0}\u{e0001}",
    "\u{fdd0}\u{fffe}\u{ffff}\u{1fffe}\u{10ffff}",
    "\u{d7ff}\u{e000}\u{f8ff}\u{fffd}",
    "\u{feff}",
    "\u{2028}\u{2029}\u{85}",
    "\u{1}\u{1b}\u{7f}\u{80}\u{9f}",
    " \r\n\t\u{a0}\u{3000}\u{200b} ",
    "\"'`",
    "\\",
    "\\u0000 \\ud800 \\x00",
    "%00 %zz + &",
    "_*?[a-z]",
    "'; drop table account; --",
    "$1 {0} {word}",
    "<script>alert(1)</script>&amp;<!--",
    "../../etc/passwd",
    "null true 1e9999",
];

/// What looks like nothing.
const SPACES: &[&str] = &[" ", "\u{3000}", "\u{a0}", "\u{2028}", "\u{feff}", "\n", "\u{1}", "\u{200b}"];

/// Texts of these lengths, in code points: the shortest, those of the pieces in any order, and one of any characters.
pub fn samples(seed: u64, min: usize, max: usize) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut texts = vec![SPACES.choose(&mut random).unwrap().repeat(min.max(1))];
    for _ in 0..4 {
        let mut text = String::new();
        while text.chars().count() < max.min(300) {
            text.push_str(PIECES.choose(&mut random).unwrap());
        }
        texts.push(text.chars().take(max).collect());
    }
    let any = std::iter::repeat_with(|| char::from_u32(random.random_range(1..0x11_0000)));
    texts.push(any.flatten().take(max.min(300)).collect());
    texts
}

/// A text of so many code points, of four bytes all but the first two.
pub fn of_length(seed: u64, length: usize) -> String {
    let random = char::from_u32(0x4e00 + u32::try_from(seed).unwrap_or_default());
    random.into_iter().chain(['\u{301}']).chain(std::iter::repeat('𝕏')).take(length).collect()
}
