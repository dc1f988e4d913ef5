//! Partitions that move between consumers which share a folder.

use crate::scene::{
    PATIENCE, Scene, await_lines, await_reading, end_guest, freeze_past_its_session, random, random_pause,
};
use harness::{Link, Program, wait_until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::path::Path;
use std::time::Duration;

/// Given three consumers with a file a partition, when one is killed, one is stopped and one comes while events
/// flow, then over all files nothing is lost and nothing is doubled.
#[test]
fn one_killed_one_stopped_one_added() {
    let mut random = random();
    let scene = Scene::new(6);
    let layout = "logs-{partition}.txt";
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "600k"]);
    let mut first = scene.consumer(layout, &[]);
    let mut second = scene.consumer(layout, &[]);
    let mut third = scene.consumer(layout, &[]);
    for consumer in [&mut first, &mut second, &mut third] {
        await_reading(consumer, 1);
    }
    random_pause(&mut random, Duration::from_secs(2));
    first.kill().unwrap();
    random_pause(&mut random, Duration::from_secs(4));
    scene.end(&mut second);
    random_pause(&mut random, Duration::from_secs(2));
    let mut fourth = scene.consumer(layout, &[]);
    scene.finish(&mut producer);
    scene.await_count(600_000);
    scene.end(&mut third);
    scene.end(&mut fourth);
    assert!(fourth.stderr().contains("reading starts"), "{}", fourth.stderr());
    let files = scene.files("logs-");
    assert_eq!(files.len(), 6);
    scene.audit(&files, &["report.json"], 600_000);
}

/// Given a consumer that is frozen past its session, when others take its partitions over and it wakes up, then
/// it writes nothing more of them.
#[test]
fn a_frozen_consumer_writes_nothing_when_it_wakes_up() {
    let scene = Scene::new(4);
    let layout = "logs-{partition}.txt";
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "500k"]);
    let mut first = scene.consumer(layout, &[]);
    let mut second = scene.consumer(layout, &[]);
    for consumer in [&mut first, &mut second] {
        await_reading(consumer, 1);
    }
    freeze_past_its_session(&mut first, &second);
    scene.finish(&mut producer);
    scene.await_count(500_000);
    scene.end(&mut first);
    scene.end(&mut second);
    scene.audit(&scene.files("logs-"), &["report.json"], 500_000);
}

/// Given consumers that come and go without pause, nothing is lost or doubled: the batch calls under a storm
/// of rebalances.
#[test]
fn a_storm_of_rebalances() {
    let mut random = random();
    let scene = Scene::new(8);
    let layout = "logs-{partition}.txt";
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "500k"]);
    let mut steady = scene.consumer(layout, &[]);
    for round in 0..8 {
        let mut guest = scene.consumer(layout, &[]);
        random_pause(&mut random, Duration::from_millis(2_500));
        if round % 3 == 0 {
            guest.kill().unwrap();
        } else {
            end_guest(&mut guest);
        }
    }
    scene.finish(&mut producer);
    scene.await_count(500_000);
    scene.end(&mut steady);
    scene.audit(&scene.files("logs-"), &["report.json"], 500_000);
}

/// Given consumers that end one after the other on a slow network while events flow, so that those that are left are in
/// a rebalance, during which the group takes no commits, then the offsets that they leave are those that their files have.
#[test]
fn ended_one_after_the_other() {
    let mut random = random();
    let scene = Scene::behind_a_network(6);
    let layout = "logs-{partition}.txt";
    let mut producer = scene.producer("report.json", &["--rate", "1k", "--count", "30k"]);
    for _ in 0..5 {
        let mut consumers: Vec<Program> = (0..3).map(|_| scene.consumer(layout, &[])).collect();
        for consumer in &mut consumers {
            await_reading(consumer, 2);
        }
        scene.stack.proxies()[0].set(Link::Slow(Duration::from_millis(100)));
        for consumer in &mut consumers {
            scene.end(consumer);
            random_pause(&mut random, Duration::from_millis(800));
        }
        scene.stack.proxies()[0].set(Link::Up);
    }
    let mut last = scene.consumer(layout, &[]);
    scene.finish(&mut producer);
    scene.await_count(30_000);
    scene.end(&mut last);
    scene.audit(&scene.files("logs-"), &["report.json"], 30_000);
}

/// Given a client of the same name that takes its place in the group, as a commit of its own does that comes late, the
/// holder of the file takes the place back, in the same process, and not before a slow disk has what it was given.
#[test]
fn taken_for_another_one() {
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "200k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    let checkpoint = std::fs::read(scene.path("logs.txt.checkpoint")).unwrap();
    let checkpoint = String::from_utf8_lossy(&checkpoint).into_owned();
    let file_id = checkpoint.split("\"file_id\":\"").nth(1).unwrap().split('"').next().unwrap();
    let config = [
        ("bootstrap.servers", scene.stack.bootstrap()),
        ("group.id", "sluice".to_owned()),
        ("group.instance.id", format!("sluice-{file_id}-0")),
        ("partition.assignment.strategy", "cooperative-sticky".to_owned()),
        ("auto.offset.reset", "error".to_owned()),
    ];
    let other: BaseConsumer =
        ClientConfig::from_iter(config.map(|(key, value)| (key.to_owned(), value))).create().unwrap();
    let mut disk = slow_disk(&scene, &consumer);
    other.subscribe(&["logs"]).unwrap();
    wait_until("the consumer to join again", PATIENCE, || {
        other.poll(Duration::from_millis(10));
        consumer.stderr().contains("joining again")
    })
    .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
    drop(other);
    scene.finish(&mut producer);
    disk.kill().unwrap();
    scene.await_count(200_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 200_000);
}

/// Has each sync of the consumer's file take a second, until what is returned is killed.
fn slow_disk(scene: &Scene, consumer: &Program) -> Program {
    let (pid, file) = (consumer.pid().to_string(), scene.path("logs.txt"));
    let file = file.to_str().unwrap();
    let inject = "inject=fdatasync:delay_enter=1000000";
    let arguments =
        ["-f", "-qq", "-o", "/dev/null", "-p", &pid, "-e", "trace=fdatasync", "-e", inject, "-P", file];
    let disk = Program::run(Path::new("strace"), arguments, &[], &scene.path("disk")).unwrap();
    let traced =
        |status: &str| status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
    wait_until("the disk to be slow", PATIENCE, || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let mut statuses =
            threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")));
        statuses.all(|status| status.is_ok_and(|status| traced(&status)))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", disk.stderr()));
    disk
}
