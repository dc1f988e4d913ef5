//! What making a request for Redis costs: a round packs a batch of 2,000 events, from the bytes of each to those
//! that go over the wire.

use common::level::Level;
use consumer::hot::{Keys, Request, ServiceNames};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::hint::black_box;

const EVENTS: u64 = 2_000;
const PARTITIONS: i32 = 4;
const SERVICES: [&str; 8] = ["api", "auth", "cart", "pay", "stock", "db", "jobs", "mail"];

/// 2026-11-22T07:12:19.267847Z
const START: u64 = 1_795_331_539_267_847;

fn packing(criterion: &mut Criterion) {
    let keys = Keys { prefix: "logs".to_owned(), topic: "logs".to_owned(), recent: 100_000, minutes: 1_440 };
    let names = ServiceNames::default();
    let services = SERVICES.map(|name| names.id(name));
    let marks: BTreeMap<i32, String> =
        (0..PARTITIONS).map(|partition| (partition, "7f3a09c1 u7X2pWfbQ0y1nTe8kLzGvA".to_owned())).collect();
    let payloads: Vec<String> = (0..EVENTS).map(payload).collect();
    let bytes = payloads.iter().map(|payload| payload.len() as u64).sum();

    let mut request = Request::default();
    let mut group = criterion.benchmark_group("redis");
    group.throughput(Throughput::ElementsAndBytes { elements: EVENTS, bytes });
    group.bench_function("push and pack", |bencher| {
        bencher.iter(|| {
            request.clear();
            request.begin(START);
            for (number, payload) in (0..).zip(&payloads) {
                let service = services[number as usize % services.len()];
                let due = START + number;
                request.push(
                    payload.as_bytes(),
                    level(number),
                    Some(service),
                    Some(due as i64),
                    Some(due),
                    &keys,
                );
            }
            for partition in 0..PARTITIONS {
                request.moved(partition, 0, 500);
            }
            black_box(request.pack(&keys, &names, &marks, b"").0.len())
        });
    });
    group.finish();
}

fn payload(number: u64) -> String {
    let (level, due) = (level(number), START + number);
    let service = SERVICES[number as usize % SERVICES.len()];
    format!(
        r#"{{"timestamp":"2026-11-22T07:12:19.267847Z","level":"{level}","service":"{service}","producer":"k3x9q2","seq":{number},"due":{due},"message":"user 48211 logged in from 10.2.117.9"}}"#
    )
}

/// As `producer` simulates them: 80 in 100 are INFO, and so on.
fn level(number: u64) -> Level {
    // 37 has no factor in common with 100: each share is scattered.
    match number * 37 % 100 {
        0..80 => Level::Info,
        80..90 => Level::Debug,
        90..97 => Level::Warn,
        _ => Level::Error,
    }
}

criterion_group!(benches, packing);
criterion_main!(benches);
