//! `kill -9` at any instant.

use crate::scene::{PATIENCE, Scene, await_lines, random, random_pause};
use harness::{Program, wait_until};
use std::time::Duration;

const KILLS: usize = 25;

/// Given two million events at a steady rate, when the consumer is killed at 25 random instants, then nothing
/// is lost, nothing is doubled, and Redis has counted what the file holds.
#[test]
fn killed_twenty_five_times() {
    let mut random = random();
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "40k", "--count", "2M"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    for _ in 0..KILLS {
        random_pause(&mut random, Duration::from_millis(3_500));
        consumer.kill().unwrap();
        consumer = scene.consumer("logs.txt", &[]);
    }
    scene.finish(&mut producer);
    scene.await_count(2_000_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 2_000_000);
}

/// Given a file that is put aside again and again while the consumer is killed, nothing is lost or doubled over
/// all the files.
#[test]
fn killed_while_rotating() {
    let mut random = random();
    let scene = Scene::new(2);
    let rotate = ["--rotate-size", "1MiB"];
    let mut producer = scene.producer("report.json", &["--rate", "30k", "--count", "300k"]);
    let mut consumer = scene.consumer("logs.txt", &rotate);
    for _ in 0..6 {
        random_pause(&mut random, Duration::from_millis(2_000));
        consumer.kill().unwrap();
        consumer = scene.consumer("logs.txt", &rotate);
    }
    scene.finish(&mut producer);
    scene.await_count(300_000);
    scene.end(&mut consumer);
    let files = scene.files("logs");
    assert!(files.len() > 5, "{} files", files.len());
    scene.audit(&files, &["report.json"], 300_000);
}

/// Given three consumers on one file, when the one that writes is killed, another takes over within seconds;
/// five times; there is one file with nothing lost or doubled.
#[test]
fn a_standby_takes_over() {
    let mut random = random();
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "600k"]);
    let mut consumers: Vec<Program> = (0..3).map(|_| scene.consumer("logs.txt", &[])).collect();
    for _ in 0..5 {
        let active = wait_until("one consumer to be active", PATIENCE, || {
            consumers.iter().position(|consumer| consumer.stderr().contains("reading starts"))
        })
        .unwrap();
        for (index, consumer) in consumers.iter().enumerate().filter(|(index, _)| *index != active) {
            let pid = consumers[active].pid();
            wait_until("the others to name who has the file", PATIENCE, || {
                consumer.stderr().contains(&format!("holder=\"process {pid} on"))
            })
            .unwrap_or_else(|error| panic!("{error}, consumer {index}: {}", consumer.stderr()));
        }
        random_pause(&mut random, Duration::from_millis(1_500));
        consumers.remove(active).kill().unwrap();
        wait_until("another to take over", Duration::from_secs(30), || {
            consumers.iter().any(|consumer| consumer.stderr().contains("reading starts"))
        })
        .unwrap();
        consumers.push(scene.consumer("logs.txt", &[]));
    }
    scene.finish(&mut producer);
    scene.await_count(600_000);
    for consumer in &mut consumers {
        consumer.signal(harness::Signal::TERM).unwrap();
        assert!(consumer.wait(PATIENCE).unwrap().success());
    }
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 600_000);
}

/// Given a standby, when somebody removes the lock file under the consumer that writes, as if it were left over, then that
/// one alone goes on writing; and once it is killed, the standby does.
#[test]
fn a_removed_lock_file_lets_nobody_in() {
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "5k", "--count", "60k"]);
    let mut first = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    let mut second = scene.consumer("logs.txt", &[]);
    let told = |what: &str| {
        wait_until(what, PATIENCE, || second.stderr().contains(what))
            .unwrap_or_else(|error| panic!("{error}: {}", second.stderr()));
    };
    told("standing by");
    std::fs::remove_file(scene.path("logs.txt.lock")).unwrap();
    told("without its lock file");
    scene.finish(&mut producer);
    scene.await_count(60_000);
    assert!(!second.stderr().contains("reading starts"), "{}", second.stderr());
    first.kill().unwrap();
    told("reading starts");
    scene.end(&mut second);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 60_000);
}
