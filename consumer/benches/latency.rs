//! What recording the latencies of a batch costs: 2,000 due times into one histogram.

use consumer::hot::Latency;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const EVENTS: u64 = 2_000;

/// 2026-11-22T07:12:19.267847Z
const NOW: u64 = 1_795_331_539_267_847;

fn recording(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("latency");
    group.throughput(Throughput::Elements(EVENTS));
    // By the µs from one event to the next: a million a second are in a bucket or two, a backlog is in many.
    for (name, step) in [("live", 1), ("backlog", 1_000)] {
        let dues: Vec<u64> = (0..EVENTS).rev().map(|number| NOW - 20_000 - number * step).collect();
        let latency = Latency::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| latency.record(black_box(NOW), black_box(&dues)))
        });
    }
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);
