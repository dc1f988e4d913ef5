//! An event as a line: for people, and as the JSON it came as.

use super::Event;
use crate::event::format_timestamp;
use chrono::DateTime;
use std::borrow::Cow;
use std::io::Write;

impl Event<'_> {
    /// Appends `timestamp LEVEL service message`, without a newline; `-` stands for a missing service.
    ///
    /// No event can look like two: control characters (C0, DEL, C1), the line and paragraph separators U+2028
    /// and U+2029, and what turns the direction of writing are written as escapes, `\n`, `\r`, `\t` or
    /// `\u001b`, in the service a space too, so that the message always starts at the fourth column. A backslash stays as it is: the line is for
    /// reading, not for parsing back.
    ///
    /// `fallback_time_micros` (µs since the epoch) is shown for an event without a time of its own.
    pub fn write_text(&self, out: &mut Vec<u8>, fallback_time_micros: i64) {
        let micros = self.timestamp.unwrap_or(fallback_time_micros);
        let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        out.extend_from_slice(format_timestamp(time).as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.level.as_str().as_bytes());
        out.push(b' ');
        match self.service.as_deref() {
            None | Some("") => out.push(b'-'),
            Some(service) => escape(service, |c| forges(c) || c == ' ', out),
        }
        out.push(b' ');
        escape(&self.message, forges, out);
    }
}

/// Whether a terminal, `tail` or an editor may take it for more than a character of the line.
pub fn forges(c: char) -> bool {
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || separates || turns
}

/// Text of somebody else's making, for a line on a terminal: what could forge more than its characters is escaped as in
/// JSON.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(forges) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::new();
    escape(text, forges, &mut out);
    Cow::Owned(String::from_utf8(out).expect("what text became is text"))
}

/// Appends text, with escapes as JSON has them for the characters that must not be.
pub(crate) fn escape(text: &str, must: impl Fn(char) -> bool, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.find(&must) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        match chars.next() {
            None => {}
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some(c) => write!(out, "\\u{:04x}", u32::from(c)).expect("a Vec takes everything"),
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The payload of a decoded event as one line, nearly always as it is.
///
/// In valid JSON a raw CR or LF can only be white space between tokens. Where there is one, white space around
/// the object is cut off and those inside become spaces; nothing else is touched.
pub fn single_line(payload: &[u8]) -> Cow<'_, [u8]> {
    let breaks = |bytes: &[u8]| memchr::memchr2(b'\n', b'\r', bytes);
    if breaks(payload).is_none() {
        return Cow::Borrowed(payload);
    }
    let object = payload.trim_ascii();
    match breaks(object) {
        None => Cow::Borrowed(object),
        Some(_) => object.iter().map(|&b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use proptest::prelude::*;

    fn text(payload: &str) -> String {
        let mut out = Vec::new();
        decode(payload.as_bytes()).expect("an event").write_text(&mut out, 1_000_000);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn columns_for_people() {
        assert_eq!(
            text(
                r#"{"timestamp":"2026-11-22T08:12:19.2678+01:00","level":"warning","service":"auth","message":"slow login"}"#
            ),
            "2026-11-22T07:12:19.267800Z WARN auth slow login"
        );
        assert_eq!(text(r#"{"message":"hello"}"#), "1970-01-01T00:00:01.000000Z INFO - hello");
        assert_eq!(text(r#"{"service":"","message":"hello"}"#), "1970-01-01T00:00:01.000000Z INFO - hello");
    }

    #[test]
    fn a_message_can_not_forge_a_line() {
        assert_eq!(
            text(r#"{"service":"a\nb c","message":"x\r\n\t1970 ERROR \u001b[2J\u2028\u0085 C:\\dir é"}"#),
            "1970-01-01T00:00:01.000000Z INFO a\\nb\\u0020c x\\r\\n\\t1970 ERROR \\u001b[2J\\u2028\\u0085 C:\\dir é"
        );
    }

    #[test]
    fn nothing_turns_the_direction_of_a_line() {
        let turned = text(r#"{"service":"a\u202e","message":"\u061c\u200e\u200f\u202a\u2066\u2069é"}"#);
        assert!(turned.ends_with(r"a\u202e \u061c\u200e\u200f\u202a\u2066\u2069é"), "{turned}");
    }

    #[test]
    fn one_line_whatever_the_white_space() {
        assert!(matches!(single_line(b"{\"a\": 1}"), Cow::Borrowed(b"{\"a\": 1}")));
        assert!(matches!(single_line(b" {\"a\": 1}\r\n"), Cow::Borrowed(b"{\"a\": 1}")));
        assert_eq!(single_line(b"{\n  \"a\":\r\n 1\n}\n").as_ref(), b"{   \"a\":   1 }");
    }

    proptest! {
        #[test]
        fn harmless_text_is_what_json_reads_back(text: String) {
            let shown = harmless(&text);
            prop_assert!(!shown.contains(forges));
            prop_assert_eq!(&harmless(&shown), &shown);
            if !text.contains(['"', '\\']) {
                prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{shown}\"")).expect("JSON"), text);
            }
        }

        #[test]
        fn no_text_breaks_the_line_or_panics(message: String, service: Option<String>, time: i64) {
            let event = Event {
                timestamp: Some(time),
                level: crate::level::Level::Info,
                service: service.map(Cow::Owned),
                host: None,
                producer: None,
                seq: None,
                due: None,
                message: Cow::Owned(message),
            };
            let mut out = Vec::new();
            event.write_text(&mut out, 0);
            let line = String::from_utf8(out).expect("text");
            prop_assert!(!line.contains(forges));
            prop_assert_eq!(line.split(' ').nth(1), Some("INFO"));
        }

        #[test]
        fn single_line_keeps_the_value(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
            let text = text.expect("serialises");
            let line = single_line(&text);
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).expect("still JSON"), value);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let text = any::<String>().prop_map(serde_json::Value::from);
        text.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
