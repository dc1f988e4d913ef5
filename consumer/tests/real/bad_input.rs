//! Hostile payloads among good ones.

use crate::scene::{PATIENCE, Scene};
use common::decode::{Reject, decode};
use harness::{http, wait_until};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap};

const GOOD: usize = 5_000;
const HOSTILE: usize = 10_000;

/// One of every kind, made different by `n`.
fn hostile(n: usize) -> Vec<u8> {
    match n % 14 {
        0 => Vec::new(),
        1 => vec![0; 1 + n % 50],
        2 => [b"{\"message\":\"".as_slice(), &[0xff, 0xfe, 0x80], b"\"}"].concat(),
        3 => format!("{{\"timestamp\":\"x\",\"level\":\"INFO\",\"message\":\"cut {n}").into_bytes(),
        4 => "[".repeat(200 + n % 1000).into_bytes(),
        5 => {
            format!("{{\"message\":\"deep {n}\",\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500)).into_bytes()
        }
        6 => format!("{{\"message\":\"one {n}\",\"message\":\"two\"}}").into_bytes(),
        7 => format!("{{\"level\":\"INFO\",\"seq\":{n}}}").into_bytes(),
        8 => format!("{{\"message\":{n}}}").into_bytes(),
        9 => format!("plain text, line {n}\nand another\n").into_bytes(),
        10 => format!("[\"an array\", {n}]").into_bytes(),
        11 => format!("{{\"message\":\"a raw newline\n{n}\"}}").into_bytes(),
        12 => format!("{{\"message\":\"trailing {n}\"}} x").into_bytes(),
        _ => format!("{{'message':'single quotes {n}'}}").into_bytes(),
    }
}

/// Good ones, some of them odd.
fn good(n: usize) -> Vec<u8> {
    match n % 5 {
        0 => format!(
            "{{\"timestamp\":\"2026-11-22T07:12:19Z\",\"level\":\"INFO\",\"message\":\"seed style {n}\"}}"
        ),
        1 => format!(
            "{{\"@timestamp\":\"2026-11-22T07:12:19.1+01:00\",\"level\":\"warning\",\"message\":\"m {n}\"}}"
        ),
        2 => {
            format!("{{\"time\":1763795539267,\"level\":50,\"msg\":\"pino {n}\",\"x\":{}}}", "9".repeat(200))
        }
        3 => format!("{{\n  \"message\": \"pretty {n}\",\r\n  \"level\": \"ERROR\"\n}}"),
        _ => format!(
            "{{\"message\":\"grüße ⚙ \\n \\u0000 {n}\",\"level\":\"DEBUG\",\"due\":-1,\"seq\":1e999}}"
        ),
    }
    .into_bytes()
}

/// Given a rejected event that is larger than its topic takes, in its key and in its payload, then what fits is kept,
/// with the length of the whole, and the events behind it go on.
#[test]
fn what_is_too_large_for_the_topic_of_the_rejected_is_cut() {
    let scene = Scene::new(1);
    let (payload, key) = (vec![b'p'; 1_000_000], vec![b'k'; 2_500_000]);
    scene.stack.produce("logs", None, Some(&key), [&payload]).unwrap();
    scene.stack.produce("logs", None, None, [good(0)]).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(1);
    scene.end(&mut consumer);
    assert_eq!(std::fs::read(scene.path("logs.txt")).unwrap(), [good(0), b"\n".to_vec()].concat());

    let records = scene.stack.consume_all("logs.rejected").unwrap();
    assert_eq!(records.len(), 1);
    let (kept_payload, kept_key) = (records[0].payload.as_ref().unwrap(), records[0].key.as_ref().unwrap());
    assert!(payload.starts_with(kept_payload) && key.starts_with(kept_key));
    assert!(kept_key.len() < key.len() && kept_key.len() > 500_000, "{}", kept_key.len());
    assert_eq!(records[0].header("key_bytes"), Some(b"2500000".as_slice()));
    let whole = (kept_payload.len() < payload.len()).then_some(b"1000000".as_slice());
    assert_eq!(records[0].header("payload_bytes"), whole);
    assert_eq!(records[0].header("offset"), Some(b"0".as_slice()));
}

/// Given a topic of the rejected that somebody deletes, then it is made again, and nothing waits for ever.
#[test]
fn a_deleted_topic_of_the_rejected_is_made_again() {
    let scene = Scene::new(1);
    let mut consumer = scene.consumer("logs.txt", &[]);
    let rejected = |count: i64| {
        wait_until("the bad one to be kept", PATIENCE, || {
            scene.stack.high_watermarks("logs.rejected").is_ok_and(|ends| ends == [count])
        })
        .unwrap();
    };
    scene.stack.produce("logs", None, None, ["bad"]).unwrap();
    rejected(1);
    scene.stack.delete_topic("logs.rejected").unwrap();
    scene.stack.produce("logs", None, None, [b"worse".to_vec(), good(0)]).unwrap();
    rejected(1);
    scene.await_count(1);
    scene.end(&mut consumer);
    let records = scene.stack.consume_all("logs.rejected").unwrap();
    assert_eq!(records[0].text(), "worse");
}

/// Given ten thousand hostile payloads mixed with good ones, every good one arrives and every bad one is in the
/// topic of the rejected, byte for byte, with its reason and its place, and counted.
#[test]
fn every_good_one_arrives_and_every_bad_one_is_kept() {
    let scene = Scene::new(3);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut payloads: Vec<Vec<u8>> = (0..GOOD).map(good).chain((0..HOSTILE).map(hostile)).collect();
    for index in (1..payloads.len()).rev() {
        payloads.swap(index, random.random_range(0..=index));
    }
    // As large as the broker takes: good, but longer than the consumer's limit; and just at it.
    let envelope = br#"{"message":""}"#.len();
    let of_size = |size: usize| format!("{{\"message\":\"{}\"}}", "x".repeat(size - envelope)).into_bytes();
    payloads.extend([of_size(1 << 20), of_size((1 << 20) + 1)]);
    scene.stack.produce("logs", None, None, &payloads).unwrap();

    let expected: Vec<Result<(), Reject>> = payloads
        .iter()
        .map(
            |payload| if payload.len() > 1 << 20 { Err(Reject::TooLarge) } else { decode(payload).map(drop) },
        )
        .collect();
    let accepted = expected.iter().filter(|result| result.is_ok()).count();
    assert_eq!(accepted, GOOD + 1, "the good are good and the hostile are not");

    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(accepted as u64);
    wait_until("all rejected events to be in their topic", PATIENCE, || {
        scene
            .stack
            .high_watermarks("logs.rejected")
            .is_ok_and(|ends| ends.iter().sum::<i64>() as usize == HOSTILE + 1)
    })
    .unwrap();
    let metrics = scene.metrics(&consumer);
    scene.end(&mut consumer);

    let text = std::fs::read_to_string(scene.path("logs.txt")).unwrap();
    assert_eq!(text.lines().count(), accepted);
    for line in text.lines() {
        decode(line.as_bytes()).unwrap();
    }
    for n in (0..GOOD).filter(|n| n % 5 != 3) {
        let payload = String::from_utf8(good(n)).unwrap();
        assert!(n > 200 || text.lines().any(|line| line == payload), "as it came: {payload}");
    }

    let sources: HashMap<(i32, i64), Vec<u8>> = scene
        .stack
        .consume_all("logs")
        .unwrap()
        .into_iter()
        .map(|record| ((record.partition, record.offset), record.payload.unwrap_or_default()))
        .collect();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for record in scene.stack.consume_all("logs.rejected").unwrap() {
        let header = |name: &str| String::from_utf8(record.header(name).unwrap().to_vec()).unwrap();
        let place = (header("partition").parse().unwrap(), header("offset").parse().unwrap());
        let source = &sources[&place];
        assert_eq!(record.payload.as_deref().unwrap_or_default(), source, "the original bytes");
        assert_eq!(header("topic"), "logs");
        let reason = if source.len() > 1 << 20 { Reject::TooLarge } else { decode(source).unwrap_err() };
        assert_eq!(header("reason"), reason.as_str());
        *reasons.entry(header("reason")).or_default() += 1;
    }
    assert_eq!(reasons.values().sum::<u64>() as usize, HOSTILE + 1);
    for (reason, count) in reasons {
        let series = format!("sluice_events_rejected_total{{reason=\"{reason}\"}}");
        assert_eq!(http::value(&metrics, &series), Some(count as f64), "{series} in\n{metrics}");
    }
}
