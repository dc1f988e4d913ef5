//! Several workers in one consumer, which share its file.

use crate::scene::{PATIENCE, Scene, random, random_pause};
use harness::{Program, Signal, http, wait_until};
use std::time::Duration;

const WORKERS: [&str; 2] = ["--workers", "3"];

/// Waits until each worker of a consumer has begun to read.
fn await_workers(consumer: &Program) {
    wait_until("every worker to have partitions", PATIENCE, || {
        let log = consumer.stderr();
        let has_begun = |n| {
            let mut lines = log.lines().filter(|line| line.contains(&format!("worker{{n={n}}}")));
            lines.any(|line| line.contains("reading starts"))
        };
        (0..3).all(has_begun)
    })
    .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
}

/// Given three workers on one file, when the consumer is killed again and again, and now and then comes back with
/// fewer workers or more, then nothing is lost or doubled.
#[test]
fn killed_with_any_number_of_workers() {
    let mut random = random();
    let scene = Scene::new(6);
    let mut producer = scene.producer("report.json", &["--rate", "30k", "--count", "900k"]);
    let mut consumer = scene.consumer("logs.txt", &WORKERS);
    await_workers(&consumer);
    for workers in ["3", "1", "6", "3", "2", "3", "3"] {
        random_pause(&mut random, Duration::from_millis(4_000));
        consumer.kill().unwrap();
        consumer = scene.consumer("logs.txt", &["--workers", workers]);
    }
    scene.finish(&mut producer);
    scene.await_count(900_000);
    let metrics = scene.metrics(&consumer);
    assert_eq!(http::value(&metrics, "sluice_redis_attached"), Some(1.0), "{metrics}");
    assert_eq!(http::value(&metrics, "sluice_partitions"), Some(6.0), "{metrics}");
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 900_000);
}

/// Given workers that are all stopped past their sessions, when they wake up and the group deals the partitions anew,
/// then no worker writes what another one still has under way.
#[test]
fn frozen_past_their_sessions() {
    let scene = Scene::new(6);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "700k"]);
    let mut consumer = scene.consumer("logs.txt", &WORKERS);
    await_workers(&consumer);
    let given_up = |consumer: &Program| consumer.stderr().matches("given up").count();
    for _ in 0..3 {
        wait_until("the workers to have all partitions", PATIENCE, || {
            http::value(&scene.metrics(&consumer), "sluice_partitions") == Some(6.0)
        })
        .unwrap();
        let before = given_up(&consumer);
        consumer.signal(Signal::STOP).unwrap();
        scene.await_empty_group();
        consumer.signal(Signal::CONT).unwrap();
        wait_until("a worker to see that its partitions were given away", PATIENCE, || {
            given_up(&consumer) > before
        })
        .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
    }
    assert!(consumer.stderr().contains("the group gave our partitions away"), "{}", consumer.stderr());
    scene.finish(&mut producer);
    scene.await_count(700_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 700_000);
}

/// Given a file a partition and two consumers of three workers each, when one of them goes, the other one's workers
/// take over.
#[test]
fn partitions_move_between_workers_of_two_consumers() {
    let mut random = random();
    let scene = Scene::new(8);
    let layout = "logs-{partition}.txt";
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "500k"]);
    let mut first = scene.consumer(layout, &WORKERS);
    let mut second = scene.consumer(layout, &WORKERS);
    await_workers(&first);
    await_workers(&second);
    random_pause(&mut random, Duration::from_secs(3));
    scene.end(&mut first);
    random_pause(&mut random, Duration::from_secs(3));
    let mut third = scene.consumer(layout, &WORKERS);
    random_pause(&mut random, Duration::from_secs(3));
    second.kill().unwrap();
    scene.finish(&mut producer);
    scene.await_count(500_000);
    scene.end(&mut third);
    scene.audit(&scene.files("logs-"), &["report.json"], 500_000);
}
