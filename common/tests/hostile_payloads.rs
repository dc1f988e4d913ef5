//! What is refused, and with which reason; and that nothing is refused without one.

use common::decode::{MAX_DEPTH, Reject, decode, library};
use proptest::prelude::*;

#[track_caller]
fn refused(payload: impl AsRef<[u8]>, reason: Reject) {
    let payload = payload.as_ref();
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(80)]).into_owned();
    assert_eq!(decode(payload), Err(reason), "{shown}");
}

#[track_caller]
fn accepted(payload: impl AsRef<[u8]>) {
    let payload = payload.as_ref();
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(80)]).into_owned();
    assert!(decode(payload).is_ok(), "{:?} {shown}", decode(payload));
}

/// An event with a value of `depth` nested arrays, or objects.
fn nested(depth: usize, open: &str, close: &str) -> String {
    format!(r#"{{"message":"m","deep":{}1{}}}"#, open.repeat(depth), close.repeat(depth))
}

#[test]
fn empty() {
    refused("", Reject::Empty);
}

#[test]
fn invalid_utf8() {
    refused(b"{\"message\":\"\xff\"}", Reject::InvalidUtf8);
    refused(b"{\"message\":\"caf\xe9\"}", Reject::InvalidUtf8);
    refused(b"\x80", Reject::InvalidUtf8);
    refused(b"{\"message\":\"\xed\xa0\xbd\"}", Reject::InvalidUtf8);
    // Cut inside a character, which cuts the JSON too: the first reason counts.
    refused(&"{\"message\":\"é".as_bytes()[..13], Reject::InvalidUtf8);
}

#[test]
fn invalid_json() {
    for payload in [
        " ",
        "\0",
        "hello",
        "{",
        "}",
        "{}{}",
        r#"{"message":"m"} x"#,
        r#"{"message":"m""#,
        r#"{"message":"m",}"#,
        r#"{"message":'m'}"#,
        r#"{message:"m"}"#,
        r#"{"message":"m","seq":01}"#,
        r#"{"message":"m","seq":+1}"#,
        r#"{"message":"m","seq":NaN}"#,
        r#"{"message":"m","seq":1.}"#,
        r#"{"message":"m","x":"\q"}"#,
        r#"{"message":"m","x":"\u12"}"#,
        "{\"message\":\"two\nlines\"}",
        "{\"message\":\"nul\0\"}",
        "{\"message\":\"m\"}\0",
        "{\"mess\nage\":\"m\"}",
        "\u{FEFF}{\"message\":\"a byte order mark\"}",
        "[1,2",
    ] {
        refused(payload, Reject::InvalidJson);
    }
}

#[test]
fn not_an_object() {
    for payload in ["[]", "1", "null", "\"message\"", " [{\"message\":\"m\"}]\n", "true", "-1.5e9"] {
        refused(payload, Reject::NotAnObject);
    }
    refused("[".repeat(100_000) + &"]".repeat(100_000), Reject::NotAnObject);
}

#[test]
fn too_deep() {
    accepted(nested(MAX_DEPTH - 1, "[", "]"));
    refused(nested(MAX_DEPTH, "[", "]"), Reject::TooDeep);
    accepted(nested(MAX_DEPTH - 1, "{\"a\":", "}"));
    refused(nested(MAX_DEPTH, "{\"a\":", "}"), Reject::TooDeep);
    refused(nested(1_000_000, "[", "]"), Reject::TooDeep);
    refused(r#"{"message":"#.to_owned() + &"[".repeat(200) + &"]".repeat(200) + "}", Reject::TooDeep);
    refused("{\"message\":".repeat(1_000_000), Reject::InvalidJson);
    // Behind a string that ends with a backslash.
    refused(nested(MAX_DEPTH, "[", "]").replace("\"m\"", r#""\\""#), Reject::TooDeep);
    // Wide, and brackets inside strings behind escaped quotes, are not deep.
    accepted(format!(r#"{{"message":"m","wide":[{}[]]}}"#, "[],".repeat(10_000)));
    accepted(format!(r#"{{"message":"m","text":"\"{}\\"}}"#, "[".repeat(10_000)));
}

#[test]
fn duplicates_of_what_sluice_reads() {
    for field in ["timestamp", "level", "service", "host", "producer", "seq", "due", "message"] {
        refused(format!(r#"{{"message":"m","{field}":1,"x":2,"{field}":1}}"#), Reject::DuplicateField);
    }
    accepted(r#"{"message":"m","x":1,"x":2,"msg":"a","msg":"b"}"#);
}

#[test]
fn no_message() {
    for payload in [
        "{}",
        r#"{"level":"INFO"}"#,
        r#"{"message":null}"#,
        r#"{"message":42}"#,
        r#"{"message":true}"#,
        r#"{"message":["m"]}"#,
        r#"{"message":{"text":"m"}}"#,
        r#"{"message":{"stringValue":"m"}}"#,
        r#"{"body":{"intValue":"1"}}"#,
        r#"{"body":{"stringValue":1}}"#,
        r#"{"fields":{"msg":"m"}}"#,
        r#"{"Message":"m"}"#,
    ] {
        refused(payload, Reject::NoMessage);
    }
    accepted(r#"{"message":""}"#);
}

#[test]
fn large_but_good() {
    accepted(format!(r#"{{"message":"{}"}}"#, "x".repeat(1 << 20)));
    accepted(format!(r#"{{"message":"{}"}}"#, "é\\n".repeat(1 << 18)));
    accepted(format!(r#"{{"message":"m","n":{}e{}}}"#, "9".repeat(10_000), "9".repeat(1_000)));
    accepted(format!(r#"{{"message":"m",{}"last":0}}"#, r#""k":1,"#.repeat(100_000)));
    accepted(" \r\n\t{\"message\" : \"m\"}\r\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_accepted_is_json_with_that_message(payload in json_like()) {
        let value = serde_json::from_str::<serde_json::Value>(&payload);
        match decode(payload.as_bytes()) {
            Ok(event) => {
                // serde_json's own value may refuse numbers beyond f64 and half surrogates; these have none.
                let value = value.expect("accepted, hence JSON");
                prop_assert_eq!(value["message"].as_str(), Some(&*event.message));
                prop_assert_eq!(value["seq"].as_u64(), event.seq);
            }
            Err(Reject::Empty) => prop_assert!(payload.is_empty()),
            Err(Reject::InvalidJson) => prop_assert!(value.is_err(), "{:?}", value),
            Err(Reject::NotAnObject) => prop_assert!(!value.expect("JSON").is_object()),
            Err(Reject::NoMessage) => prop_assert!(!value.expect("JSON")["message"].is_string()),
            Err(Reject::DuplicateField) => prop_assert!(value.is_ok()),
            Err(reject @ (Reject::TooLarge | Reject::TooDeep | Reject::InvalidUtf8)) => {
                prop_assert!(false, "{reject}")
            }
        }
    }

    #[test]
    fn any_bytes_give_an_event_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (decode(&bytes), library::decode(&bytes));
    }
}

/// JSON's own tokens, thrown together: now and then an object.
fn json_like() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just(" "),
        Just("\n"),
        Just("\"message\":"),
        Just("\"seq\":"),
        Just("\"x\":"),
        Just("\"a\\n\""),
        Just("\""),
        Just("\\"),
        Just("17"),
        Just("-1.5e-3"),
        Just("null"),
        Just("\"é\""),
    ];
    let soup = proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat());
    let value =
        prop_oneof![Just("1"), Just("\"a\\n\""), Just("\"é\""), Just("null"), Just("[1,{}]"), Just("{")];
    let key = prop_oneof![4 => Just("message"), 3 => Just("seq"), 3 => Just("x"), 1 => Just("x\\")];
    let object = proptest::collection::vec((key, value), 0..4).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    });
    prop_oneof![soup, object]
}
