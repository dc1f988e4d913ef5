use super::*;
use chrono::FixedOffset;
use common::decode::decode;
use proptest::prelude::*;

const LIMIT: usize = 16 << 10;

fn now() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn settings() -> Settings {
    Settings {
        service: None,
        host: None,
        this_host: "here".into(),
        zone: Zone::Fixed(FixedOffset::east_opt(0).unwrap()),
        bounds: Bounds { event_bytes: LIMIT, producer_bytes: 6 },
    }
}

/// Everything that a stream of these bytes becomes, on the wire.
fn ship_with(settings: Settings, bytes: &[u8], chunk: usize) -> (Vec<Vec<u8>>, Counters) {
    let mut assembler = Assembler::new(settings);
    let mut stream = assembler.stream(Some("app".into()));
    let mut events = Vec::new();
    for part in bytes.chunks(chunk) {
        assembler.push(&mut stream, part, now(), &mut events);
    }
    assembler.finish(&mut stream, now(), &mut events);
    let wire = events.into_iter().zip(1..).map(|(event, seq)| {
        let mut out = Vec::new();
        event.encode("k3x9qd", seq, &mut out);
        out
    });
    (wire.collect(), assembler.counters)
}

fn ship(text: &str) -> (Vec<String>, Counters) {
    let (wire, counters) = ship_with(settings(), text.as_bytes(), 7);
    (wire.into_iter().map(|event| String::from_utf8(event).unwrap()).collect(), counters)
}

#[test]
fn a_file_of_all_kinds_becomes_events() {
    let (events, counters) = ship(
        "2026-11-22 07:12:19,267 ERROR [main] c.e.App - failed\n\
         java.lang.IllegalStateException: boom\n\
         \tat c.e.App.run(App.java:1)\n\
         {\"msg\":\"kept\",\"level\":50}\n\
         \tindented, but a JSON line takes no text\n\
         \n\
         Nov 22 07:12:19 web1 sshd[42]: hello",
    );
    assert_eq!(
        events,
        [
            "{\"timestamp\":\"2026-11-22T07:12:19.267000Z\",\"level\":\"ERROR\",\"service\":\"app\",\"host\":\"here\",\
             \"producer\":\"k3x9qd\",\"seq\":1,\"due\":1795348800000000,\"message\":\"[main] c.e.App - failed\\n\
             java.lang.IllegalStateException: boom\\n\\tat c.e.App.run(App.java:1)\"}",
            "{\"msg\":\"kept\",\"level\":50,\"service\":\"app\",\"host\":\"here\",\"producer\":\"k3x9qd\",\"seq\":2,\
             \"due\":1795348800000000}",
            "{\"timestamp\":\"2026-11-22T12:00:00.000000Z\",\"level\":\"INFO\",\"service\":\"app\",\"host\":\"here\",\
             \"producer\":\"k3x9qd\",\"seq\":3,\"due\":1795348800000000,\
             \"message\":\"\\tindented, but a JSON line takes no text\"}",
            "{\"timestamp\":\"2026-11-22T07:12:19.000000Z\",\"level\":\"INFO\",\"service\":\"sshd\",\"host\":\"web1\",\
             \"producer\":\"k3x9qd\",\"seq\":4,\"due\":1795348800000000,\"message\":\"hello\",\"pid\":42}",
        ]
    );
    let expected = Counters {
        lines: 7,
        blank: 1,
        joined: 2,
        events: 4,
        json: 1,
        unrecognised: 1,
        ..Counters::default()
    };
    assert_eq!(counters, expected);
}

#[test]
fn names_given_for_all_events_win_and_the_recognised_ones_are_kept_beside_them() {
    let given = Settings { service: Some("auth".into()), host: Some("edge".into()), ..settings() };
    let (events, _) = ship_with(given, b"Nov 22 07:12:19 web1 sshd[42]: hello", 99);
    let event = decode(&events[0]).unwrap();
    assert_eq!((event.service.as_deref(), event.host.as_deref()), (Some("auth"), Some("edge")));
    let text = std::str::from_utf8(&events[0]).unwrap();
    assert!(
        text.ends_with("\"message\":\"hello\",\"origin\":\"web1\",\"pid\":42,\"program\":\"sshd\"}"),
        "{text}"
    );
}

#[test]
fn a_line_beyond_the_limit_is_cut_and_says_so() {
    let (events, counters) = ship(&format!("{{\"message\": \"{}\"}}\nnext\n", "ß".repeat(LIMIT)));
    assert_eq!(events.len(), 2);
    assert!(
        events[0].len() <= LIMIT
            && decode(events[0].as_bytes()).unwrap().message.starts_with("{\"message\": \"ß")
    );
    assert_eq!((counters.truncated, counters.invalid_utf8), (1, 0));
    let said: serde_json::Value = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(said["truncated_bytes"], counters.truncated_bytes);
    let kept = said["message"].as_str().unwrap().len() as u64;
    assert_eq!(kept + counters.truncated_bytes, 2 * LIMIT as u64 + 15);
}

#[test]
fn blank_lines_between_joined_lines_are_kept_and_others_are_no_events() {
    let (events, counters) = ship("\n1795331539 a\n \n  b\n\n1795331539 c\n\t\n");
    let messages: Vec<String> =
        events.iter().map(|event| decode(event.as_bytes()).unwrap().message.into_owned()).collect();
    assert_eq!(messages, ["a\n\n  b", "c"]);
    assert_eq!((counters.blank, counters.joined), (4, 1));
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_and_counted() {
    let (events, counters) = ship_with(settings(), b"caf\xe9 \xff\0\nfine\n", 3);
    assert_eq!(decode(&events[0]).unwrap().message, "caf\u{fffd} \u{fffd}\0");
    assert_eq!(counters.invalid_utf8, 1);
}

#[test]
fn an_event_waits_for_a_further_line_only_so_long() {
    let mut assembler = Assembler::new(settings());
    let mut stream = assembler.stream(None);
    let mut events = Vec::new();
    assembler.push(&mut stream, b"one\n unfinished", now(), &mut events);
    assembler.release_idle(&mut stream, now() + IDLE / 2, &mut events);
    assert_eq!(events.len(), 0);
    assembler.release_idle(&mut stream, now() + IDLE, &mut events);
    assert_eq!(events.len(), 1);
    assembler.push(&mut stream, b" line\n", now() + IDLE, &mut events);
    assembler.finish(&mut stream, now() + IDLE, &mut events);
    assert_eq!(events.len(), 2);
}

/// Any bytes give events that decode and fit the limit, and every line is counted in one of them.
#[test]
fn fuzz_ship() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let (events, counters) = ship_with(settings(), bytes, 13);
        let newlines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        let lines = newlines + usize::from(bytes.last().is_some_and(|&byte| byte != b'\n'));
        assert_eq!(counters.lines, lines as u64);
        assert_eq!(counters.events, counters.lines - counters.blank - counters.joined);
        assert_eq!(counters.events, events.len() as u64);
        for event in &events {
            assert!(event.len() <= LIMIT && decode(event).is_ok(), "{}", String::from_utf8_lossy(event));
        }
    });
}

/// Bytes that look like logs now and then.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..40),
        2 => prop::sample::select(vec![
            "\n", "\r\n", "{\"message\":\"m\"}", "{\"msg\":", "\n\tat x(y)", "\nCaused by: ", "2026-11-22 07:12:19,267 ",
            "ERROR ", "Nov 22 07:12:19 h a[1]: ", "<34>1 - - - - - - ", "level=info ", "Traceback (most recent call last):\n",
            "{\"message\":\"a\",\"seq\":1,\"producer\":\"p\"}\n", "\u{feff}", "}", " ", "\"",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_read_every_event_decodes_and_no_line_is_lost(bytes in any_bytes(), chunk in 1usize..50) {
        let (events, counters) = ship_with(settings(), &bytes, chunk);
        let lines = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(counters.lines, lines.len() as u64);
        prop_assert_eq!(counters.events, counters.lines - counters.blank - counters.joined);
        prop_assert_eq!(counters.events, events.len() as u64);
        let mut events = events.iter().map(|event| {
            let decoded = decode(event).map_err(|reason| TestCaseError::fail(reason.to_string()));
            decoded.map(|decoded| (decoded.message.into_owned(), String::from_utf8_lossy(event).into_owned()))
        });
        // Every line in turn is the end of a message's first line, a further line of it, or a kept JSON line.
        let mut pending: std::collections::VecDeque<String> = std::collections::VecDeque::new();
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            while pending.front().is_some_and(|part| part.trim().is_empty()) {
                pending.pop_front();
            }
            if let Some(part) = pending.pop_front() {
                prop_assert_eq!(&part, line);
                continue;
            }
            let (message, wire) = events.next().expect("an event for every line")?;
            if line.starts_with('{') && decode(line.as_bytes()).is_ok() {
                let kept = line.trim_ascii_end().strip_suffix('}').unwrap_or_default();
                prop_assert!(wire.starts_with(kept), "{line:?} {wire:?}");
                continue;
            }
            let mut parts = message.split('\n').map(str::to_owned);
            let first = parts.next().unwrap_or_default();
            prop_assert!(line.ends_with(&first), "{line:?} {first:?}");
            pending.extend(parts);
        }
        prop_assert!(events.next().is_none());
    }
}
