//! Kafka 4, which has no ZooKeeper: the same audit, with groups whose members deal the partitions out and with those
//! where the broker does (`group.protocol=consumer`).

use crate::scene::{PATIENCE, Protocol, Scene, await_lines, random, random_pause};
use harness::{Program, Signal, wait_until};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

const LAYOUT: &str = "logs-{partition}.txt";

/// Waits until a consumer has begun to read so many partitions, in all.
fn await_reading(consumer: &mut Program, partitions: usize) {
    wait_until("the consumer to read", PATIENCE, || {
        assert!(consumer.is_running().unwrap(), "{}", consumer.stderr());
        consumer.stderr().matches("reading starts").count() >= partitions
    })
    .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
}

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
    comes.signal(Signal::STOP).unwrap();
    // Not what it said of earlier owners.
    let said = steady.stderr().len();
    wait_until("the other to be given its partitions, whose files are still locked", PATIENCE, || {
        steady.stderr()[said..].contains("its file is still held, waiting")
    })
    .unwrap_or_else(|error| panic!("{error}: {}", steady.stderr()));
    comes.signal(Signal::CONT).unwrap();
    wait_until("it to see that its partitions were given away", PATIENCE, || {
        comes.stderr().contains("the group gave our partitions away")
    })
    .unwrap_or_else(|error| panic!("{error}: {}\nthe other: {}", comes.stderr(), steady.stderr()));
    for _ in 0..3 {
        let mut guest = scene.consumer(LAYOUT, &[]);
        random_pause(&mut random, Duration::from_millis(1_500));
        guest.signal(Signal::TERM).unwrap();
        assert!(guest.wait(PATIENCE).unwrap().success(), "{}", guest.stderr());
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

/// Given a topic that is deleted and made anew under a running consumer, then all of the new one arrives, too,
/// whether it is shorter than the old one was or longer.
fn topic_made_anew(protocol: Protocol) {
    let scene = Scene::on_kafka_4(protocol, 2);
    let mut consumer = scene.consumer("logs.txt", &[]);
    let mut events = 0;
    let mut reports = Vec::new();
    for (report, count) in [("first.json", 20_000), ("shorter.json", 5_000), ("longer.json", 60_000)] {
        if !reports.is_empty() {
            scene.stack.delete_topic("logs").unwrap();
            scene.stack.create_topic("logs", 2).unwrap();
        }
        let mut producer = scene.producer(report, &["--rate", "max", "--count", &count.to_string()]);
        scene.finish(&mut producer);
        reports.push(report);
        events += count;
        scene.await_count(events);
    }
    scene.end(&mut consumer);
    assert!(consumer.stderr().contains("the topic was made anew"), "{}", consumer.stderr());
    scene.audit(&[scene.path("logs.txt")], &reports, events);
}

#[test]
fn topic_made_anew_under_a_classic_group() {
    topic_made_anew(Protocol::Classic);
}

#[test]
fn topic_made_anew_under_a_group_of_the_broker() {
    topic_made_anew(Protocol::Consumer);
}

/// Given events without a message, when they are mended and brought back by attempts that are killed and by two at
/// once, then each is in the file once: transactions as Kafka 4 has them.
#[test]
fn mended_events_come_back_once() {
    const EVENTS: usize = 10_000;
    let mut random = random();
    let scene = Scene::on_kafka_4(Protocol::Consumer, 3);
    let bad = (0..EVENTS).map(|n| format!("{{\"level\":\"WARN\",\"service\":\"s\",\"n\":{n}}}"));
    scene.stack.produce("logs", None, None, bad).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    wait_until("the rejected events to be in their topic", PATIENCE, || {
        let ends = scene.stack.high_watermarks("logs.rejected").unwrap_or_default();
        ends.iter().sum::<i64>() == EVENTS as i64
    })
    .unwrap();
    let mut list = scene.rejected(&["list", "--json"]);
    assert!(list.wait(PATIENCE).unwrap().success(), "{}", list.stderr());
    let mut mended = String::new();
    for line in list.stdout().lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["payload"] =
            line["payload"].as_str().unwrap().replacen('{', "{\"message\":\"mended\",", 1).into();
        writeln!(mended, "{line}").unwrap();
    }
    std::fs::write(scene.path("mended.jsonl"), &mended).unwrap();
    let replay = ["replay", "--mended", "mended.jsonl"];
    for _ in 0..3 {
        let mut killed = scene.rejected(&replay);
        random_pause(&mut random, Duration::from_millis(1_000));
        killed.kill().unwrap();
    }
    for mut one in [scene.rejected(&replay), scene.rejected(&replay)] {
        // Of two at once, one may have to give way.
        one.wait(PATIENCE).unwrap();
    }
    let mut last = scene.rejected(&replay);
    assert!(last.wait(PATIENCE).unwrap().success(), "{}", last.stderr());
    scene.await_count(EVENTS as u64);
    scene.end(&mut consumer);
    let text = std::fs::read_to_string(scene.path("logs.txt")).unwrap();
    let numbers: Vec<u64> = (text.lines())
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers.len(), EVENTS);
    assert_eq!(numbers.into_iter().collect::<HashSet<u64>>().len(), EVENTS, "doubled in the file");
}
