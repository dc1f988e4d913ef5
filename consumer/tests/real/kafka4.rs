//! Kafka 4, which has no ZooKeeper: the same audit, with groups whose members deal the partitions out and with those
//! where the broker does (`group.protocol=consumer`).

use crate::rejected::each_comes_back_once;
use crate::scene::{
    Protocol, Scene, await_lines, await_reading, end_guest, freeze_past_its_session, random, random_pause,
};
use crate::topics::{LONG_SESSION, PARTITIONS, made_anew_while_it_is_frozen, made_anew_while_it_is_read};
use harness::Signal;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

const LAYOUT: &str = "logs-{partition}.txt";

/// Given a steady load, when the consumer is killed again and again, once it reads and at any instant, then another
/// takes its place each time, and nothing is lost or doubled.
fn killed_and_taken_over(protocol: Protocol) {
    let mut random = random();
    let scene = Scene::on_kafka_4(protocol, 4);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "400k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    for round in 0..6 {
        if round % 2 == 0 {
            await_reading(&mut consumer, 4);
        }
        random_pause(&mut random, Duration::from_millis(1_500));
        consumer.kill().unwrap();
        consumer = scene.consumer("logs.txt", &[]);
    }
    scene.finish(&mut producer);
    scene.await_count(400_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 400_000);
}

#[test]
fn killed_and_taken_over_in_a_classic_group() {
    killed_and_taken_over(Protocol::Classic);
}

#[test]
fn killed_and_taken_over_in_a_group_of_the_broker() {
    killed_and_taken_over(Protocol::Consumer);
}

/// Given three consumers with a file a partition, when some join and leave, one is killed, and one is frozen past its
/// session, then nothing is lost or doubled over all files.
fn three_come_and_go(protocol: Protocol) {
    let mut random = random();
    let scene = Scene::on_kafka_4(protocol, 6);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "500k"]);
    let mut steady = scene.consumer(LAYOUT, &[]);
    let mut leaves = scene.consumer(LAYOUT, &[]);
    let mut dies = scene.consumer(LAYOUT, &[]);
    for consumer in [&mut steady, &mut leaves, &mut dies] {
        await_reading(consumer, 1);
    }
    random_pause(&mut random, Duration::from_secs(1));
    scene.end(&mut leaves);
    random_pause(&mut random, Duration::from_secs(1));
    dies.kill().unwrap();
    let mut comes = scene.consumer(LAYOUT, &[]);
    await_reading(&mut comes, 1);
    freeze_past_its_session(&mut comes, &steady);
    for _ in 0..3 {
        let mut guest = scene.consumer(LAYOUT, &[]);
        random_pause(&mut random, Duration::from_millis(1_500));
        end_guest(&mut guest);
    }
    scene.finish(&mut producer);
    scene.await_count(500_000);
    scene.end(&mut comes);
    scene.end(&mut steady);
    let files = scene.files("logs-");
    assert_eq!(files.len(), 6);
    scene.audit(&files, &["report.json"], 500_000);
}

#[test]
fn three_come_and_go_in_a_classic_group() {
    three_come_and_go(Protocol::Classic);
}

#[test]
fn three_come_and_go_in_a_group_of_the_broker() {
    three_come_and_go(Protocol::Consumer);
}

/// Given simulated events and a log file that is shipped, when the broker is killed and restarted, and lines are
/// written meanwhile, then the reports are exact, and nothing is lost or doubled.
fn broker_killed(protocol: Protocol) {
    let scene = Scene::on_kafka_4(protocol, 4);
    let mut producer = scene.producer("simulated.json", &["--rate", "20k", "--count", "400k"]);
    let log = scene.path("app.log");
    let write = |from: usize| {
        let lines: String = (from..from + 1_000).map(|n| format!("WARN line {n}\n")).collect();
        let mut file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    };
    write(0);
    let mut shipper = scene.shipper("shipped.json", &log);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    scene.stack.kill_kafka().unwrap();
    write(1_000);
    scene.stack.start_kafka().unwrap();
    scene.finish(&mut producer);
    write(2_000);
    scene.await_count(403_000);
    shipper.signal(Signal::TERM).unwrap();
    scene.finish(&mut shipper);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["simulated.json", "shipped.json"], 403_000);
}

#[test]
fn broker_killed_under_a_classic_group() {
    broker_killed(Protocol::Classic);
}

#[test]
fn broker_killed_under_a_group_of_its_own() {
    broker_killed(Protocol::Consumer);
}

#[test]
fn topic_made_anew_under_a_classic_group() {
    made_anew_while_it_is_read(&Scene::on_kafka_4(Protocol::Classic, PARTITIONS));
}

#[test]
fn topic_made_anew_under_a_group_of_the_broker() {
    made_anew_while_it_is_read(&Scene::on_kafka_4(Protocol::Consumer, PARTITIONS));
}

#[test]
fn topic_made_anew_under_a_frozen_member_of_a_classic_group() {
    made_anew_while_it_is_frozen(&Scene::on_kafka_4(Protocol::Classic, PARTITIONS), &LONG_SESSION);
}

/// Whose session ends meanwhile.
#[test]
fn topic_made_anew_under_a_frozen_member_of_a_group_of_the_broker() {
    made_anew_while_it_is_frozen(&Scene::on_kafka_4(Protocol::Consumer, PARTITIONS), &[]);
}

/// Transactions as Kafka 4 has them.
#[test]
fn mended_events_come_back_once() {
    each_comes_back_once(&Scene::on_kafka_4(Protocol::Consumer, 3), 10_000);
}
