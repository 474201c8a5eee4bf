//! Looks a client's JSON over before any parser sees it: how deep it nests, whether its strings escape what is no text, and whether
//! its numbers may be beyond 64 bits. A parser that recurses may not be given depth, some read a lone surrogate as NUL, which
//! PostgreSQL refuses, and some refuse great numbers, which are JSON all the same.

use serde_json::Value;

use crate::domain::Refusal;

/// Greatest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 32;

/// A number of fewer characters, and without an exponent, fits into 64 bits.
const SMALL_NUMBER_BYTES: usize = 19;

/// What a document has that a parser has to be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// `\u0000` or a lone surrogate.
    pub has_bad_text: bool,
    /// A number that may be beyond 64 bits, or beyond all numbers.
    pub has_great_number: bool,
}

/// Refuses nesting deeper than [`DEPTH_MAX`] (`invalid_json`), `\u0000` and lone surrogates (`invalid_text`). Says nothing else about
/// the syntax: the parser does.
pub fn check_json(json: &[u8]) -> Result<(), Refusal> {
    if look_over(json)?.has_bad_text { Err(bad_text()) } else { Ok(()) }
}

/// The refusal of text that is none, wherever it is.
pub const fn bad_text() -> Refusal {
    Refusal::InvalidText(std::borrow::Cow::Borrowed("body"))
}

/// Refuses nesting deeper than [`DEPTH_MAX`], and says what else is to be known. Passes once over the document.
pub fn look_over(json: &[u8]) -> Result<Look, Refusal> {
    let mut depth = 0_usize;
    let mut look = Look::default();
    let mut rest = json;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Refusal::InvalidJson);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let (after, is_good) = check_string(rest);
                look.has_bad_text |= !is_good;
                rest = after;
            }
            b'-' | b'0'..=b'9' => {
                let length = number_length(rest);
                let (number, after) = rest.split_at(length);
                look.has_great_number |=
                    length + 1 >= SMALL_NUMBER_BYTES || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
                rest = after;
            }
            _ => {}
        }
    }
    Ok(look)
}

/// How far a number goes on.
fn number_length(rest: &[u8]) -> usize {
    let goes_on = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    rest.iter().position(|byte| !goes_on(byte)).unwrap_or(rest.len())
}

/// Puts 1 in the place of every number beyond the greatest double: what has them is refused, but can be looked at.
pub fn silence_great_numbers(json: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = json.get(at..)
        && let [byte, after @ ..] = rest
    {
        at += 1;
        match byte {
            b'"' => at = json.len() - check_string(after).0.len(),
            b'-' | b'0'..=b'9' => {
                let end = at + number_length(after);
                if let Some(number) = json.get_mut(at - 1..end)
                    && std::str::from_utf8(number).is_ok_and(|text| text.parse().is_ok_and(f64::is_infinite))
                {
                    // Beyond the greatest double are five characters at least, such as 1e309.
                    number.fill(b'0');
                    number.iter_mut().zip(b"1.").for_each(|(digit, one)| *digit = *one);
                }
                at = end;
            }
            _ => {}
        }
    }
}

/// What follows the string's closing quote, and whether its escapes are text.
fn check_string(mut rest: &[u8]) -> (&[u8], bool) {
    let mut is_good = true;
    loop {
        // Most of a text is neither quote nor backslash; nothing of it matters here.
        let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            return (&[], is_good);
        };
        let (_, from) = rest.split_at(at);
        match from {
            [b'"', after @ ..] => return (after, is_good),
            [b'\\', b'u', after @ ..] => {
                rest = after;
                match hex(after) {
                    Some(0xd800..=0xdbff) => match after {
                        [_, _, _, _, b'\\', b'u', low @ ..] if matches!(hex(low), Some(0xdc00..=0xdfff)) => {
                            rest = low.get(4..).unwrap_or_default();
                        }
                        _ => is_good = false,
                    },
                    Some(0 | 0xdc00..=0xdfff) => is_good = false,
                    _ => {}
                }
            }
            [_, _, after @ ..] => rest = after,
            _ => return (&[], is_good),
        }
    }
}

/// The four digits of a `\u` escape; `None` where they are none, which the parser then refuses.
fn hex(digits: &[u8]) -> Option<u32> {
    let digits = digits.get(..4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Turns the escapes of lone surrogates into those of U+0000, which parsers read: what has them is refused, but can be looked at.
pub fn silence_bad_text(json: &mut [u8]) {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (_, from) = std::mem::take(&mut rest).split_at_mut(at);
        let mut passed = 2;
        if let [_, b'u', escape @ ..] = &mut *from
            && let Some(first) = hex(escape)
        {
            passed = 6;
            match (first, escape.get(4..)) {
                (0xd800..=0xdbff, Some([b'\\', b'u', low @ ..])) if matches!(hex(low), Some(0xdc00..=0xdfff)) => {
                    passed = 12;
                }
                (0xd800..=0xdfff, _) => escape.iter_mut().take(4).for_each(|digit| *digit = b'0'),
                _ => {}
            }
        }
        rest = from.get_mut(passed..).unwrap_or_default();
    }
}

/// The field that [`check_json`] refused as text, as `list[1].name`; `body` where it is none. `None`: this is no JSON anyway.
pub fn find_bad_text(json: &[u8]) -> Option<String> {
    let mut json = json.to_vec();
    silence_bad_text(&mut json);
    let value = serde_json::from_slice(&json).ok()?;
    let field = bad_field(&value, "").filter(|field| !field.is_empty());
    Some(field.unwrap_or_else(|| "body".to_owned()))
}

/// The first field that has U+0000 in its text or name. The depth is that of [`DEPTH_MAX`].
pub(super) fn bad_field(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(|| path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| bad_field(item, &format!("{path}[{index}]")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            if name.contains('\0') {
                return Some(path.to_owned());
            }
            bad_field(field, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") })
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check_json(nested(32).as_bytes()), Ok(()));
        assert_eq!(check_json(nested(33).as_bytes()), Err(Refusal::InvalidJson));
        assert_eq!(check_json(format!("\"{}\"", "[".repeat(99)).as_bytes()), Ok(()));
        assert_eq!(check_json(format!(r#"["\"{}"]"#, "[".repeat(99)).as_bytes()), Ok(()));
        assert_eq!(check_json("[[]]".repeat(100).as_bytes()), Ok(()));
    }

    #[test]
    fn numbers_that_may_be_beyond_64_bits_are_seen_outside_of_strings() {
        let is_great = |json: &str| look_over(json.as_bytes()).unwrap().has_great_number;
        for small in ["123456789012345678", "[-1.5,0]", r#"{"a":"12345678901234567890123"}"#, r#"["1e5"]"#, "true"] {
            assert!(!is_great(small), "{small}");
        }
        for great in ["18446744073709551616", "[1,-9223372036854775809]", r#"{"a":1e400}"#, "1E5"] {
            assert!(is_great(great), "{great}");
        }
        let mut json = br#"{"a":1e400,"b":[-1.5e+999,7],"c":"1e400","d":18446744073709551616,"e":1e-400}"#.to_vec();
        silence_great_numbers(&mut json);
        let silenced = r#"{"a":1.000,"b":[1.0000000,7],"c":"1e400","d":18446744073709551616,"e":1e-400}"#;
        assert_eq!(String::from_utf8(json).unwrap(), silenced);
    }

    #[test]
    fn what_is_no_text_is_named() {
        let smile = r#""\ud83d\ude00\\u0000""#;
        for (json, field) in [
            (format!(r#"{{"a":{smile},"name":"\ud800"}}"#), Some("name")),
            (format!(r#"{{"a":{smile},"name":"\u0000"}}"#), Some("name")),
            (r#"{"list":[{"n":1},{"n":"x\ude00\ud83d"}]}"#.to_owned(), Some("list[1].n")),
            (r#"{"metadata":{"k\u0000":1}}"#.to_owned(), Some("metadata")),
            (r#"["\ud800"]"#.to_owned(), Some("[0]")),
            (r#""\ud800""#.to_owned(), Some("body")),
            (r#"{"name":"\ud800"#.to_owned(), None),
        ] {
            assert!(check_json(json.as_bytes()).is_err(), "{json}");
            assert_eq!(find_bad_text(json.as_bytes()).as_deref(), field, "{json}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bad in
            [r#""\u0000""#, r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud83dx""#, r#"{"a":["\uDFFF"]}"#]
        {
            assert_eq!(check_json(bad.as_bytes()), Err(Refusal::InvalidText("body".into())), "{bad}");
        }
        for good in
            [r#""\ud83d\ude00""#, r#""\\u0000""#, r#""\\ud800""#, r#""\u0001 \" \u00e9""#, "\"", "\"\\", r#""\u12"#, ""]
        {
            assert_eq!(check_json(good.as_bytes()), Ok(()), "{good}");
        }
    }
}
