//! Redis and the broker away, one or both.

use crate::scene::{PATIENCE, Scene, await_lines, await_reading};
use harness::{Program, Signal, wait_until};
use std::path::Path;
use std::time::Duration;

fn size(scene: &Scene) -> u64 {
    std::fs::metadata(scene.path("logs.txt")).map_or(0, |file| file.len())
}

/// The file grows by some hundred events.
fn await_growth(scene: &Scene) {
    let before = size(scene);
    wait_until("the file to go on growing", PATIENCE, || size(scene) > before + 100_000).unwrap();
}

/// Given a Redis that dies and comes back, with the data of its last snapshot or without any, the file goes on
/// meanwhile, and in the end Redis has counted everything exactly once.
fn redis_restarted(keep_data: bool) {
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "500k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    for _ in 0..3 {
        await_growth(&scene);
        if keep_data {
            redis::cmd("SAVE").exec(&mut scene.stack.redis().unwrap()).unwrap();
            await_growth(&scene);
        }
        scene.stack.kill_redis().unwrap();
        await_growth(&scene);
        scene.stack.start_redis(keep_data).unwrap();
        wait_until("Redis to be caught up", PATIENCE, || scene.counted_by_redis() > 0).unwrap();
    }
    scene.finish(&mut producer);
    scene.await_count(500_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 500_000);
}

#[test]
fn redis_restarted_with_its_data() {
    redis_restarted(true);
}

#[test]
fn redis_restarted_without_its_data() {
    redis_restarted(false);
}

/// Given no Redis at the start, the file is written all the same; when Redis comes it gets everything.
#[test]
fn redis_comes_late() {
    let scene = Scene::new(2);
    scene.stack.stop_redis().unwrap();
    let mut producer = scene.producer("report.json", &["--rate", "50k", "--count", "200k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.finish(&mut producer);
    let mut last = 0;
    wait_until("the file to hold all events without Redis", PATIENCE, || {
        last = scene.lines();
        last == 200_000
    })
    .unwrap_or_else(|error| panic!("{error}: {last}\n{}", consumer.stderr()));
    scene.stack.start_redis(true).unwrap();
    scene.await_count(200_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 200_000);
}

/// Given somebody who empties Redis under a running consumer, it is filled again to the event.
#[test]
fn redis_emptied_by_hand() {
    let scene = Scene::new(2);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "200k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    await_growth(&scene);
    redis::cmd("FLUSHALL").exec(&mut scene.stack.redis().unwrap()).unwrap();
    scene.finish(&mut producer);
    scene.await_count(200_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 200_000);
}

/// The same when no event comes any more that would show it.
#[test]
fn an_idle_redis_emptied_by_hand() {
    let scene = Scene::new(2);
    let mut producer = scene.producer("report.json", &["--rate", "max", "--count", "20k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.finish(&mut producer);
    scene.await_count(20_000);
    redis::cmd("FLUSHALL").exec(&mut scene.stack.redis().unwrap()).unwrap();
    scene.await_count(20_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 20_000);
}

/// Given a disk that is full, and later a file that may not grow (`ulimit -f`: a write is cut short, the next one fails),
/// the consumer says so and ends; with room again it goes on where it was.
#[test]
fn a_full_disk_is_said() {
    let scene = Scene::new(1);
    let mut producer = scene.producer("report.json", &["--rate", "max", "--count", "20k"]);
    scene.finish(&mut producer);
    std::os::unix::fs::symlink("/dev/full", scene.path("logs.txt")).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    assert_eq!(consumer.wait(PATIENCE).unwrap().code(), Some(1));
    let said = consumer.stderr();
    assert!(said.contains("No space left on device") && !said.contains("panicked"), "{said}");

    std::fs::remove_file(scene.path("logs.txt")).unwrap();
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(20_000);
    let limit = size(&scene) + 1_000_003;
    let limited = ["--pid", &consumer.pid().to_string(), &format!("--fsize={limit}")];
    let mut prlimit = Program::run(Path::new("prlimit"), limited, &[], &scene.path("")).unwrap();
    assert!(prlimit.wait(PATIENCE).unwrap().success(), "{}", prlimit.stderr());
    let mut producer = scene.producer("more.json", &["--rate", "max", "--count", "20k"]);
    scene.finish(&mut producer);
    assert_eq!(consumer.wait(PATIENCE).unwrap().code(), Some(1));
    assert!(consumer.stderr().contains("File too large"), "{}", consumer.stderr());
    assert!(size(&scene) <= limit, "{} of {limit}", size(&scene));

    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.await_count(40_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json", "more.json"], 40_000);
}

/// Given a broker that is killed and restarted during a run, then a broker and Redis together, nothing is lost
/// or doubled on any of the three ways, and none of it is an error, also not to who catches Redis up.
#[test]
fn broker_restarted_then_broker_and_redis() {
    let scene = Scene::new(4);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "500k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    scene.stack.kill_kafka().unwrap();
    scene.stack.start_kafka().unwrap();
    await_growth(&scene);
    scene.stack.kill_kafka().unwrap();
    scene.stack.kill_redis().unwrap();
    scene.stack.start_redis(true).unwrap();
    scene.stack.start_kafka().unwrap();
    await_growth(&scene);
    scene.finish(&mut producer);
    scene.await_count(500_000);
    scene.end(&mut consumer);
    let said = consumer.stderr();
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 500_000);
}

/// Given a Redis that hangs (connected, silent), the file goes on within seconds.
#[test]
fn redis_frozen() {
    let scene = Scene::new(2);
    let mut producer = scene.producer("report.json", &["--rate", "100k", "--count", "1M"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_lines(&scene.path("logs.txt"));
    scene.stack.freeze_redis().unwrap();
    // More than the pipeline's memory for Redis holds, so only a detached Redis lets it through.
    let before = size(&scene);
    wait_until("the file to go on", Duration::from_secs(60), || size(&scene) > before + (64 << 20)).unwrap();
    scene.stack.resume_redis().unwrap();
    scene.finish(&mut producer);
    scene.await_count(1_000_000);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 1_000_000);
}

/// Given a file from an old cluster beside a new Kafka and an empty Redis, when the topic starts over, then the
/// file goes on with the new events, and Redis counts what the file holds.
#[test]
fn a_new_cluster_under_an_old_file() {
    let old = Scene::new(2);
    let mut producer = old.producer("old.json", &["--rate", "max", "--count", "20k"]);
    let mut consumer = old.consumer("logs.txt", &[]);
    old.finish(&mut producer);
    old.await_count(20_000);
    old.end(&mut consumer);

    let new = Scene::new(2);
    for name in ["logs.txt", "logs.txt.checkpoint", "old.json"] {
        std::fs::copy(old.path(name), new.path(name)).unwrap();
    }
    drop(old);
    let mut producer = new.producer("new.json", &["--rate", "max", "--count", "5k"]);
    new.finish(&mut producer);
    let mut consumer = new.consumer("logs.txt", &[]);
    let mut seen = 0;
    wait_until("Redis to count what the file holds", PATIENCE, || {
        seen = new.counted_by_redis();
        seen == 25_000
    })
    .unwrap_or_else(|error| panic!("{error}: {seen}\n{}", consumer.stderr()));
    new.end(&mut consumer);
    assert!(consumer.stderr().contains("the topic was made anew"), "{}", consumer.stderr());
    new.verify(&[new.path("logs.txt")], &["old.json", "new.json"]);
}

/// Given brokers that die before they are told of the last event, and are back after the session, when nothing new comes,
/// then they are told all the same: else the lag of the group would stand, and a file of another's could get it again.
#[test]
fn what_was_not_committed_is_without_new_events() {
    let scene = Scene::new(1);
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_reading(&mut consumer, 1);
    let given_away = |consumer: &Program| consumer.stderr().matches("gave our partitions away").count();
    for round in 1.. {
        scene.stack.produce("logs", None, None, ["{\"message\":\"m\"}"]).unwrap();
        wait_until("the event to be written", PATIENCE, || scene.lines() == round).unwrap();
        // Within the second until the next commit, unless that came first.
        scene.stack.kill_kafka().unwrap();
        let before = given_away(&consumer);
        wait_until("the session to be over", PATIENCE, || given_away(&consumer) > before).unwrap();
        scene.stack.start_kafka().unwrap();
        wait_until("the offset to be committed", PATIENCE, || scene.committed(1) == [round as i64])
            .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
        if consumer.stderr().contains("WARN committing offsets") {
            break;
        }
        assert!(round < 5, "the commit always came first: {}", consumer.stderr());
    }
    scene.end(&mut consumer);
}

/// Given brokers that hang, when the consumer is asked to end, then it does so within the time that Compose gives it, with
/// all durable, and the next one goes on there.
#[test]
fn asked_to_end_while_brokers_hang() {
    let scene = Scene::new(2);
    let mut producer = scene.producer("report.json", &["--rate", "20k", "--count", "40k"]);
    let mut consumer = scene.consumer("logs.txt", &[]);
    scene.finish(&mut producer);
    scene.await_count(40_000);
    scene.stack.freeze_kafka().unwrap();
    consumer.signal(Signal::TERM).unwrap();
    let ended = consumer.wait(Duration::from_secs(30));
    scene.stack.resume_kafka().unwrap();
    assert!(ended.unwrap().success(), "{}", consumer.stderr());
    assert!(consumer.stderr().contains("drained and synced"), "{}", consumer.stderr());
    let mut consumer = scene.consumer("logs.txt", &[]);
    await_reading(&mut consumer, 2);
    scene.end(&mut consumer);
    scene.audit(&[scene.path("logs.txt")], &["report.json"], 40_000);
}
