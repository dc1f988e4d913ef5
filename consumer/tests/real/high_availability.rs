//! Redis behind Sentinels and as a cluster: whichever server takes over, nothing is lost and nothing doubled.

use crate::degraded::{await_good, await_trouble};
use crate::scene::{PATIENCE, Scene, await_lines};
use harness::{Program, REDIS_TAG, RedisLayout, Signal, wait_until};
use redis::Commands;
use std::collections::HashMap;
use std::time::Instant;

const FILE: &str = "logs.txt";

/// A producer and a consumer at work, Redis with them.
fn at_work(scene: &Scene) -> (Program, Program) {
    let producer = scene.producer("report.json", &["--rate", "5k"]);
    let consumer = scene.consumer(FILE, &[]);
    await_lines(&scene.path(FILE));
    await_counting(scene, &consumer);
    (producer, consumer)
}

/// Redis counts on, whichever is the master.
fn await_counting(scene: &Scene, consumer: &Program) {
    let counted = scene.counted_by_redis();
    wait_until("Redis to count on", PATIENCE, || scene.counted_by_redis() > counted)
        .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
}

/// Says how long after a fault another master was there and counted on.
fn recover(scene: &Scene, consumer: &Program, dead: u16, what: &str) {
    let fault = Instant::now();
    scene.stack.await_failover(dead).unwrap();
    let taken_over = fault.elapsed().as_secs_f64();
    await_counting(scene, consumer);
    let counting = fault.elapsed().as_secs_f64();
    println!("RECOVERY {what}: another master after {taken_over:.1} s, counters move after {counting:.1} s");
}

/// Ends both, and sees that all that was acknowledged is everywhere once.
fn audit(scene: &Scene, mut producer: Program, mut consumer: Program) {
    producer.signal(Signal::TERM).unwrap();
    producer.wait(PATIENCE).unwrap();
    let events = scene.report("report.json");
    scene.await_count(events);
    scene.end(&mut consumer);
    scene.audit(&[scene.path(FILE)], &["report.json"], events);
    println!("AUDITED {events} events");
}

/// Given a master that dies, and the next one when the first has come back as its replica, and a Sentinel that is
/// dead as well, each fail-over is followed.
#[test]
fn masters_die_one_after_the_other() {
    let scene = Scene::with_redis(RedisLayout::Sentinels, 4);
    let (producer, consumer) = at_work(&scene);
    let first = scene.stack.kill_redis().unwrap();
    recover(&scene, &consumer, first, "Sentinels, master killed");
    scene.stack.start_redis(true).unwrap();
    scene.stack.await_replica().unwrap();
    await_counting(&scene, &consumer);
    scene.stack.kill_sentinel(0).unwrap();
    let second = scene.stack.kill_redis().unwrap();
    assert_ne!(first, second);
    recover(&scene, &consumer, second, "Sentinels, master and a Sentinel killed");
    audit(&scene, producer, consumer);
}

/// Given a master that freezes and comes back when another has its place, what it still believes does no harm:
/// neither when the consumer left it, nor when the consumer follows it until the Sentinels make it a replica.
#[test]
fn a_master_that_freezes_comes_back_too_late() {
    let scene = Scene::with_redis(RedisLayout::Sentinels, 4);
    let (producer, consumer) = at_work(&scene);
    let first = scene.stack.freeze_redis().unwrap();
    recover(&scene, &consumer, first, "Sentinels, master frozen");
    scene.stack.resume_redis().unwrap();
    await_counting(&scene, &consumer);
    scene.stack.await_replica().unwrap();
    await_counting(&scene, &consumer);

    let second = scene.stack.freeze_redis().unwrap();
    let fault = Instant::now();
    scene.stack.await_failover(second).unwrap();
    scene.stack.resume_redis().unwrap();
    await_counting(&scene, &consumer);
    println!(
        "RECOVERY Sentinels, master frozen for a moment: counters move after {:.1} s",
        fault.elapsed().as_secs_f64()
    );
    scene.stack.await_replica().unwrap();
    await_counting(&scene, &consumer);
    audit(&scene, producer, consumer);
}

/// Given a replica that takes over without the newest of what the master had, its older positions say so and the
/// rest comes from Kafka.
#[test]
fn a_replica_that_lacks_the_end_takes_over() {
    let scene = Scene::with_redis(RedisLayout::Sentinels, 4);
    let (producer, consumer) = at_work(&scene);
    let replica = scene.stack.redis_others().unwrap()[0];
    let mut behind = scene.stack.redis_at(replica).unwrap();
    // A login that the master does not know keeps the replica off it.
    redis::cmd("CONFIG").arg(("SET", "masterauth", "wrong")).exec(&mut behind).unwrap();
    redis::cmd("CLIENT").arg(("KILL", "TYPE", "master")).exec(&mut behind).unwrap();
    let before = scene.counted_by_redis();
    wait_until("the master to count what its replica does not hear", PATIENCE, || {
        scene.counted_by_redis() > before + 10_000
    })
    .unwrap();
    let of_replica: HashMap<String, u64> = behind.hgetall("logs:levels").unwrap();
    let missing = scene.counted_by_redis() - of_replica.values().sum::<u64>();
    assert!(missing >= 10_000, "the replica lacks {missing} events only");
    println!("the replica lacks {missing} events");
    let master = scene.stack.kill_redis().unwrap();
    recover(&scene, &consumer, master, "Sentinels, the replica lacks the end");
    audit(&scene, producer, consumer);
}

/// Given a cluster, the consumer finds the node that has its keys, also when that dies and its replica takes over,
/// and when their slot moves to another node.
#[test]
fn a_cluster_changes_under_the_consumer() {
    let scene = Scene::with_redis(RedisLayout::Cluster, 4);
    let (producer, consumer) = at_work(&scene);
    let dead = scene.stack.kill_redis().unwrap();
    recover(&scene, &consumer, dead, "cluster, master killed");
    scene.stack.start_redis(true).unwrap();
    scene.stack.await_replica().unwrap();

    let moved = Instant::now();
    move_slot(&scene);
    await_counting(&scene, &consumer);
    let counting = moved.elapsed().as_secs_f64();
    println!("RECOVERY cluster, slot moved: counters move {counting:.1} s after the beginning");
    audit(&scene, producer, consumer);
}

/// Moves the slot of our keys from its node to another master, as an administrator would.
fn move_slot(scene: &Scene) {
    let from = scene.stack.redis_master().unwrap();
    let is_master = |port: &u16| {
        let role: Vec<redis::Value> =
            redis::cmd("ROLE").query(&mut scene.stack.redis_at(*port).unwrap()).unwrap();
        role[0] == redis::Value::BulkString(b"master".to_vec())
    };
    let to = scene.stack.redis_others().unwrap().into_iter().find(is_master).unwrap();
    let (mut source, mut target) = (scene.stack.redis_at(from).unwrap(), scene.stack.redis_at(to).unwrap());
    let command = |words: &[&str]| {
        let mut command = redis::cmd("CLUSTER");
        command.arg(words);
        command
    };
    let slot: usize = command(&["KEYSLOT", REDIS_TAG]).query(&mut source).unwrap();
    let slot = slot.to_string();
    let source_id: String = command(&["MYID"]).query(&mut source).unwrap();
    let target_id: String = command(&["MYID"]).query(&mut target).unwrap();
    command(&["SETSLOT", &slot, "IMPORTING", &source_id]).exec(&mut target).unwrap();
    command(&["SETSLOT", &slot, "MIGRATING", &target_id]).exec(&mut source).unwrap();
    loop {
        let keys: Vec<String> = command(&["GETKEYSINSLOT", &slot, "1"]).query(&mut source).unwrap();
        let Some(key) = keys.first() else { break };
        redis::cmd("MIGRATE").arg(("127.0.0.1", to, key, 0, 10_000)).exec(&mut source).unwrap();
    }
    for node in [&mut target, &mut source] {
        command(&["SETSLOT", &slot, "NODE", &target_id]).exec(node).unwrap();
    }
    wait_until("all nodes to know the new owner", PATIENCE, || scene.stack.redis_master().unwrap() == to)
        .unwrap();
}

/// Given a cluster and keys without a hash tag, the log says what to do and the file goes on.
#[test]
fn a_cluster_wants_a_hash_tag() {
    let scene = Scene::with_redis(RedisLayout::Cluster, 2);
    let mut producer = scene.producer("report.json", &["--rate", "max", "--count", "20k"]);
    let mut consumer = scene.consumer(FILE, &["--redis-prefix", "logs"]);
    scene.finish(&mut producer);
    wait_until("the log to say what to do", PATIENCE, || {
        consumer.stderr().contains("keys must have a hash tag to lie together: say --redis-prefix '{logs}'")
    })
    .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
    await_trouble(&scene, &consumer, "redis", "Redis is away");
    wait_until("the file to hold all events", PATIENCE, || scene.lines() == 20_000).unwrap();
    scene.end(&mut consumer);
}

/// Given a replica in place of a master, the log and the probe say so, the file goes on, and once it is a master all
/// is as it should be.
#[test]
fn a_replica_is_told_from_a_master() {
    let scene = Scene::new(2);
    let replicate = |host: &str, port: &str| {
        redis::cmd("REPLICAOF").arg((host, port)).exec(&mut scene.stack.redis().unwrap()).unwrap();
    };
    let (producer, consumer) = at_work(&scene);
    replicate("127.0.0.1", "1");
    let told = "is a replica and takes no writes: name its master, or Sentinels and --redis-sentinel";
    wait_until("the log to say what to do", PATIENCE, || consumer.stderr().contains(told))
        .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
    await_trouble(&scene, &consumer, "redis", "Redis is away");
    let lines = scene.lines();
    wait_until("the file to go on", PATIENCE, || scene.lines() > lines + 5_000).unwrap();
    replicate("NO", "ONE");
    await_good(&scene, &consumer);
    audit(&scene, producer, consumer);
}

/// Given addresses that are something else than what the flags say, the log says what.
#[test]
fn addresses_of_the_wrong_kind_are_told() {
    let scene = Scene::with_redis(RedisLayout::Sentinels, 1);
    scene.stack.produce("logs", None, None, ["{\"message\":\"m\"}"]).unwrap();
    let told = |consumer: Program, what: &str| {
        wait_until(what, PATIENCE, || consumer.stderr().contains(what))
            .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
    };
    told(
        scene.consumer("logs-1.txt", &["--group", "1", "--redis-sentinel", "other"]),
        "is a Sentinel and knows no master 'other' (is --redis-sentinel right?)",
    );
    let url = format!("redis://127.0.0.1:{}", scene.stack.redis_port());
    let environment = [("REDIS_URL", url.as_str()), ("REDIS_SENTINEL", "sluice")];
    told(by_environment(&scene, "2", &environment), "is no Sentinel that answers");
    let url = scene.stack.redis_url();
    told(by_environment(&scene, "3", &[("REDIS_URL", &url)]), "is a Sentinel: say which master");
}

fn by_environment(scene: &Scene, group: &str, environment: &[(&str, &str)]) -> Program {
    let (brokers, file) = (scene.stack.bootstrap(), format!("logs-{group}.txt"));
    let arguments = ["--brokers", &brokers, "--group", group, "--file", &file];
    let arguments = arguments.into_iter().chain(["--metrics-addr", "127.0.0.1:0"]);
    Program::start("consumer", arguments, environment, scene.path(FILE).parent().unwrap()).unwrap()
}
