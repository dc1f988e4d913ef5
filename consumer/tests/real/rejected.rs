//! `consumer rejected`: what could not be understood comes back, each event once.

use crate::scene::{PATIENCE, Scene, random, random_pause};
use common::units::format_grouped;
use harness::{Program, built, wait_until};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

fn await_rejected(scene: &Scene, events: usize) {
    wait_until("the rejected events to be in their topic", PATIENCE, || {
        let ends = scene.stack.high_watermarks("logs.rejected").unwrap_or_default();
        ends.iter().sum::<i64>() == events as i64
    })
    .unwrap();
}

/// Runs `consumer rejected …` to its end; its exit code and what it printed.
fn rejected(scene: &Scene, arguments: &[&str]) -> (i32, String) {
    let mut program = scene.rejected(arguments);
    let code = program.wait(PATIENCE).unwrap().code().unwrap();
    (code, program.stdout() + &program.stderr())
}

#[test]
fn mended_events_come_back_once() {
    each_comes_back_once(&Scene::new(3), 30_000);
}

/// Given thousands of events without a message, when a person gives them one and brings them back, with attempts that
/// are killed and two at the same time, then each is in the file and in Redis once.
pub fn each_comes_back_once(scene: &Scene, events: usize) {
    let mut random = random();
    let all = format_grouped(events as u64);
    let bad = (0..events).map(|n| format!("{{\"level\":\"WARN\",\"service\":\"s\",\"n\":{n}}}"));
    scene.stack.produce("logs", None, None, bad).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_rejected(scene, events);
    let (code, table) = rejected(scene, &["list"]);
    assert!(code == 0 && table.contains("no_message") && table.contains(&all), "{table}");
    let (code, said) = rejected(scene, &["replay"]);
    assert!(
        code == 0 && said.contains("still refused") && said.contains("brought back                 0"),
        "{said}"
    );

    let consumer_path = built("consumer").unwrap();
    let list =
        format!("'{}' rejected list --json --brokers {}", consumer_path.display(), scene.stack.bootstrap());
    let list_some = format!("set -o pipefail; {list} | head -n 1");
    let mut some = Program::run(Path::new("bash"), ["-c", &list_some], &[], &scene.path("some")).unwrap();
    let end = some.wait(PATIENCE).unwrap();
    let (line, said) = (some.stdout(), some.stderr());
    assert!(end.success() && line.lines().count() == 1 && said.is_empty(), "{end}: {line}{said}");

    let (_, lines) = rejected(scene, &["list", "--json", "--reason", "no_message"]);
    let mut mended = String::new();
    for line in lines.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let payload = line["payload"].as_str().unwrap().replacen('{', "{\"message\":\"mended\",", 1);
        line["payload"] = payload.into();
        writeln!(mended, "{line}").unwrap();
    }
    std::fs::write(scene.path("mended.jsonl"), &mended).unwrap();
    let replay = ["replay", "--mended", "mended.jsonl"];
    for _ in 0..4 {
        let mut killed = scene.rejected(&replay);
        random_pause(&mut random, Duration::from_millis(1_500));
        killed.kill().unwrap();
    }
    let mut both = [scene.rejected(&replay), scene.rejected(&replay)];
    let ends: Vec<bool> = both.iter_mut().map(|one| one.wait(PATIENCE).unwrap().success()).collect();
    let said = both.iter().map(Program::stderr).collect::<String>();
    assert!(ends.contains(&true), "one of them gets through: {said}");
    let (code, said) = rejected(scene, &replay);
    assert!(code == 0 && said.contains(&format!("brought back before {all:>10}")), "{code} {said}");

    scene.await_count(events as u64);
    scene.end(&mut consumer);
    let text = std::fs::read_to_string(scene.path("logs.txt")).unwrap();
    let numbers =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap());
    assert_eq!(numbers.clone().count(), events);
    assert_eq!(numbers.collect::<HashSet<u64>>().len(), events, "doubled in the file");
    let (_, table) = rejected(scene, &["list"]);
    assert!(table.contains(&format!("no_message               0 {all:>12}")), "{table}");
}

/// Given a transaction in the topic of the rejected that is still open, as of a replay of another topic's events that was
/// killed, then the receipts behind it, which nobody is given yet, count all the same.
#[test]
fn a_transaction_of_others_hides_no_receipt() {
    let scene = Scene::new(1);
    scene.stack.produce("logs", None, None, ["{\"n\":1}", "{\"n\":2}"]).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_rejected(&scene, 2);
    let (_, lines) = rejected(&scene, &["list", "--json"]);
    std::fs::write(scene.path("mended.jsonl"), lines.replace("{\\\"n", "{\\\"message\\\":\\\"m\\\",\\\"n"))
        .unwrap();
    let config = [
        ("bootstrap.servers", scene.stack.bootstrap()),
        ("transactional.id", "sluice-rejected-logs.rejected-other".to_owned()),
    ];
    let config = config.map(|(key, value)| (key.to_owned(), value));
    let other: BaseProducer = ClientConfig::from_iter(config).create().unwrap();
    let time = Duration::from_secs(30);
    other.init_transactions(time).unwrap();
    other.begin_transaction().unwrap();
    other.send(BaseRecord::<[u8], [u8]>::to("logs.rejected").payload(b"another's")).unwrap();
    other.flush(time).unwrap();

    let replay = ["replay", "--mended", "mended.jsonl"];
    let mut first = scene.rejected(&replay);
    wait_until("it to say that it waits", PATIENCE, || first.stderr().contains("still open")).unwrap();
    other.send(BaseRecord::<[u8], [u8]>::to("logs.rejected").payload(b"another's")).unwrap();
    other.commit_transaction(time).unwrap();
    assert!(first.wait(PATIENCE).unwrap().success(), "{}", first.stderr());
    let (code, said) = rejected(&scene, &replay);
    assert!(code == 0 && said.contains("brought back before          2"), "{said}");
    scene.await_count(2);
    scene.end(&mut consumer);
    assert_eq!(scene.lines(), 2);
}

/// Given events that were refused for their size, when the limit is raised, then they come back as they are, and what
/// is no event still does not.
#[test]
fn what_was_too_large_comes_back_under_a_higher_limit() {
    let scene = Scene::new(2);
    let large = |n: usize| format!("{{\"message\":\"{}\",\"n\":{n}}}", "x".repeat(5_000));
    scene.stack.produce("logs", None, Some(b"key"), (0..10).map(large)).unwrap();
    scene.stack.produce("logs", None, None, ["no event", "\u{1b}[2J"]).unwrap();
    let mut consumer = scene.consumer("logs.txt", &["--max-event-bytes", "1KiB"]);
    await_rejected(&scene, 12);
    scene.end(&mut consumer);
    let (_, table) = rejected(&scene, &["list"]);
    assert!(table.contains("logs/") && !table.contains('\u{1b}'), "{table}");

    let mut consumer = scene.consumer("logs.txt", &["--max-event-bytes", "10KiB"]);
    let raised = ["replay", "--max-event-bytes", "10KiB"];
    let (code, said) = rejected(&scene, &[raised.as_slice(), &["--dry-run"]].concat());
    assert!(code == 0 && said.contains("would be brought back        10"), "{said}");
    let (code, said) = rejected(&scene, &raised);
    assert!(code == 0 && said.contains("brought back                10"), "{said}");
    let (code, said) = rejected(&scene, &raised);
    assert!(code == 0 && said.contains("brought back                 0"), "{said}");
    scene.await_count(10);
    scene.end(&mut consumer);
    let mut lines: Vec<String> =
        std::fs::read_to_string(scene.path("logs.txt")).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected: Vec<String> = (0..10).map(large).collect();
    expected.sort();
    assert_eq!(lines, expected);
    let records = scene.stack.consume_all("logs").unwrap();
    let keyed = records.iter().filter(|record| record.key.as_deref() == Some(b"key")).count();
    assert_eq!(keyed, 20, "they keep their keys");
}

/// Given an event that the topic itself is too small for, when it is to come back, then the error names it and says what
/// to do; and left out, it holds nobody up.
#[test]
fn an_event_too_large_for_the_topic_is_named() {
    let scene = Scene::new(1);
    scene.stack.produce("logs", None, None, ["{\"n\":1}", "{\"n\":2}"]).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_rejected(&scene, 2);
    let (_, lines) = rejected(&scene, &["list", "--json"]);
    let mended = lines.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let size = if line["offset"] == 1 { 5 << 20 } else { 10 };
        line["payload"] = format!("{{\"message\":\"{}\"}}", "x".repeat(size)).into();
        format!("{line}\n")
    });
    std::fs::write(scene.path("mended.jsonl"), mended.collect::<String>()).unwrap();
    let replay = ["replay", "--mended", "mended.jsonl", "--max-event-bytes"];
    let (code, said) = rejected(&scene, &[replay.as_slice(), &["8MiB"]].concat());
    assert!(code == 1 && said.contains("logs/0@1: ") && said.contains("max.message.bytes"), "{said}");
    let (code, said) = rejected(&scene, &[replay.as_slice(), &["1MiB"]].concat());
    assert!(code == 1 && said.contains("brought back                 1"), "{said}");
    assert!(said.contains("still refused                1  too_large"), "{said}");
    scene.await_count(1);
    scene.end(&mut consumer);
}
