//! What does not work is said within seconds, on `/readyz`, the metrics and the log, while the rest goes on.

use crate::scene::{PATIENCE, Scene, await_lines};
use harness::{Program, http, wait_until};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// From when something stops until it is said: what counts as stuck is so after 5 s, and is looked for every 4.
const SAID_WITHIN: Duration = Duration::from_secs(30);

/// Waits until `/readyz` names a trouble, and the metric of its part says so, too.
pub fn await_trouble(scene: &Scene, consumer: &Program, part: &str, what: &str) {
    wait_until(what, SAID_WITHIN, || {
        let ready = scene.page(consumer, "/readyz");
        ready.starts_with("active, degraded:\n") && ready.contains(what)
    })
    .unwrap_or_else(|error| panic!("{error}: {}{}", scene.page(consumer, "/readyz"), consumer.stderr()));
    let series = format!("sluice_degraded_seconds{{part=\"{part}\"}}");
    let seconds = http::value(&scene.metrics(consumer), &series).unwrap();
    assert!(seconds > 0.0, "{series} {seconds}");
    assert_eq!(scene.page(consumer, "/healthz"), "ok\n", "degraded is not dead");
}

pub fn await_good(scene: &Scene, consumer: &Program) {
    wait_until("nothing to be wrong any more", PATIENCE, || scene.page(consumer, "/readyz") == "active\n")
        .unwrap_or_else(|error| panic!("{error}: {}{}", scene.page(consumer, "/readyz"), consumer.stderr()));
    let metrics = scene.metrics(consumer);
    let parts = metrics.lines().filter(|line| line.starts_with("sluice_degraded_seconds{"));
    assert_eq!(parts.clone().count(), 6);
    assert!(parts.clone().all(|line| line.ends_with(" 0.0")), "{metrics}");
}

/// Given Redis that dies, then brokers that hang, each is told and so is its end.
#[test]
fn outages_are_told_and_so_is_their_end() {
    let scene = Scene::new(2);
    let mut producer = scene.producer("report.json", &["--rate", "2k", "--count", "60k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    await_good(&scene, &consumer);
    scene.stack.kill_redis().unwrap();
    await_trouble(&scene, &consumer, "redis", "Redis is away");
    scene.stack.start_redis(true).unwrap();
    await_good(&scene, &consumer);

    scene.stack.freeze_kafka().unwrap();
    await_trouble(&scene, &consumer, "brokers", "no broker answers");
    wait_until("the log to say so", SAID_WITHIN, || {
        consumer.stderr().contains("degraded: no broker answers")
    })
    .unwrap();
    scene.stack.resume_kafka().unwrap();
    await_good(&scene, &consumer);
    assert!(consumer.stderr().contains("no longer degraded"), "{}", consumer.stderr());
    scene.finish(&mut producer);
    scene.await_count(60_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 60_000);
}

/// Given a file of one partition that somebody else holds, that partition is told, and read once the file is free.
#[test]
fn a_partition_that_is_not_read_is_told() {
    let scene = Scene::new(2);
    let lock = scene.path("logs-1.txt.lock");
    let lock = lock.to_str().unwrap();
    let hold = ["--no-fork", lock, "sleep", "1000"];
    let mut held = Program::run(Path::new("flock"), hold, &[], &scene.path("holder")).unwrap();
    wait_until("the lock to be held", PATIENCE, || {
        !Command::new("flock").args(["--nonblock", lock, "true"]).status().unwrap().success()
    })
    .unwrap();
    // Not at once: ten thousand may be one batch, in one partition.
    let mut producer = scene.producer("report.json", &["--rate", "5k", "--count", "10k"]);
    scene.finish(&mut producer);
    let mut consumer = scene.consumer("logs-{partition}.txt", &[]);
    wait_until("the other partition to be read", PATIENCE, || scene.lines() > 0).unwrap();
    await_trouble(&scene, &consumer, "partitions", "1 partition of ours can't be read yet");
    held.kill().unwrap();
    await_good(&scene, &consumer);
    scene.await_count(10_000);
    scene.end(&mut consumer);
    scene.audit(&scene.files("logs-"), &["report.json"], 10_000);
}

/// Given a partition whose only broker is dead, that is told, and once it is back all of the partition is read.
#[test]
fn a_partition_without_a_leader_is_told() {
    let scene = Scene::with_brokers(2, 1);
    scene.stack.delete_topic("logs").unwrap();
    scene.stack.create_topic_led_by("logs", &[0, 1]).unwrap();
    let mut producer = scene.producer("first.json", &["--rate", "5k", "--count", "10k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.finish(&mut producer);
    scene.await_count(10_000);
    scene.stack.kill_broker(1).unwrap();
    await_trouble(&scene, &consumer, "partitions", "no broker leads partitions 1");
    scene.stack.start_kafka().unwrap();
    await_good(&scene, &consumer);
    let mut producer = scene.producer("second.json", &["--rate", "5k", "--count", "10k"]);
    scene.finish(&mut producer);
    scene.await_count(20_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["first.json", "second.json"], 20_000);
}

fn admin(scene: &Scene) -> AdminClient<DefaultClientContext> {
    let config = [("bootstrap.servers".to_owned(), scene.stack.bootstrap())];
    ClientConfig::from_iter(config).create().unwrap()
}

fn block_on<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

/// Given a topic of the rejected that takes nothing, because to it every message is too old, that is told, and so is that
/// what comes behind those which wait is not read; once it takes them, nothing is missing.
#[test]
fn rejected_events_that_find_no_way_are_told() {
    // Three times what waits in memory at the most.
    const REJECTED: usize = 50_000;
    let scene = Scene::new(1);
    let oldest = "message.timestamp.before.max.ms";
    let topic = NewTopic::new("logs.rejected", 1, TopicReplication::Fixed(1)).set(oldest, "0");
    block_on(admin(&scene).create_topics([&topic], &AdminOptions::new())).unwrap().remove(0).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    let bad = std::iter::repeat_n("no event ".repeat(100), REJECTED);
    scene.stack.produce("logs", None, None, bad.chain(["{\"message\":\"m\"}".to_owned()])).unwrap();
    await_trouble(&scene, &consumer, "rejected_topic", "rejected events find no way into their topic");
    await_trouble(&scene, &consumer, "partitions", "events wait in partitions 0, unread");
    let any = AlterConfig::new(ResourceSpecifier::Topic("logs.rejected")).set(oldest, "3600000");
    for result in block_on(admin(&scene).alter_configs([&any], &AdminOptions::new())).unwrap() {
        result.unwrap();
    }
    await_good(&scene, &consumer);
    scene.await_count(1);
    scene.end(&mut consumer);
    assert_eq!(scene.stack.consume_all("logs.rejected").unwrap().len(), REJECTED);
}
