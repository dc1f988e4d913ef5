//! An event made of a line, and its wire form.

use chrono::{DateTime, Utc};
use common::decode::{self, Event};
use common::event::LogEvent;
use common::level::Level;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Field that says how many bytes of a text were let go to keep the event within its limit.
const TRUNCATED_BYTES: &str = "truncated_bytes";

/// Room for the names, marks, numbers and level of an event with every field.
const SKELETON: usize = 400;

/// An event, ready but for who sends it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShippedLine {
    /// When its first line was read, µs since the epoch.
    pub(crate) due: u64,
    body: Body,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    /// A text line and those joined to it.
    Text(LogEvent),
    /// A JSON line: kept as it is, what it lacks added behind its last field.
    Json {
        line: String,
        service: Option<String>,
        add_service: bool,
        add_host: Option<String>,
        present: Present,
    },
}

/// Which of the names that Sluice adds a JSON line has already. A name that stands twice is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Present {
    #[serde(default, deserialize_with = "is_there")]
    service: bool,
    #[serde(default, deserialize_with = "is_there")]
    host: bool,
    #[serde(default, deserialize_with = "is_there")]
    producer: bool,
    #[serde(default, deserialize_with = "is_there")]
    seq: bool,
    #[serde(default, deserialize_with = "is_there")]
    due: bool,
}

fn is_there<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// What bounds an event's wire form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of the whole event.
    pub(super) event_bytes: usize,
    /// Bytes of the producer's name.
    pub(super) producer_bytes: usize,
}

/// What is known of a text event beside its text.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) timestamp: DateTime<Utc>,
    pub(super) level: Level,
    pub(super) service: Option<String>,
    pub(super) host: String,
    pub(super) extra: Map<String, Value>,
    pub(super) due: u64,
}

impl ShippedLine {
    /// A text event. `cut`: bytes of its text that are gone already; what exceeds the bounds goes too. Also says
    /// how many are gone in all.
    pub(super) fn text(head: Head, mut message: String, cut: u64, bounds: Bounds) -> (ShippedLine, u64) {
        let Head { timestamp, level, service, host, mut extra, due } = head;
        let fields = service.as_deref().map_or(0, escaped_length) + escaped_length(&host);
        let extra_length: usize =
            extra.iter().map(|(name, value)| name.len() + 4 + value.to_string().len()).sum();
        let room =
            bounds.event_bytes.saturating_sub(SKELETON + bounds.producer_bytes + fields + extra_length);
        let kept = fitting(&message, room);
        let cut = cut + (message.len() - kept) as u64;
        message.truncate(kept);
        if cut > 0 {
            extra.insert(TRUNCATED_BYTES.into(), Value::from(cut));
        }
        let host = Some(host);
        let event = LogEvent {
            timestamp,
            level,
            service,
            host,
            producer: None,
            seq: None,
            due: Some(due),
            message,
            extra,
        };
        (ShippedLine { due, body: Body::Text(event) }, cut)
    }

    /// A JSON line that is an event as it stands and fits the bounds; `service` and `host` are for those that
    /// name none.
    pub(super) fn json(
        line: &str,
        service: Option<&str>,
        host: &str,
        due: u64,
        bounds: Bounds,
    ) -> Option<ShippedLine> {
        let line = line.trim_ascii_end();
        let event: Event<'_> = decode::decode(line.as_bytes()).ok()?;
        let present: Present = serde_json::from_str(line).ok()?;
        let add_service = event.service.is_none() && !present.service && service.is_some();
        let service = event.service.as_deref().or(service).map(str::to_owned);
        let add_host = (event.host.is_none() && !present.host).then(|| host.to_owned());
        let fields = service.as_deref().map_or(0, escaped_length) + escaped_length(host);
        if line.len() + SKELETON + bounds.producer_bytes + fields > bounds.event_bytes {
            return None;
        }
        let body = Body::Json { line: line.to_owned(), service, add_service, add_host, present };
        Some(ShippedLine { due, body })
    }

    /// Service, if it has one.
    pub(crate) fn service(&self) -> Option<&str> {
        match &self.body {
            Body::Text(event) => event.service.as_deref(),
            Body::Json { service, .. } => service.as_deref(),
        }
    }

    /// True for a JSON line that says already who sent it (a field `producer` or `seq`): it keeps that, so it
    /// takes no number of this run.
    pub(crate) fn has_identity(&self) -> bool {
        match &self.body {
            Body::Text(_) => false,
            Body::Json { present, .. } => present.producer || present.seq,
        }
    }

    /// Appends the wire form: one JSON object, no line end. `seq` is ignored if it [has an
    /// identity](ShippedLine::has_identity).
    pub(crate) fn encode(self, producer: &str, seq: u64, out: &mut Vec<u8>) {
        let own_identity = self.has_identity();
        match self.body {
            Body::Text(mut event) => {
                event.producer = Some(producer.to_owned());
                event.seq = Some(seq);
                put(out, &event);
            }
            Body::Json { line, service, add_service, add_host, present } => {
                // Never an empty object: without a message it would not have been kept.
                out.extend_from_slice(line.strip_suffix('}').unwrap_or(&line).as_bytes());
                if let Some(service) = service.filter(|_| add_service) {
                    out.extend_from_slice(b",\"service\":");
                    put(out, &service);
                }
                if let Some(host) = add_host {
                    out.extend_from_slice(b",\"host\":");
                    put(out, &host);
                }
                if !own_identity {
                    out.extend_from_slice(b",\"producer\":");
                    put(out, &producer);
                    out.extend_from_slice(b",\"seq\":");
                    put(out, &seq);
                }
                if !present.due {
                    out.extend_from_slice(b",\"due\":");
                    put(out, &self.due);
                }
                out.push(b'}');
            }
        }
    }
}

fn put(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(out, value).expect("memory takes every byte, and all keys are strings");
}

/// Length of a text within JSON, quotes apart.
fn escaped_length(text: &str) -> usize {
    text.bytes().map(escaped_byte).sum()
}

/// Bytes of `text` that fit into `room` once escaped; whole characters.
fn fitting(text: &str, room: usize) -> usize {
    if text.len() * 6 <= room {
        return text.len();
    }
    let mut used = 0;
    let end = text.bytes().position(|byte| {
        used += escaped_byte(byte);
        used > room
    });
    end.map_or(text.len(), |end| text.floor_char_boundary(end))
}

/// Bytes that JSON, as serde_json writes it, takes for one.
fn escaped_byte(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0x08 | 0x0c | b'\n' | b'\r' | b'\t' => 2,
        0..=0x1f => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { event_bytes: 16 << 10, producer_bytes: 8 };

    fn head() -> Head {
        Head {
            timestamp: "2026-11-22T07:12:19.267847Z".parse().unwrap(),
            level: Level::Warn,
            service: Some("sshd".into()),
            host: "web1".into(),
            extra: Map::from_iter([("pid".to_owned(), Value::from(42))]),
            due: 1_795_331_539_267_847,
        }
    }

    fn encode(line: ShippedLine) -> String {
        let mut out = Vec::new();
        line.encode("k3x9qd", 7, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn json(line: &str) -> Option<ShippedLine> {
        ShippedLine::json(line, Some("api"), "web1", 5, BOUNDS)
    }

    #[test]
    fn a_text_event_has_the_canonical_order() {
        let (line, cut) = ShippedLine::text(head(), "a \"b\"\n c".into(), 0, BOUNDS);
        assert_eq!(cut, 0);
        assert_eq!(
            encode(line),
            "{\"timestamp\":\"2026-11-22T07:12:19.267847Z\",\"level\":\"WARN\",\"service\":\"sshd\",\
             \"host\":\"web1\",\"producer\":\"k3x9qd\",\"seq\":7,\"due\":1795331539267847,\
             \"message\":\"a \\\"b\\\"\\n c\",\"pid\":42}"
        );
    }

    #[test]
    fn a_json_line_is_kept_and_what_it_lacks_is_added_at_its_end() {
        let line = "{ \"msg\": \"up\",  \"level\":30, \"n\":1.0e2,\"z\":[1, 2] }  ";
        assert_eq!(
            encode(json(line).unwrap()),
            "{ \"msg\": \"up\",  \"level\":30, \"n\":1.0e2,\"z\":[1, 2] ,\"service\":\"api\",\"host\":\"web1\",\
             \"producer\":\"k3x9qd\",\"seq\":7,\"due\":5}"
        );
        let named =
            json("{\"message\":\"m\",\"level\":\"INFO\",\"service\":\"s\",\"hostname\":\"h\"}").unwrap();
        assert_eq!(named.service(), Some("s"));
        assert!(encode(named).ends_with("\"hostname\":\"h\",\"producer\":\"k3x9qd\",\"seq\":7,\"due\":5}"));
    }

    #[test]
    fn an_event_of_another_producer_keeps_its_identity() {
        let whole = "{\"level\":\"INFO\",\"service\":\"s\",\"host\":\"h\",\"producer\":\"p\",\"seq\":1,\"due\":2,\"message\":\"m\"}";
        let kept = json(whole).unwrap();
        assert!(kept.has_identity());
        assert_eq!(encode(kept), whole);
        // Half an identity is not completed with a half of another.
        for half in ["{\"message\":\"m\",\"seq\":\"x\"}", "{\"message\":\"m\",\"\\u0070roducer\":null}"] {
            let kept = json(half).unwrap();
            assert!(kept.has_identity());
            assert!(encode(kept).ends_with(",\"service\":\"api\",\"host\":\"web1\",\"due\":5}"));
        }
    }

    #[test]
    fn what_is_no_event_or_too_long_is_not_kept() {
        for line in [
            "{",
            "{}",
            "{\"a\":1}",
            "[1]",
            "{\"message\":\"m\",\"host\":\"a\",\"host\":\"b\"}",
            "{\"message\":\"m\"},",
        ] {
            assert_eq!(json(line), None, "{line}");
        }
        assert_eq!(json(&format!("{{\"message\":\"{}\"}}", "x".repeat(BOUNDS.event_bytes - 100))), None);
    }

    proptest! {
        #[test]
        fn an_event_fits_its_bounds_and_says_what_was_cut(
            unit in prop_oneof![Just("\0"), Just("\""), Just("ß"), Just("x"), Just("\n\t")],
            repeats in 0usize..20_000,
            cut_before in prop_oneof![Just(0u64), 1u64..u64::MAX / 2],
        ) {
            let text = unit.repeat(repeats);
            let (line, cut) = ShippedLine::text(head(), text.clone(), cut_before, BOUNDS);
            let wire = encode(line);
            prop_assert!(wire.len() <= BOUNDS.event_bytes);
            let event: Value = serde_json::from_str(&wire).unwrap();
            let message = event["message"].as_str().unwrap();
            prop_assert!(text.starts_with(message));
            prop_assert_eq!((text.len() - message.len()) as u64 + cut_before, cut);
            prop_assert_eq!(event.get(TRUNCATED_BYTES).and_then(Value::as_u64).unwrap_or(0), cut);
        }
    }
}
