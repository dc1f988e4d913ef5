//! Latencies from due to each stage: all events are in the log, and what it says can be.

use crate::scene::{Scene, await_reading};
use common::latency_log;
use std::collections::BTreeMap;
use std::time::Instant;

/// Given a consumer that takes an event at a time and logs latencies, then each event stands in the log once for each
/// stage, no event is synced sooner than fetched on the whole, and nothing took longer than the test.
#[test]
fn every_event_is_in_the_log_of_latencies() {
    let scene = Scene::new(4);
    let started = Instant::now();
    let mut consumer = scene.consumer("logs.txt", &["--batch-events", "1", "--latency-log", "latency.hlog"]);
    // A backlog would be read within a second.
    await_reading(&mut consumer, 4);
    let mut producer = scene.producer("run.json", &["--rate", "1k", "--count", "3000"]);
    scene.finish(&mut producer);
    scene.await_count(3_000);
    scene.end(&mut consumer);
    scene.audit(&scene.files("logs"), &["run.json"], 3_000);

    let intervals = latency_log::read(&scene.path("latency.hlog")).unwrap();
    let mut stages: BTreeMap<&str, (u64, f64)> = BTreeMap::new();
    for interval in &intervals {
        let (events, sum) = stages.entry(&interval.stage).or_default();
        *events += interval.micros.len();
        *sum += interval.micros.mean() * interval.micros.len() as f64;
        assert!(interval.micros.max() < started.elapsed().as_micros() as u64, "{interval:?}");
    }
    let events: BTreeMap<&str, u64> = stages.iter().map(|(&stage, &(events, _))| (stage, events)).collect();
    assert_eq!(events, BTreeMap::from([("fetched", 3_000), ("redis", 3_000), ("synced", 3_000)]));
    let sum = |stage: &str| stages[stage].1;
    assert!(
        0.0 < sum("fetched") && sum("fetched") < sum("redis") && sum("fetched") < sum("synced"),
        "{stages:?}"
    );
    assert!(intervals.len() > 3, "a line a second and stage: {}", intervals.len());
}
