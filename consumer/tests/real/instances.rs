//! Consumers with files of their own: who has a partition next sees only what was committed.
//!
//! Also where nobody said that they are their own: two that know nothing of each other's file, and one that is given
//! another layout and then the old one again.

use crate::scene::{PATIENCE, Scene, await_lines, await_reading, end_guest, random, random_pause};
use harness::{Signal, send_signal, wait_until};
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
    scene.stack.freeze_redis().unwrap();
    let mut second = scene.consumer(LAYOUT, &["--instance", "y"]);
    await_reading(&mut second, 1);
    scene.stack.resume_redis().unwrap();
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
            end_guest(&mut third);
        }
    });
    scene.finish(&mut producer);
    scene.await_count(200_000);
    scene.end(&mut leader);
    scene.audit(&scene.files("logs-"), &["report.json"], 200_000);
}

/// Given two consumers with a file each and no `{instance}` in its name, when partitions go to the other one and come
/// back, then they go on behind what the other one has written, and not behind their own checkpoint.
#[test]
fn single_files_of_two_consumers() {
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "5k", "--count", "150k"]);
    let mut first = scene.consumer("logs-a.txt", &[]);
    await_lines(&scene.path("logs-a.txt"));
    let mut second = scene.consumer("logs-b.txt", &[]);
    await_reading(&mut second, 2);
    scene.end(&mut first);
    await_reading(&mut second, 4);
    let mut first = scene.consumer("logs-a.txt", &[]);
    await_reading(&mut first, 2);
    scene.finish(&mut producer);
    scene.await_count(150_000);
    scene.end(&mut first);
    scene.end(&mut second);
    scene.audit(&scene.files("logs-"), &["report.json"], 150_000);
}

/// Given a consumer that is started with another layout of its files, and then with the old one again, also twice with
/// nothing new, then each file goes on behind what the others have.
#[test]
fn a_layout_and_back_again() {
    let scene = Scene::new(2);
    let mut reports = Vec::new();
    for (round, file) in ["logs.txt", "logs-{partition}.txt", "logs.txt"].into_iter().enumerate() {
        let report = format!("report-{round}.json");
        // As the group offset would be lost to the file if it were committed in the file's name without an event.
        let mut nothing_new = scene.consumer(file, &[]);
        wait_until("it to read", PATIENCE, || nothing_new.stderr().matches("reading starts").count() == 2)
            .unwrap();
        scene.end(&mut nothing_new);
        let mut producer = scene.producer(&report, &["--rate", "max", "--count", "10k"]);
        scene.finish(&mut producer);
        reports.push(report);
        let mut consumer = scene.consumer(file, &[]);
        scene.await_count(10_000 * reports.len() as u64);
        scene.end(&mut consumer);
    }
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    scene.audit(&scene.files("logs"), &reports, 30_000);
}
