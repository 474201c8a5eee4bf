use proptest::prelude::*;

use super::*;
use crate::domain::send::SendTo;
use crate::protocol::codes::problem_of;

const USER: &str = "11111111-1111-4111-8111-111111111111";

fn parse_text(json: &str) -> Parsed {
    parse(&mut json.as_bytes().to_vec())
}

fn ok(json: &str) -> ClientFrame {
    parse_text(json).frame.unwrap_or_else(|refusal| panic!("{json}: {refusal:?}"))
}

fn code(json: &str) -> &'static str {
    problem_of(&parse_text(json).frame.expect_err(json)).code
}

fn fields(json: &str) -> Vec<String> {
    match parse_text(json).frame {
        Err(Refusal::InvalidRequest(errors)) => errors.into_iter().map(|error| error.field.into_owned()).collect(),
        other => panic!("{json}: {other:?}"),
    }
}

#[test]
fn every_frame_of_the_contract_is_read() {
    let conversation = ConversationId::random();
    let message = conversation.message(Seq(7));
    assert!(matches!(ok(r#"{"type":"ping"}"#), ClientFrame::Ping));
    assert!(matches!(ok(r#" {"data":null,"type":"heartbeat"}"#), ClientFrame::Ping));
    assert!(matches!(ok(r#"{"type":"auth","token":"x"}"#), ClientFrame::Auth(Auth { sync: None, .. })));
    let ClientFrame::Auth(auth) = ok(r#"{"type":"auth","token":"x","sync":{"cursor":"abc"}}"#) else { panic!() };
    assert_eq!(auth.sync.unwrap().unwrap().cursor.as_deref(), Some("abc"));
    let send = format!(
        r#"{{"data":{{"content":"hi","message_type":"text","temp_id":"t1","receiver_id":"{USER}"}},"id":"7","action":"send","type":"chat"}}"#
    );
    let parsed = parse_text(&send);
    assert_eq!((parsed.id.as_deref(), parsed.temp_id.as_deref()), (Some("7"), Some("t1")));
    let Ok(ClientFrame::Send(request)) = parsed.frame else { panic!() };
    assert_eq!(request.to, SendTo::User(USER.parse().unwrap()));
    for (json, wanted) in [
        (
            format!(r#"{{"type":"chat","action":"recall","data":{{"message_id":"{message}"}}}}"#),
            format!("Recall {{ message: {message} }}"),
        ),
        (
            format!(r#"{{"type":"chat","action":"edit","data":{{"message_id":"{message}","content":"x"}}}}"#),
            format!("Edit {{ message: {message}, content: \"x\" }}"),
        ),
        (
            format!(
                r#"{{"type":"chat","action":"react","data":{{"message_id":"{message}","emoji":"👍","add":false}}}}"#
            ),
            format!("React {{ message: {message}, emoji: \"👍\", add: false }}"),
        ),
        (
            format!(r#"{{"type":"read","data":{{"conversation_id":"{conversation}","seq":4}}}}"#),
            format!("Read {{ conversation: {conversation}, position: At(Seq(4)) }}"),
        ),
        (
            format!(
                r#"{{"type":"read","data":{{"conversation_id":"{conversation}","message_id":"{message}","seq":null}}}}"#
            ),
            format!("Read {{ conversation: {conversation}, position: Message(Seq(7)) }}"),
        ),
        (
            format!(r#"{{"type":"read","data":{{"conversation_id":"{conversation}"}}}}"#),
            format!("Read {{ conversation: {conversation}, position: Newest }}"),
        ),
        (
            format!(r#"{{"type":"ack","data":{{"conversation_id":"{conversation}","seq":18446744073709551615}}}}"#),
            format!("Acknowledge {{ conversation: {conversation}, seq: Seq({}) }}", crate::domain::ids::SEQ_MAX),
        ),
        (
            format!(r#"{{"type":"typing","data":{{"receiver_id":"{USER}","is_typing":true}}}}"#),
            format!("Typing {{ to: User({USER}), is_typing: true }}"),
        ),
        (
            format!(r#"{{"type":"typing","data":{{"conversation_id":"{conversation}","is_typing":false}}}}"#),
            format!("Typing {{ to: Conversation({conversation}), is_typing: false }}"),
        ),
        (
            format!(r#"{{"type":"read","data":{{"conversation_id":"{conversation}","seq":-3}}}}"#),
            format!("Read {{ conversation: {conversation}, position: At(Seq(0)) }}"),
        ),
        (
            format!(
                r#"{{"type":"sync","data":{{"conversations":[{{"conversation_id":"{USER}","after_seq":9223372036854775807}}],"seen":[{{"conversation_id":"{USER}","seq":18446744073709551615}}]}}}}"#
            ),
            format!(
                "Sync(SyncRequest {{ cursor: None, conversations: Some([Held {{ conversation_id: {USER}, seq: Seq({last}) }}]), seen: [Held {{ conversation_id: {USER}, seq: Seq({last}) }}], limit: None }})",
                last = crate::domain::ids::SEQ_MAX
            ),
        ),
        (r#"{"type":"status","data":{"status":"away"}}"#.to_owned(), "Status(Away)".to_owned()),
        (
            r#"{"type":"sync"}"#.to_owned(),
            "Sync(SyncRequest { cursor: None, conversations: None, seen: [], limit: None })".to_owned(),
        ),
        (
            format!(
                r#"{{"type":"sync","data":{{"conversations":[{{"conversation_id":"{USER}","after_seq":3}}],"seen":[],"limit":5000}}}}"#
            ),
            format!(
                "Sync(SyncRequest {{ cursor: None, conversations: Some([Held {{ conversation_id: {USER}, seq: Seq(3) }}]), seen: [], limit: Some(5000) }})"
            ),
        ),
    ] {
        assert_eq!(format!("{:?}", ok(&json)), wanted);
    }
}

#[test]
fn what_is_wrong_has_the_code_of_the_contract() {
    for json in ["", "{", "hello", r#"{"type":}"#, "{} {}", r#"{"type":"ping",}"#, "\u{feff}{}", "nul"] {
        assert_eq!(code(json), "invalid_json", "{json}");
    }
    assert_eq!(code(&format!("{}{}", "[".repeat(33), "]".repeat(33))), "invalid_json");
    assert_eq!(code(&"[".repeat(65_000)), "invalid_json");
    let deep = format!(r#"{{"type":"ping","data":{}{}}}"#, "[".repeat(31), "]".repeat(31));
    assert!(matches!(ok(&deep), ClientFrame::Ping));
    for json in ["[]", "7", "null", r#""ping""#, "{}", r#"{"type":7}"#, r#"{"type":null}"#] {
        assert_eq!(fields(json), ["type"], "{json}");
    }
    for json in [
        r#"{"type":""}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"chat","action":"shout"}"#,
        r#"{"type":"new_message","data":[]}"#,
    ] {
        assert_eq!(code(json), "unknown_type", "{json}");
    }
    assert_eq!(fields(r#"{"type":"chat"}"#), ["action"]);
    assert_eq!(fields(r#"{"type":"chat","action":"send","data":[]}"#), ["data"]);
    assert_eq!(fields(r#"{"type":"chat","action":"recall"}"#), ["message_id"]);
    assert_eq!(fields(r#"{"type":"chat","action":"react","data":{}}"#), ["message_id", "emoji", "add"]);
    assert_eq!(
        fields(r#"{"type":"read","data":{"seq":"1","message_id":3}}"#),
        ["conversation_id", "seq", "message_id"]
    );
    assert_eq!(fields(&format!(r#"{{"type":"ack","data":{{"conversation_id":"{USER}"}}}}"#)), ["seq"]);
    assert_eq!(fields(r#"{"type":"typing","data":{"is_typing":1}}"#), ["receiver_id", "is_typing"]);
    assert_eq!(fields(r#"{"type":"status","data":{"status":"asleep"}}"#), ["status"]);
    assert_eq!(
        fields(r#"{"type":"sync","data":{"cursor":1,"conversations":{},"limit":-1}}"#),
        ["cursor", "conversations", "limit"]
    );
    assert_eq!(fields(r#"{"type":"auth"}"#), ["token"]);
    assert_eq!(code(r#"{"type":"ping","type":"ping"}"#), "invalid_request");
}

#[test]
fn the_id_is_echoed_wherever_it_can_be_read() {
    for json in [
        r#"{"type":"dance","id":"a"}"#,
        r#"{"id":"a"}"#,
        r#"{"id":"a","type":"chat","action":"send","data":7}"#,
        r#"{"id":"a","type":"ping","data":{"x":"\ud800"}}"#,
    ] {
        let parsed = parse_text(json);
        assert!(parsed.frame.is_err(), "{json}");
        assert_eq!(parsed.id.as_deref(), Some("a"), "{json}");
    }
    assert_eq!(fields(r#"{"type":"ping","id":7}"#), ["id"]);
    let unsafe_text = format!(
        r#"{{"type":"chat","action":"send","id":"a","data":{{"temp_id":"t","receiver_id":"{USER}","message_type":"text","content":"a\ud800"}}}}"#
    );
    let parsed = parse_text(&unsafe_text);
    assert_eq!(parsed.temp_id.as_deref(), Some("t"));
    assert_eq!(problem_of(&parsed.frame.unwrap_err()).code, "invalid_text");
}

#[test]
fn numbers_beyond_64_bits_are_json_too() {
    let send = |metadata: &str| {
        format!(
            r#"{{"type":"chat","action":"send","id":"a","data":{{"temp_id":"t","receiver_id":"{USER}","message_type":"text","content":"x","metadata":{metadata}}}}}"#
        )
    };
    for (number, kept) in [
        ("18446744073709551616", "1.8446744073709552e19"),
        ("-9223372036854775809", "-9.223372036854776e18"),
        ("123456789012345678901234567890", "1.2345678901234568e29"),
        ("1e5", "100000.0"),
        ("1e-400", "0.0"),
    ] {
        let ClientFrame::Send(request) = ok(&send(&format!(r#"{{"n":[{number}]}}"#))) else { panic!() };
        let metadata = request.message.message.metadata.unwrap();
        let n = &serde_json::to_value(metadata).unwrap()["n"][0];
        assert_eq!(n.as_f64(), Some(kept.parse::<f64>().unwrap()), "{number}");
    }
    // No field of ours has it.
    assert!(matches!(ok(r#"{"type":"ping","data":{"x":18446744073709551616},"y":1e400}"#), ClientFrame::Ping));
    // One of ours that is no number, and one that is.
    assert_eq!(fields(r#"{"type":"ping","id":18446744073709551616}"#), ["id"]);
    assert_eq!(fields(&format!(r#"{{"type":"ack","data":{{"conversation_id":"{USER}","seq":1e40}}}}"#)), ["seq"]);
    // Beyond all doubles it cannot be kept, and the rest of the frame can still be read.
    let parsed = parse_text(&send(r#"{"n":-1e400}"#));
    assert_eq!((parsed.id.as_deref(), parsed.temp_id.as_deref()), (Some("a"), Some("t")));
    assert_eq!(problem_of(&parsed.frame.unwrap_err()).code, "invalid_request");
    for json in [r#"{"type":"ping","x":1e400"#, r#"{"type":"ping","x":1e}"#, "1e5 {}", r#"{"type":"ping","x":1e5,}"#] {
        assert_eq!(code(json), "invalid_json", "{json}");
    }
    assert_eq!(fields("[1e5]"), ["type"]);
    assert_eq!(code(r#"{"type":"ping","type":"ping","x":1e5}"#), "invalid_request");
    assert_eq!(code(&format!(r#"{{"x":1e5,"y":{}1{}}}"#, "[".repeat(32), "]".repeat(32))), "invalid_json");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_unicode_text_comes_through_as_it_was(text in "\\PC{1,200}|[\\x01-\\x7f]{1,200}|\\p{any}{1,200}") {
        let json = serde_json::json!({"type": "chat", "action": "send", "id": "i", "data":
            {"temp_id": "t", "receiver_id": USER, "message_type": "text", "content": text}});
        let parsed = parse(&mut serde_json::to_vec(&json).unwrap());
        if text.contains('\0') {
            prop_assert_eq!(problem_of(&parsed.frame.unwrap_err()).code, "invalid_text");
        } else {
            let Ok(ClientFrame::Send(request)) = parsed.frame else { panic!() };
            prop_assert_eq!(request.message.message.content, Some(text));
        }
    }

    #[test]
    fn what_is_json_is_never_called_none(
        number in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?",
        text in "[ -~]{0,9}",
    ) {
        let text = serde_json::Value::from(text);
        for json in [
            format!(r#"{{"type":"ping","id":"i","data":{{"metadata":[{text},{number}],"seq":{number}}}}}"#),
            format!(r#"{{"type":"sync","id":"i","x":{number},{text}:{number}}}"#),
        ] {
            prop_assert!(serde_json::from_str::<IgnoredAny>(&json).is_ok(), "{json}");
            let parsed = parse_text(&json);
            let is_refused = parsed.frame.as_ref().err().map(|refusal| problem_of(refusal).code);
            prop_assert!(is_refused != Some("invalid_json"), "{}", json);
            if is_refused.is_none() {
                prop_assert_eq!(parsed.id.as_deref(), Some("i"));
            }
        }
    }

    #[test]
    fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&mut bytes.clone());
        let mut frame = br#"{"type":"chat","action":"send","data":{"temp_id":""#.to_vec();
        frame.extend(&bytes);
        let _ = parse(&mut frame);
    }
}
