//! The topic itself changes: made anew, or shortened.

use crate::scene::{PATIENCE, Scene, await_reading};
use harness::{Signal, http, wait_until};

pub const PARTITIONS: usize = 2;

/// Sends `count` events as fast as possible.
fn send(scene: &Scene, report: &str, count: &str) {
    let mut producer = scene.producer(report, &["--rate", "max", "--count", count]);
    scene.finish(&mut producer);
}

fn make_anew(scene: &Scene) {
    scene.stack.delete_topic("logs").unwrap();
    scene.stack.create_topic("logs", PARTITIONS).unwrap();
}

/// Given a topic that is deleted and made anew while no consumer runs, and that by then holds more than the old
/// one did, so that every old offset exists again, then all of the new one is in the file and in Redis.
#[test]
fn made_anew_and_longer_while_nobody_looked() {
    let scene = Scene::new(PARTITIONS);
    send(&scene, "old.json", "20k");
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(20_000);
    scene.end(&mut consumer);
    make_anew(&scene);
    send(&scene, "new.json", "50k");
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(70_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["old.json", "new.json"], 70_000);
}

#[test]
fn made_anew_under_a_running_consumer() {
    made_anew_while_it_is_read(&Scene::new(PARTITIONS));
}

/// Given a topic that is deleted and made anew under a running consumer, then all of the new one arrives, too,
/// whether it is shorter than the old one was or longer.
pub fn made_anew_while_it_is_read(scene: &Scene) {
    let mut consumer = scene.consumer("logs.txt", &[]);
    let mut events = 0;
    let mut reports = Vec::new();
    for (report, count) in [("first.json", 20_000), ("shorter.json", 5_000), ("longer.json", 60_000)] {
        send(scene, report, &count.to_string());
        reports.push(report);
        events += count;
        scene.await_count(events);
        if report != "longer.json" {
            make_anew(scene);
        }
    }
    scene.end(&mut consumer);
    assert!(consumer.stderr().contains("the topic was made anew"), "{}", consumer.stderr());
    scene.audit(&[scene.path("logs.txt")], &reports, events);
}

/// Given brokers that were restarted, so that partitions have changed their leaders more often than those of a topic
/// that is made anew, then the new one is read, too: to librdkafka all that brokers say of it looks outdated, so that it
/// would go on asking the old one's leaders.
#[test]
fn made_anew_after_leaders_had_changed() {
    let scene = Scene::with_brokers(2, PARTITIONS);
    scene.stack.delete_topic("logs").unwrap();
    scene.stack.create_topic_led_by("logs", &[0, 1]).unwrap();
    send(&scene, "old.json", "20k");
    scene.stack.stop_kafka().unwrap();
    scene.stack.start_kafka().unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(20_000);
    scene.stack.delete_topic("logs").unwrap();
    scene.stack.create_topic_led_by("logs", &[1, 0]).unwrap();
    send(&scene, "new.json", "50k");
    scene.await_count(70_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["old.json", "new.json"], 70_000);
}

#[test]
fn made_anew_under_a_frozen_consumer() {
    made_anew_while_it_is_frozen(&Scene::new(PARTITIONS), &LONG_SESSION);
}

/// For a member of a classic group: it is not missed while it is frozen.
pub const LONG_SESSION: [&str; 2] = ["--kafka", "session.timeout.ms=60000"];

/// Given a consumer that is frozen while its topic is made anew and filled, so that at its first look the old
/// offsets exist again, then what it still commits of the old topic is not taken for a position in the new one.
pub fn made_anew_while_it_is_frozen(scene: &Scene, more: &[&str]) {
    let mut consumer = scene.consumer("logs.txt", more);
    send(scene, "old.json", "20k");
    scene.await_count(20_000);
    consumer.signal(Signal::STOP).unwrap();
    make_anew(scene);
    send(scene, "new.json", "60k");
    consumer.signal(Signal::CONT).unwrap();
    scene.await_count(80_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["old.json", "new.json"], 80_000);
}

/// Given a topic that is made anew while Redis is away, so that its position there is one of a topic that is gone
/// but exists in the new one, too, then Redis gets all of the new one, also when the consumer is another by then.
fn made_anew_while_redis_is_away(killed: bool) {
    let scene = Scene::new(PARTITIONS);
    let mut consumer = scene.consumer("logs.txt", &[]);
    send(&scene, "old.json", "20k");
    scene.await_count(20_000);
    redis::cmd("SAVE").exec(&mut scene.stack.redis().unwrap()).unwrap();
    scene.stack.kill_redis().unwrap();
    make_anew(&scene);
    send(&scene, "new.json", "60k");
    wait_until("the file to hold all events", PATIENCE, || scene.lines() == 80_000).unwrap();
    if killed {
        consumer.kill().unwrap();
        consumer = scene.consumer("logs.txt", &[]);
        await_reading(&mut consumer, 1);
    }
    scene.stack.start_redis(true).unwrap();
    scene.await_count(80_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["old.json", "new.json"], 80_000);
}

#[test]
fn made_anew_while_redis_is_away_and_known_to_the_same_consumer() {
    made_anew_while_redis_is_away(false);
}

#[test]
fn made_anew_while_redis_is_away_and_known_to_the_next_consumer() {
    made_anew_while_redis_is_away(true);
}

/// Given a consumer that was away for so long that Kafka has deleted what it did not read, then it goes on with
/// what is left, and says and counts what is lost.
#[test]
fn what_kafka_deleted_is_said_and_counted() {
    let scene = Scene::new(PARTITIONS);
    send(&scene, "first.json", "20k");
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(20_000);
    scene.end(&mut consumer);
    let had = scene.stack.high_watermarks("logs").unwrap();
    send(&scene, "second.json", "20k");
    let ends = scene.stack.high_watermarks("logs").unwrap();
    let first_left: Vec<i64> = had.iter().zip(&ends).map(|(had, end)| had + (end - had) / 2).collect();
    scene.stack.delete_records("logs", &first_left).unwrap();
    let lost: i64 = first_left.iter().zip(&had).map(|(first, had)| first - had).sum();
    let left = 20_000 - u64::try_from(lost).unwrap();

    let mut consumer = scene.consumer("logs.txt", &[]);
    wait_until("what is left to be in the file", PATIENCE, || scene.lines() == 20_000 + left).unwrap();
    let page = scene.metrics(&consumer);
    assert_eq!(http::value(&page, "sluice_offsets_skipped_total"), Some(lost as f64), "{page}");
    scene.end(&mut consumer);
    assert!(
        consumer.stderr().contains("Kafka deleted events before they were read"),
        "{}",
        consumer.stderr()
    );
    assert_eq!(scene.lines(), 20_000 + left);
}
