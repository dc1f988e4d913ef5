//! Consumers with files of their own: who has a partition next sees only what was committed.

use crate::scene::{Scene, await_lines, await_reading, random, random_pause};
use harness::{Signal, send_signal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const LAYOUT: &str = "logs-{instance}.txt";

/// Sets a flag when it is dropped, by a failure, too.
struct SetAtLast<'f>(&'f AtomicBool);

impl Drop for SetAtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Given a Redis that hangs while partitions move, then they go on behind what the file has, and not behind what Redis
/// has.
#[test]
fn partitions_move_while_redis_hangs() {
    let mut random = random();
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "5k", "--count", "100k"]);
    let mut first = scene.consumer(LAYOUT, &["--instance", "x"]);
    await_lines(&scene.path("logs-x.txt"));
    random_pause(&mut random, Duration::from_secs(3));
    let (_, redis) = scene.stack.pids().into_iter().find(|(name, _)| name.starts_with("redis")).unwrap();
    send_signal(redis, Signal::STOP).unwrap();
    let mut second = scene.consumer(LAYOUT, &["--instance", "y"]);
    await_reading(&mut second, 1);
    send_signal(redis, Signal::CONT).unwrap();
    scene.finish(&mut producer);
    scene.await_count(100_000);
    scene.end(&mut first);
    scene.end(&mut second);
    scene.audit(&scene.files("logs-"), &["report.json"], 100_000);
}

/// Given a group whose leader is slow, so that rebalances take long, when a consumer ends in the middle of one, then
/// what it has written is committed first.
#[test]
fn ends_within_rebalances() {
    let mut random = random();
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "5k", "--count", "200k"]);
    let mut leader = scene.consumer(LAYOUT, &["--instance", "x"]);
    await_lines(&scene.path("logs-x.txt"));
    let (over, pid) = (AtomicBool::new(false), leader.pid());
    thread::scope(|scope| {
        let _over = SetAtLast(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for (signal, time) in [(Signal::STOP, 300), (Signal::CONT, 60)] {
                    send_signal(pid, signal).unwrap();
                    thread::park_timeout(Duration::from_millis(time));
                }
            }
        });
        for _ in 0..8 {
            let mut second = scene.consumer(LAYOUT, &["--instance", "y"]);
            await_reading(&mut second, 1);
            let mut third = scene.consumer(LAYOUT, &["--instance", "x-1"]);
            random_pause(&mut random, Duration::from_millis(1_800));
            scene.end(&mut second);
            scene.end(&mut third);
        }
    });
    scene.finish(&mut producer);
    scene.await_count(200_000);
    scene.end(&mut leader);
    scene.audit(&scene.files("logs-"), &["report.json"], 200_000);
}
