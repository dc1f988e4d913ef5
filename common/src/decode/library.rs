//! Any JSON object, with the field names that loggers use; the JSON itself is read by serde_json.
//!
//! Understood are the names of the table below, as Logback and Logstash, log4j, pino, bunyan, zap, slog,
//! structlog, python-json-logger, tracing, GELF, ECS, Docker and OpenTelemetry's log data model write them.
//! What else holds:
//!
//! - **Precedence**: of several names for one thing the earliest in the table that can be understood counts.
//!   An alias that stands twice: the last. A canonical name that stands twice is refused.
//! - **time**: RFC 3339 and its relatives, or a number (also as a string) since the epoch in s, ms, µs or ns
//!   by magnitude. **level**: a name, or a number of bunyan's or syslog's. Neither is a reason to refuse.
//! - **message**: a string, also an empty one; the only field an event must have.
//! - **`producer`, `seq`, `due`** that are not a string and whole numbers within `u64` are somebody else's
//!   fields of that name: left alone, the event has no identity.
//! - **Everything else** must be valid JSON, at most [`MAX_DEPTH`] levels deep, and is otherwise free: duplicate
//!   names, numbers beyond any type. A byte order mark in front is no JSON (RFC 8259 §8.1), because the line in
//!   the file is the payload untouched and has to be JSON to every reader.
//! - Half a surrogate pair in a value (an emoji cut in two) reads as U+FFFD.

use super::{Event, MAX_DEPTH, Reject, time};
use crate::level::Level;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What a field tells, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Timestamp,
    Level,
    /// OpenTelemetry's scale, 1–24.
    SeverityNumber,
    /// A string, or an object with `name` (ECS).
    Service,
    /// An object with `service.name` (OpenTelemetry).
    Resource,
    Host,
    Producer,
    Seq,
    Due,
    Message,
    /// A string, or an object with `stringValue` (OpenTelemetry).
    Body,
    /// An object with `message` (tracing).
    Fields,
}

/// Every name that is read. Within a role the first is the canonical one, if it is one of Sluice's own.
const NAMES: [(&str, Role); 44] = [
    ("timestamp", Role::Timestamp),
    ("@timestamp", Role::Timestamp), // Logstash, ECS
    ("time", Role::Timestamp),       // pino, bunyan, slog, Docker
    ("ts", Role::Timestamp),         // zap
    ("timeUnixNano", Role::Timestamp),
    ("time_unix_nano", Role::Timestamp),
    ("Timestamp", Role::Timestamp),
    ("asctime", Role::Timestamp), // python-json-logger
    ("datetime", Role::Timestamp),
    ("timeMillis", Role::Timestamp), // log4j
    // OpenTelemetry: what stands in where the time itself is not known.
    ("observedTimeUnixNano", Role::Timestamp),
    ("ObservedTimestamp", Role::Timestamp),
    ("level", Role::Level),
    ("severity", Role::Level), // Google Cloud
    ("lvl", Role::Level),
    ("log.level", Role::Level), // ECS
    ("levelname", Role::Level), // python-json-logger
    ("loglevel", Role::Level),
    ("severityText", Role::Level),
    ("severity_text", Role::Level),
    ("SeverityText", Role::Level),
    ("severityNumber", Role::SeverityNumber),
    ("severity_number", Role::SeverityNumber),
    ("SeverityNumber", Role::SeverityNumber),
    ("service", Role::Service),
    ("service.name", Role::Service),
    ("service_name", Role::Service),
    ("serviceName", Role::Service),
    ("resource", Role::Resource),
    ("Resource", Role::Resource),
    ("host", Role::Host),
    ("hostname", Role::Host), // bunyan, pino
    ("host.name", Role::Host),
    ("producer", Role::Producer),
    ("seq", Role::Seq),
    ("due", Role::Due),
    ("message", Role::Message),
    ("msg", Role::Message),           // pino, bunyan, zap, slog
    ("event", Role::Message),         // structlog
    ("short_message", Role::Message), // GELF
    ("log", Role::Message),           // Docker, Fluent Bit
    ("body", Role::Body),
    ("Body", Role::Body),
    ("fields", Role::Fields),
];

/// Which of [`NAMES`], a bit each.
type Set = u64;

/// The names of each role.
const OF_ROLE: [Set; Role::Fields as usize + 1] = {
    let mut sets = [0; Role::Fields as usize + 1];
    let mut i = 0;
    while i < NAMES.len() {
        sets[NAMES[i].1 as usize] |= 1 << i;
        i += 1;
    }
    sets
};

/// The names of each length, so that looking one up takes a comparison or a few.
const OF_LENGTH: [Set; 32] = {
    let mut sets = [0; 32];
    let mut i = 0;
    while i < NAMES.len() {
        sets[NAMES[i].0.len()] |= 1 << i;
        i += 1;
    }
    sets
};

/// Positions in [`NAMES`], ascending: in order of precedence.
fn positions(mut set: Set) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let first = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (first < NAMES.len()).then_some(first)
    })
}

/// Names that Sluice itself writes, which may not stand twice: the first of each of its roles.
const CANONICAL: Set = {
    use Role::{Due, Host, Level, Message, Producer, Seq, Service, Timestamp};
    let roles = [Timestamp, Level, Service, Host, Producer, Seq, Due, Message];
    let (mut set, mut i) = (0, 0);
    while i < roles.len() {
        let names = OF_ROLE[roles[i] as usize];
        set |= names & names.wrapping_neg();
        i += 1;
    }
    set
};

/// Reads a payload of any length.
///
/// # Errors
/// The reason why it is not an event.
pub fn decode(payload: &[u8]) -> Result<Event<'_>, Reject> {
    if payload.is_empty() {
        return Err(Reject::Empty);
    }
    let text = simdutf8::basic::from_utf8(payload).map_err(|_| Reject::InvalidUtf8)?;
    if !text.trim_ascii_start().starts_with('{') {
        let valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
        return Err(if valid { Reject::NotAnObject } else { Reject::InvalidJson });
    }
    let mut fields = Fields { values: [None; NAMES.len()], present: 0, duplicate: false };
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(&mut fields).and_then(|()| json.end()).map_err(|_| Reject::InvalidJson)?;
    if is_too_deep(payload) {
        return Err(Reject::TooDeep);
    }
    if fields.duplicate {
        return Err(Reject::DuplicateField);
    }
    let service = || fields.first(Role::Service, name_or_object);
    let resource = || fields.first(Role::Resource, |raw| member(raw, "service.name"));
    let level = || fields.first(Role::Level, level);
    let body = |raw| string(raw).or_else(|| member(raw, "stringValue"));
    let message = || fields.first(Role::Message, string).or_else(|| fields.first(Role::Body, body));
    let tracing_message = || fields.first(Role::Fields, |raw| member(raw, "message"));
    let severity_number =
        || fields.first(Role::SeverityNumber, |raw| Level::from_otel(raw.get().parse().ok()?));
    Ok(Event {
        timestamp: fields.first(Role::Timestamp, timestamp),
        level: level().or_else(severity_number).unwrap_or(Level::Info),
        service: service().or_else(resource),
        host: fields.first(Role::Host, name_or_object),
        producer: fields.first(Role::Producer, string),
        seq: fields.first(Role::Seq, whole_number),
        due: fields.first(Role::Due, whole_number),
        message: message().or_else(tracing_message).ok_or(Reject::NoMessage)?,
    })
}

/// The fields that have a known name, still as text.
struct Fields<'a> {
    /// By position in [`NAMES`].
    values: [Option<&'a RawValue>; NAMES.len()],
    /// Those that are there.
    present: Set,
    /// A canonical name stood twice.
    duplicate: bool,
}

impl<'a> Fields<'a> {
    /// The first field of a role that `read` understands.
    fn first<T>(&self, role: Role, read: impl Fn(&'a RawValue) -> Option<T>) -> Option<T> {
        let named = NAMES.iter().zip(self.values);
        named.filter(|&(&(_, r), _)| r == role).find_map(|(_, value)| read(value?))
    }
}

impl<'de> Visitor<'de> for &mut Fields<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(known)) = map.next_key()? {
            let Some(index) = known else {
                // Skipped without recursion, however deep.
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.duplicate |= self.present & CANONICAL & (1 << index) != 0;
            self.present |= 1 << index;
            self.values[index] = Some(map.next_value()?);
        }
        Ok(())
    }
}

/// The position of a name in [`NAMES`].
struct Key(Option<usize>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                let candidates = OF_LENGTH.get(name.len()).copied().unwrap_or(0);
                Ok(Key(positions(candidates).find(|&i| NAMES[i].0 == name)))
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

/// Whether valid JSON is nested deeper than [`MAX_DEPTH`].
fn is_too_deep(json: &[u8]) -> bool {
    let opens = |b: u8| matches!(b, b'{' | b'[');
    // Hardly any event has the length or the brackets for it, which is quick to say.
    if json.len() <= 2 * MAX_DEPTH || memchr::memchr2_iter(b'{', b'[', json).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if opens(byte) {
            depth += 1;
            deepest = deepest.max(depth);
        } else {
            depth -= usize::from(matches!(byte, b'}' | b']'));
            in_string = byte == b'"';
        }
    }
    deepest > MAX_DEPTH
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inside = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    match serde_json::from_str(raw.get()) {
        Ok(unescaped) => Some(Cow::Owned(unescaped)),
        // The text is valid JSON, so that only half a surrogate pair can be wrong with it.
        Err(_) => serde_json::from_str(raw.get()).ok().map(|Lossy(text)| Cow::Owned(text)),
    }
}

/// A string in which half a surrogate pair has become U+FFFD.
struct Lossy(String);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Lossy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            // serde_json hands half a pair over as the three bytes that UTF-8 would have for it.
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
                let valid = bytes.utf8_chunks().map(|chunk| {
                    let cut = if chunk.invalid().first() == Some(&0xED) { "\u{FFFD}" } else { "" };
                    [chunk.valid(), cut].concat()
                });
                Ok(Lossy(valid.collect()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// A string member of an object; the last, if there are several.
fn member<'a>(raw: &'a RawValue, name: &str) -> Option<Cow<'a, str>> {
    let members: std::collections::HashMap<Cow<'a, str>, &'a RawValue> =
        raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok())??;
    string(members.get(name)?)
}

fn name_or_object(raw: &RawValue) -> Option<Cow<'_, str>> {
    string(raw).or_else(|| member(raw, "name"))
}

fn whole_number(raw: &RawValue) -> Option<u64> {
    raw.get().parse().ok()
}

fn timestamp(raw: &RawValue) -> Option<i64> {
    match string(raw) {
        Some(text) => time::from_rfc3339(&text).or_else(|| time::from_epoch(&text)),
        None => time::from_epoch(raw.get()),
    }
}

fn level(raw: &RawValue) -> Option<Level> {
    match string(raw) {
        Some(text) => Level::from_name(text.trim()).or_else(|| Level::from_number(text.parse().ok()?)),
        None => Level::from_number(raw.get().parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_names_are_those_of_the_contract() {
        let names: Vec<_> = positions(CANONICAL).map(|i| NAMES[i].0).collect();
        assert_eq!(names, ["timestamp", "level", "service", "host", "producer", "seq", "due", "message"]);
    }

    #[test]
    fn names_are_unique() {
        for (i, (name, _)) in NAMES.iter().enumerate() {
            assert_eq!(NAMES.iter().position(|(n, _)| n == name), Some(i), "{name}");
        }
    }
}
