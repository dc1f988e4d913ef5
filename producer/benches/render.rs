//! What making a simulated event costs. A round renders a batch of 1,000: its µs are ns an event.

use common::level::Level;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use producer::hot::{Batch, DEFAULT_SERVICES, Scene, Simulator, Weights};
use std::hint::black_box;

const EVENTS: usize = 1_000;

/// 2026-11-22T07:12:19.267847Z
const START: u64 = 1_795_331_539_267_847;

fn rendering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render");
    for (name, keyed) in [("events", false), ("events with keys", true)] {
        let mut simulator = Simulator::new(&scene(keyed));
        let mut batch = Batch::default();
        // A million events a second; the second changes now and then.
        let mut dues: Vec<u64> = (START..).take(EVENTS).collect();
        simulator.render(&dues, &mut batch);
        // Batches differ by some percent; this one stands for all.
        let bytes = batch.payload_bytes(0..EVENTS);
        group.throughput(Throughput::ElementsAndBytes { elements: EVENTS as u64, bytes });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for due in &mut dues {
                    *due += EVENTS as u64;
                }
                batch.clear();
                simulator.render(black_box(&dues), black_box(&mut batch));
            });
        });
    }
    group.finish();
}

/// What `producer` simulates unless told otherwise.
fn scene(keyed: bool) -> Scene {
    let level = |name: &str| Level::from_name(name).ok_or_else(|| name.to_owned());
    Scene {
        seed: 1,
        producer: "k3x9q2".to_owned(),
        levels: Weights::parse("INFO=80,DEBUG=10,WARN=7,ERROR=3", level).expect("levels"),
        services: Weights::parse(DEFAULT_SERVICES, |name| Ok(name.to_owned())).expect("services"),
        keyed,
        event_bytes: 0,
    }
}

criterion_group!(benches, rendering);
criterion_main!(benches);
