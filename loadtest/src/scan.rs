//! One pass over a server frame that picks out the few fields needed, without a tree and without allocation.

/// The raw values of the fields that matter here, of the frame itself and of its `data`; strings without their quotes, not unescaped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    pub kind: &'a [u8],
    pub action: &'a [u8],
    pub status: &'a [u8],
    pub temp_id: &'a [u8],
    pub message_id: &'a [u8],
    pub conversation_id: &'a [u8],
    pub content: &'a [u8],
    pub seq: &'a [u8],
    pub code: &'a [u8],
    pub reason: &'a [u8],
    pub retryable: &'a [u8],
    pub retry_after_ms: &'a [u8],
    pub is_offline: bool,
}

impl Fields<'_> {
    pub fn seq(&self) -> Option<u64> {
        number(self.seq)
    }
}

/// A non-negative whole number, or nothing.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The fields of a frame, or nothing where it is no JSON object.
pub fn scan(payload: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    members(skip_space(payload), &mut fields, Level::Frame)?;
    Some(fields)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Frame,
    Data,
}

/// Reads an object from its `{`; returns what follows it.
fn members<'a>(bytes: &'a [u8], fields: &mut Fields<'a>, level: Level) -> Option<&'a [u8]> {
    let mut rest = skip_space(bytes.strip_prefix(b"{")?);
    if let Some(after) = rest.strip_prefix(b"}") {
        return Some(after);
    }
    loop {
        let (key, after_key) = string(rest)?;
        let value = skip_space(skip_space(after_key).strip_prefix(b":")?);
        let after = if level == Level::Frame && key == b"data" && value.first() == Some(&b'{') {
            members(value, fields, Level::Data)?
        } else {
            let (raw, after) = raw_value(value)?;
            assign(fields, level, key, raw);
            after
        };
        match skip_space(after).split_first()? {
            (b',', next) => rest = skip_space(next),
            (b'}', next) => return Some(next),
            _ => return None,
        }
    }
}

/// `type` means the frame's only at its top: a notification's data has a `type` of its own.
fn assign<'a>(fields: &mut Fields<'a>, level: Level, key: &[u8], value: &'a [u8]) {
    match key {
        b"type" if level == Level::Frame => fields.kind = value,
        b"action" if level == Level::Frame => fields.action = value,
        b"status" if level == Level::Frame => fields.status = value,
        b"temp_id" => fields.temp_id = value,
        b"message_id" => fields.message_id = value,
        b"conversation_id" => fields.conversation_id = value,
        b"content" => fields.content = value,
        b"seq" => fields.seq = value,
        b"code" => fields.code = value,
        b"reason" => fields.reason = value,
        b"retryable" => fields.retryable = value,
        b"retry_after_ms" => fields.retry_after_ms = value,
        b"offline" => fields.is_offline = value == b"true",
        _ => {}
    }
}

/// Any value and what follows it; a string comes without its quotes.
fn raw_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.first()? {
        b'"' => string(bytes),
        b'{' | b'[' => nested(bytes),
        _ => {
            let end =
                bytes.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))?;
            bytes.split_at_checked(end)
        }
    }
}

/// A string from its quote: what is inside, and what follows the closing quote.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = bytes.strip_prefix(b"\"")?;
    let mut from = 0;
    loop {
        let tail = inside.get(from..)?;
        let at = from + tail.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if inside.get(at) == Some(&b'"') {
            return Some((inside.get(..at)?, inside.get(at + 1..)?));
        }
        from = at + 2;
    }
}

/// A nested object or array, skipped by counting brackets outside strings.
fn nested(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut depth = 0_usize;
    let mut rest = bytes;
    loop {
        match rest.first()? {
            b'"' => {
                rest = string(rest)?.1;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        rest = rest.get(1..)?;
        if depth == 0 {
            return bytes.split_at_checked(bytes.len() - rest.len());
        }
    }
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    bytes.get(blank..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_message_gives_its_fields() {
        let frame = br#"{"type":"chat","action":"new_message","data":{"message_id":"m-1","conversation_id":"c-1","conversation_kind":"direct","seq":42,"sender_id":"s","sender_name":"A \"B\" {C}","receiver_id":"r","message_type":"text","content":"ht1 body","created_at":"2026-02-07T10:30:00.123Z","mentions":["a","b"],"metadata":{"seq":7,"deep":[{"type":"x"}]},"offline":true}}"#;
        let fields = scan(frame).unwrap();
        assert_eq!(fields.kind, b"chat");
        assert_eq!(fields.action, b"new_message");
        assert_eq!(fields.message_id, b"m-1");
        assert_eq!(fields.conversation_id, b"c-1");
        assert_eq!(fields.seq(), Some(42));
        assert_eq!(fields.content, b"ht1 body");
        assert!(fields.is_offline);
    }

    #[test]
    fn the_order_of_fields_and_space_between_them_do_not_matter() {
        let frame = b" { \"data\" : { \"seq\" : 3 , \"temp_id\":\"t\" } , \"id\":\"9\", \"action\" : \"message_sent\" ,\n\"type\" : \"chat\" } ";
        let fields = scan(frame).unwrap();
        assert_eq!((fields.kind, fields.action, fields.temp_id), (&b"chat"[..], &b"message_sent"[..], &b"t"[..]));
        assert_eq!(fields.seq(), Some(3));
    }

    #[test]
    fn an_error_and_an_auth_answer_are_understood() {
        let error = scan(br#"{"type":"error","data":{"code":"rate_limited","message":"slow \\","retryable":true,"temp_id":"t","retry_after_ms":120}}"#).unwrap();
        assert_eq!((error.kind, error.code, error.retryable), (&b"error"[..], &b"rate_limited"[..], &b"true"[..]));
        assert_eq!(number(error.retry_after_ms), Some(120));
        let auth = scan(br#"{"type":"auth","status":"success","data":{"user_id":"u","status":"no"}}"#).unwrap();
        assert_eq!((auth.kind, auth.status), (&b"auth"[..], &b"success"[..]));
    }

    #[test]
    fn content_that_looks_like_a_frame_fools_nobody() {
        let fields = scan(br#"{"type":"chat","data":{"content":"\"seq\":99,\"type\":\"x\"}","seq":1}}"#).unwrap();
        assert_eq!(fields.seq(), Some(1));
        assert_eq!(fields.kind, b"chat");
    }

    #[test]
    fn cut_frames_are_nothing() {
        let frame = br#"{"type":"chat","data":{"content":"a\"b","seq":1,"list":[1,{"a":"]"}]}}"#;
        for cut in 0..frame.len() {
            assert_eq!(scan(&frame[..cut]), None, "cut at {cut}");
        }
        assert_eq!(number(b""), None);
        assert_eq!(number(b"12x"), None);
        assert_eq!(number(b"99999999999999999999"), None);
    }

    proptest! {
        #[test]
        fn any_content_and_its_neighbours_come_out(content in ".*", seq in any::<u32>()) {
            let frame = serde_json::json!({"type": "chat", "data": {"content": content, "seq": seq}}).to_string();
            let fields = scan(frame.as_bytes()).unwrap();
            prop_assert_eq!(fields.seq(), Some(u64::from(seq)));
            let quoted = format!("\"{}\"", std::str::from_utf8(fields.content).unwrap());
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), content);
        }

        #[test]
        fn no_bytes_make_the_scanner_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = scan(&bytes);
        }
    }
}
