use super::*;
use common::decode::decode;
use std::collections::HashMap;

const NOW: u64 = 1_795_331_539_267_847;

fn scene(seed: u64) -> Scene {
    let services = Weights::parse(templates::DEFAULT_SERVICES, |name| Ok(name.to_owned()));
    Scene {
        seed,
        producer: "k3x9q2".to_owned(),
        levels: Weights::parse("INFO=80,DEBUG=10,WARN=7,ERROR=3", level).expect("levels"),
        services: services.expect("services"),
        keyed: false,
        event_bytes: 0,
    }
}

fn level(name: &str) -> Result<Level, String> {
    Level::from_name(name).ok_or_else(|| name.to_owned())
}

/// `count` events, a microsecond apart, rendered in batches of `size`.
fn events(scene: &Scene, start: u64, count: usize, size: usize) -> Vec<Vec<u8>> {
    let mut simulator = Simulator::new(scene);
    let mut batch = Batch::default();
    let dues: Vec<u64> = (0..count as u64).map(|i| start + i).collect();
    let mut events = Vec::new();
    for dues in dues.chunks(size) {
        batch.clear();
        simulator.render(dues, &mut batch);
        events.extend(batch.records_from(0).map(|record| record.payload.to_vec()));
    }
    events
}

/// The event without its times.
fn timeless(event: &[u8]) -> Vec<u8> {
    let (from, due) = (pool::TIMESTAMP_AT, memchr::memmem::find(event, b",\"due\":").expect("due") + 7);
    [&event[..from], &event[from + stamp::TIMESTAMP_LEN..due], &event[due + stamp::DUE_LEN..]].concat()
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_batches_times_apart() {
    let twice = events(&scene(7), NOW, 5_000, 64);
    assert_eq!(twice, events(&scene(7), NOW, 5_000, 1_999));
    let later = events(&scene(7), NOW + 1_000_000_007, 5_000, 64);
    assert_ne!(twice, later);
    assert!(twice.iter().zip(&later).all(|(a, b)| timeless(a) == timeless(b)));
    assert_ne!(twice, events(&scene(8), NOW, 5_000, 64));
}

/// A seed names the same events on every machine and in every release: whoever changes templates, draws or the
/// library behind them sees it here.
#[test]
fn seed_1_is_what_it_always_was() {
    let events = events(&scene(1), NOW, pool::SIZE, 1_000);
    assert_eq!(crc32(&events.concat()), 3_416_911_768);
    assert_eq!(
        String::from_utf8_lossy(&events[0]),
        "{\"timestamp\":\"2026-11-22T07:12:19.267847Z\",\"level\":\"INFO\",\"service\":\"stock\",\
         \"producer\":\"k3x9q2\",\"seq\":1,\"due\":1795331539267847,\"message\":\"K7048 left=19\"}"
    );
}

/// CRC-32 (IEEE), bit by bit: enough to tell two runs apart.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn every_event_is_read_back_as_it_was_meant() {
    let levels = Weights::parse("TRACE,DEBUG,INFO,WARN,ERROR,FATAL", level).expect("levels");
    let events = events(&Scene { levels, ..scene(3) }, NOW, 2 * pool::SIZE, 500);
    let mut messages = HashMap::new();
    for (i, payload) in events.iter().enumerate() {
        let event = decode(payload).expect("an event");
        let micros = NOW + i as u64;
        assert_eq!((event.seq, event.due), (Some(i as u64 + 1), Some(micros)));
        assert_eq!(event.timestamp, i64::try_from(micros).ok());
        assert_eq!((event.producer.as_deref(), event.host), (Some("k3x9q2"), None));
        assert!(templates::FAMILIES.iter().any(|family| Some(family.name) == event.service.as_deref()));
        assert!(!event.message.contains(['{', '}']), "{}", event.message);
        // The library agrees that it is JSON, with the fields in the order that the fast decoder expects.
        let value: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        assert_eq!(value["message"], *event.message);
        *messages.entry(event.level).or_insert(0) += 1;
    }
    assert_eq!(messages.len(), 6);
}

#[test]
fn levels_occur_as_often_as_asked() {
    let mut counts = HashMap::new();
    for payload in events(&scene(5), NOW, pool::SIZE, 1_000) {
        *counts.entry(decode(&payload).expect("an event").level).or_insert(0_usize) += 1;
    }
    for (level, percent) in [(Level::Info, 80), (Level::Debug, 10), (Level::Warn, 7), (Level::Error, 3)] {
        assert!(counts[&level].abs_diff(pool::SIZE * percent / 100) <= 1, "{level}: {}", counts[&level]);
    }
}

#[test]
fn lengths_are_those_of_real_logs() {
    for seed in 1..4 {
        let mut lengths: Vec<usize> =
            events(&scene(seed), NOW, pool::SIZE, 1_000).iter().map(|event| event.len()).collect();
        lengths.sort_unstable();
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        let (p99, max) = (lengths[lengths.len() * 99 / 100], lengths[lengths.len() - 1]);
        eprintln!(
            "mean {mean} p50 {} p90 {} p99 {p99} max {max}",
            lengths[lengths.len() / 2],
            lengths[lengths.len() * 9 / 10]
        );
        assert!((160.0..=170.0).contains(&mean), "mean {mean}");
        assert!((300..=400).contains(&p99), "p99 {p99}");
        assert!((2_000..=2_560).contains(&max), "max {max}");
    }
}

#[test]
fn a_keyed_event_has_its_service_as_key() {
    let services = Weights::parse("auth=3,billing=1", |name| Ok(name.to_owned())).expect("services");
    let mut simulator = Simulator::new(&Scene { services, keyed: true, ..scene(2) });
    let mut batch = Batch::default();
    simulator.render(&[NOW; 2_000], &mut batch);
    let mut counts = HashMap::new();
    for record in batch.records_from(0) {
        let event = decode(record.payload).expect("an event");
        assert_eq!(record.key, event.service.as_ref().map(|service| service.as_bytes()));
        *counts.entry(event.service.expect("a service").into_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 2);
    assert!((400..600).contains(&counts["billing"]), "{counts:?}");
}

#[test]
fn long_events_are_as_long_as_asked_for_and_still_what_a_consumer_expects() {
    for size in [1_024, 10_240, 100_000] {
        let events = events(&Scene { event_bytes: size, ..scene(4) }, NOW, 500, 100);
        for event in &events {
            assert!((size..size + 5_000).contains(&event.len()), "{} for {size}", event.len());
            assert!(decode(event).is_ok_and(|event| event.due.is_some()));
        }
        let mean = events.iter().map(Vec::len).sum::<usize>() / events.len();
        assert!(mean < size + size / 10, "{mean} for {size}");
    }
}
