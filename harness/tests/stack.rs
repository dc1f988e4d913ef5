//! The harness keeps its word: real servers answer, keep their data through a kill (Redis what it saved), and leave
//! nothing behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{KafkaVersion, Record, Stack, StackOptions};
use redis::Commands;
use std::path::Path;

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(Record::text).collect()
}

#[test]
fn servers_answer_and_keep_their_data_through_a_kill() {
    servers_answer(KafkaVersion::ZooKeeper39, 3);
}

#[test]
fn without_zookeeper_they_do_too() {
    servers_answer(KafkaVersion::KRaft4, 2);
}

fn servers_answer(kafka: KafkaVersion, servers: usize) {
    let stack = Stack::start(StackOptions { kafka, ..StackOptions::default() }).unwrap();
    assert_eq!(stack.zookeeper_port().is_some(), kafka == KafkaVersion::ZooKeeper39);

    // A topic has the partitions asked for, and making it again changes nothing.
    stack.create_topic("logs", 3).unwrap();
    stack.create_topic("logs", 3).unwrap();
    assert!(stack.create_topic("logs", 5).is_err());
    assert!(stack.high_watermarks("unknown").is_err());

    // What is written is read back, byte for byte, where it was put and in its order.
    stack.produce("logs", Some(2), Some(b"key"), ["first", "second"]).unwrap();
    stack.produce("logs", Some(0), None, [b"\xFF\0\n".as_slice(), b"", &[b'x'; 3 << 20]]).unwrap();
    assert_eq!(stack.high_watermarks("logs").unwrap(), [3, 0, 2]);
    let records = stack.consume_all("logs").unwrap();
    assert_eq!(records.len(), 5);
    assert_eq!(records[0].payload.as_deref(), Some(b"\xFF\0\n".as_slice()));
    assert_eq!(records[2].payload.as_ref().map(Vec::len), Some(3 << 20));
    assert_eq!((records[4].partition, records[4].offset), (2, 1));
    assert_eq!(records[4].key.as_deref(), Some(b"key".as_slice()));
    assert_eq!(texts(&records[3..]), ["first", "second"]);

    // A refused message is an error, not a silence.
    let refused = stack.produce("logs", Some(7), None, ["no such partition"]);
    assert!(refused.is_err());

    // Kafka killed and started: same address, same messages, and it takes new ones.
    stack.kill_kafka().unwrap();
    assert!(stack.pids().iter().all(|(name, _)| name != "kafka-1"));
    stack.start_kafka().unwrap();
    assert_eq!(stack.consume_all("logs").unwrap(), records);
    stack.stop_kafka().unwrap();
    stack.start_kafka().unwrap();
    stack.produce("logs", Some(1), None, ["third"]).unwrap();
    assert_eq!(stack.high_watermarks("logs").unwrap(), [3, 1, 2]);

    // Redis killed and started with its data, then without.
    stack.redis().unwrap().set::<_, _, ()>("kept", 1).unwrap();
    redis::cmd("SAVE").exec(&mut stack.redis().unwrap()).unwrap();
    stack.kill_redis().unwrap();
    assert!(stack.redis().is_err());
    stack.start_redis(true).unwrap();
    assert!(stack.start_redis(true).is_err(), "it runs already");
    assert_eq!(stack.redis().unwrap().get::<_, Option<i32>>("kept").unwrap(), Some(1));
    stack.stop_redis().unwrap();
    stack.start_redis(false).unwrap();
    assert_eq!(stack.redis().unwrap().get::<_, Option<i32>>("kept").unwrap(), None);

    // Dropped: no process and no file stays.
    let folder = stack.folder().to_owned();
    let pids = stack.pids();
    assert_eq!(pids.len(), servers);
    drop(stack);
    assert!(!folder.exists());
    for (name, pid) in pids {
        assert!(!Path::new("/proc").join(pid.to_string()).exists(), "{name} still runs");
    }
}
