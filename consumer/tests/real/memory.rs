//! Memory is what `--memory` says and a little more, whatever the size of events.

use crate::scene::Scene;

/// Beside the events: the program, its clients' buffers, and what the allocator keeps.
const BESIDE: u64 = 36 << 20;

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
    let status = std::fs::read_to_string(format!("/proc/{}/status", consumer.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 20_000);
    assert!(peak << 10 < (16 << 20) + BESIDE, "{} MiB", peak >> 10);
}
