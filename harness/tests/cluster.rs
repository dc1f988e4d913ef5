//! Three brokers replicate, so that one may die; and a stack that cannot start says why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{KafkaVersion, Ports, Stack, StackOptions};
use std::net::{Ipv4Addr, TcpListener};

#[test]
fn three_brokers_lose_one_and_go_on() {
    three_brokers(KafkaVersion::ZooKeeper39);
}

#[test]
fn three_brokers_that_are_controllers_do_too() {
    three_brokers(KafkaVersion::KRaft4);
}

fn three_brokers(kafka: KafkaVersion) {
    let options = StackOptions { kafka, brokers: 3, kafka_heap: "256m".into(), ..StackOptions::default() };
    let stack = Stack::start(options).unwrap();
    let servers = stack.pids().len();
    assert_eq!(stack.bootstrap().split(',').count(), 3);
    stack.create_topic("logs", 3).unwrap();
    stack.produce("logs", None, None, (0..100).map(|n| n.to_string())).unwrap();

    stack.kill_broker(0).unwrap();
    assert!(stack.kill_broker(3).is_err());
    assert_eq!(stack.pids().len(), servers - 1);
    stack.produce("logs", None, None, (100..200).map(|n| n.to_string())).unwrap();
    let mut numbers: Vec<usize> =
        stack.consume_all("logs").unwrap().iter().map(|r| r.text().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());

    stack.start_kafka().unwrap();
    assert_eq!(stack.pids().len(), servers);
    assert_eq!(stack.high_watermarks("logs").unwrap().iter().sum::<i64>(), 200);
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut ports = Ports::free(1).unwrap();
    ports.zookeeper = taken.local_addr().unwrap().port();
    let options = StackOptions { ports: Some(ports), ..StackOptions::default() };
    let error = format!("{:#}", Stack::start(options).unwrap_err());
    assert!(error.contains("zookeeper did not start"), "{error}");
    assert!(error.contains("Address already in use"), "{error}");

    assert!(Stack::start(StackOptions { brokers: 0, ..StackOptions::default() }).is_err());
    assert!(Stack::start_detached(StackOptions::default()).is_err(), "its folder would go while it stays");
}
