//! What reading an event costs. A round reads 1,000 of them: its µs are ns an event.

use chrono::DateTime;
use common::decode::{Event, Reject, decode, fast, library};
use common::event::format_timestamp;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const EVENTS: u64 = 1_000;

/// 2026-11-22T07:12:19.267847Z
const START: u64 = 1_795_331_539_267_847;

/// As they stand in JSON; some have escapes, as in life.
const MESSAGES: [&str; 5] = [
    "GET /items 200 in 12 ms",
    "user 48211 logged in from 10.2.117.9",
    "K7048 left=19",
    r#"no such key: \"cart:48211\""#,
    "SELECT id, status, total FROM orders WHERE user_id = 'f31b09aa' ORDER BY id LIMIT 40 took 812 ms",
];

fn decoding(criterion: &mut Criterion) {
    let canonical = payloads(canonical);
    let foreign = payloads(logback);
    let rejected = payloads(cut_off);
    assert!(canonical.iter().all(|payload| fast::decode(payload).is_some()));
    assert!(foreign.iter().all(|payload| fast::decode(payload).is_none() && decode(payload).is_ok()));
    assert!(rejected.iter().all(|payload| decode(payload) == Err(Reject::InvalidJson)));

    let mut group = criterion.benchmark_group("decode");
    bench(&mut group, "canonical", &canonical, decode);
    bench(&mut group, "canonical, by the library", &canonical, library::decode);
    bench(&mut group, "foreign", &foreign, decode);
    bench(&mut group, "rejected", &rejected, decode);
    group.finish();
}

fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    payloads: &[Vec<u8>],
    decode: impl Fn(&[u8]) -> Result<Event<'_>, Reject>,
) {
    let bytes = payloads.iter().map(|payload| payload.len() as u64).sum();
    group.throughput(Throughput::ElementsAndBytes { elements: EVENTS, bytes });
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for payload in payloads {
                let _ = black_box(decode(black_box(payload)));
            }
        });
    });
}

fn payloads(text: impl Fn(u64) -> String) -> Vec<Vec<u8>> {
    (0..EVENTS).map(|number| text(number).into_bytes()).collect()
}

/// As Sluice's own producer writes it.
fn canonical(number: u64) -> String {
    let (due, level, message) = (START + number, level(number), message(number));
    let timestamp = timestamp(number);
    format!(
        r#"{{"timestamp":"{timestamp}","level":"{level}","service":"auth","producer":"k3x9q2","seq":{number},"due":{due},"message":"{message}"}}"#
    )
}

/// As Logback writes it with the Logstash encoder.
fn logback(number: u64) -> String {
    let (timestamp, level, message) = (timestamp(number), level(number), message(number));
    format!(
        r#"{{"@timestamp":"{timestamp}","@version":"1","message":"{message}","logger_name":"com.example.Pool","thread_name":"main","level":"{level}","level_value":20000,"service":"auth"}}"#
    )
}

/// No event, which shows only at its end.
fn cut_off(number: u64) -> String {
    let mut payload = canonical(number);
    payload.pop();
    payload
}

fn timestamp(number: u64) -> String {
    let micros = i64::try_from(START + number).expect("a time");
    format_timestamp(DateTime::from_timestamp_micros(micros).expect("a time"))
}

fn level(number: u64) -> &'static str {
    match number % 10 {
        0 => "DEBUG",
        1 => "WARN",
        _ => "INFO",
    }
}

fn message(number: u64) -> &'static str {
    MESSAGES[number as usize % MESSAGES.len()]
}

criterion_group!(benches, decoding);
criterion_main!(benches);
