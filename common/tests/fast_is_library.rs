//! The fast path is the library path: whatever it reads, the library path reads to the same values.

use chrono::{TimeZone, Utc};
use common::decode::{Event, decode, fast, library};
use common::event::LogEvent;
use common::level::Level;
use proptest::prelude::*;

/// Holds the two against each other; what the fast path said.
#[track_caller]
fn compare(payload: &[u8]) -> Option<Event<'_>> {
    let fast = fast::decode(payload);
    let library = library::decode(payload);
    if let Some(event) = &fast {
        assert_eq!(Ok(event), library.as_ref(), "{}", String::from_utf8_lossy(payload));
    }
    assert_eq!(decode(payload), library, "{}", String::from_utf8_lossy(payload));
    fast
}

/// Text of every kind: what real logs have, what JSON escapes, every length around the block sizes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,120}",
        2 => "[a-z0-9-]{0,20}",
        2 => "[ -~é☃😀\u{7f}\u{85}\u{2028}]{0,60}",
        1 => any::<String>(),
    ]
}

fn event() -> impl Strategy<Value = LogEvent> {
    let number = || {
        proptest::option::of(prop_oneof![
            any::<u64>(),
            0..100_u64,
            1_700_000_000_000_000..1_800_000_000_000_000_u64
        ])
    };
    let name = || proptest::option::of(text());
    let micros = -62_167_219_200_000_000..253_402_300_800_000_000_i64;
    (micros, 0..6_usize, (name(), name(), name()), (number(), number()), text()).prop_map(
        |(micros, level, (service, host, producer), (seq, due), message)| LogEvent {
            timestamp: Utc.timestamp_micros(micros).single().expect("in range"),
            level: Level::ALL[level],
            service,
            host,
            producer,
            seq,
            due,
            message,
            extra: serde_json::Map::new(),
        },
    )
}

fn wire(event: &LogEvent) -> Vec<u8> {
    serde_json::to_vec(event).expect("an event serialises")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_event_decodes_to_what_was_written(event in event()) {
        let payload = wire(&event);
        let fast = compare(&payload);
        // No escape before the message and no number beyond 19 digits: that is what the fast path is for.
        let head = wire(&LogEvent { message: String::new(), ..event.clone() });
        let long = [event.seq, event.due].into_iter().flatten().any(|n| n >= 10_u64.pow(19));
        prop_assert_eq!(fast.is_some(), !head.contains(&b'\\') && !long);
        let read = decode(&payload).expect("an event");
        prop_assert_eq!(read.timestamp, Some(event.timestamp.timestamp_micros()));
        prop_assert_eq!(read.level, event.level);
        prop_assert_eq!(read.service.as_deref(), event.service.as_deref());
        prop_assert_eq!(read.host.as_deref(), event.host.as_deref());
        prop_assert_eq!(read.producer.as_deref(), event.producer.as_deref());
        prop_assert_eq!((read.seq, read.due), (event.seq, event.due));
        prop_assert_eq!(read.message, event.message);
    }

    #[test]
    fn other_fields_go_to_the_library(event in event(), key in "[a-z]{1,9}", value in any::<String>()) {
        let mut event = event;
        prop_assume!(!["level", "service", "host", "producer", "seq", "due", "message"].contains(&&*key));
        event.extra.insert(key, value.into());
        prop_assert!(compare(&wire(&event)).is_none());
    }

    #[test]
    fn one_byte_changed_anywhere(event in event(), byte: u8, bit in 0..8_u32) {
        let payload = wire(&event);
        for at in 0..payload.len() {
            let (before, behind) = payload.split_at(at);
            let flipped = payload[at] ^ (1 << bit);
            compare(before);
            compare(behind);
            compare(&[before, &[flipped], &behind[1..]].concat());
            compare(&[before, &[byte], &behind[1..]].concat());
            compare(&[before, &behind[1..]].concat());
            compare(&[before, &[byte], behind].concat());
        }
    }

    #[test]
    fn syntax_put_anywhere(event in event(), piece in "[\"\\\\,:{}0-9 ]|\",\"|\\\\u0041|\"seq\":1,|null|\u{0}|\n|é") {
        let payload = wire(&event);
        for at in 0..=payload.len() {
            let (before, behind) = payload.split_at(at);
            compare(&[before, piece.as_bytes(), behind].concat());
        }
    }

    #[test]
    fn two_events_spliced(one in event(), other in event(), cut in any::<prop::sample::Index>()) {
        let (one, other) = (wire(&one), wire(&other));
        let cut = cut.index(one.len().min(other.len()));
        compare(&[&one[..cut], &other[cut..]].concat());
        compare(&[one, other].concat());
    }

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        compare(&bytes);
    }

    #[test]
    fn arbitrary_timestamps(stamp in "[0-9]{4}-[0-3][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9][.][0-9]{6}Z|[0-9TZ:.+-]{27}") {
        let payload = format!(r#"{{"timestamp":"{stamp}","level":"INFO","message":"m"}}"#);
        let fast = compare(payload.as_bytes());
        let known = library::decode(payload.as_bytes()).expect("an event").timestamp.is_some();
        if stamp.as_bytes()[10] == b'T' && stamp.ends_with('Z') && stamp.as_bytes()[19] == b'.' {
            prop_assert_eq!(fast.is_some(), known);
        }
    }
}

#[test]
fn the_example_of_the_contract_takes_the_fast_path() {
    let payload = br#"{"timestamp":"2026-11-22T07:12:19.267847Z","level":"INFO","service":"auth","host":"h","producer":"k3x9qd","seq":12345678,"due":1763795539267847,"message":"User logged in"}"#;
    let event = compare(payload).expect("canonical");
    assert_eq!(event.timestamp, Some(1_795_331_539_267_847));
    assert_eq!((event.producer.as_deref(), event.seq), (Some("k3x9qd"), Some(12_345_678)));
    for other in [&[b" ", &payload[..]].concat(), &[&payload[..], b"\n"].concat()] {
        assert!(compare(other).is_none(), "white space is the library's");
    }
}
