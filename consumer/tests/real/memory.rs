//! Memory is what `--memory` says and a little more, whatever the size of events.

use crate::scene::{PATIENCE, Scene};
use harness::usage::{held, usage};
use harness::wait_until;

/// Beside the events: the program, its clients' buffers, and what the allocator keeps; 21 to 43 MiB were seen.
const BESIDE: u64 = 64 << 20;

/// Given a backlog of events of 20 KiB, which would fill a batch of 10,000 with 200 MB, when the consumer has 16 MiB for
/// events, then its peak stays near that.
#[test]
fn large_events_need_no_more_than_small_ones() {
    let scene = Scene::new(4);
    let mut producer =
        scene.producer("report.json", &["--rate", "max", "--count", "20k", "--event-size", "20KiB"]);
    scene.finish(&mut producer);
    let mut consumer = scene.consumer("logs.txt", &["--memory", "16MiB"]);
    scene.await_count(20_000);
    let peak = usage(consumer.pid()).memory_peak;
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 20_000);
    assert!((1..(16 << 20) + BESIDE).contains(&peak), "{} MiB", peak >> 20);
}

/// What a backlog took is given back once it is read, not kept until the next one, which would keep a little more.
#[test]
fn a_backlog_is_forgotten() {
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "max", "--count", "1M"]);
    scene.finish(&mut producer);
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(1_000_000);
    let peak = usage(consumer.pid()).memory_peak;
    let memory_falls = || (held(consumer.pid()).unwrap().memory < peak / 2).then_some(());
    wait_until("memory to fall to half its peak", PATIENCE, memory_falls).unwrap();
    assert!(peak > 80 << 20, "no backlog: {} MiB", peak >> 20);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 1_000_000);
}
