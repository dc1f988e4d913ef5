//! A Kafka broker on ZooKeeper.

use anyhow::Result;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::{Server, java};
use crate::StackOptions;
use crate::process::Lifetime;

/// Describes broker `id` (from 1); starts nothing.
///
/// The settings are Kafka's own defaults but for: nothing creates topics unasked, internal topics and waits
/// are small so that a stack is up quickly, sessions may be as short as a second so that a test sees a
/// consumer's death soon, and messages may be 4 MiB so that a test can send too large ones.
pub(crate) fn broker(
    stack: &Path,
    id: usize,
    port: u16,
    zookeeper: u16,
    lifetime: Lifetime,
    options: &StackOptions,
) -> Result<Server> {
    let server = Server::new(&format!("kafka-{id}"), stack, port, lifetime)?;
    let replicas = options.brokers.min(3);
    let in_sync = replicas.saturating_sub(1).max(1);
    let settings = server.write(
        "server.properties",
        &format!(
            "broker.id={id}\n\
             listeners=PLAINTEXT://127.0.0.1:{port}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             zookeeper.connect=127.0.0.1:{zookeeper}\n\
             zookeeper.session.timeout.ms=6000\n\
             log.dirs={data}\n\
             log.cleaner.dedupe.buffer.size=8388608\n\
             auto.create.topics.enable=false\n\
             num.partitions={partitions}\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.num.partitions=4\n\
             offsets.topic.replication.factor={replicas}\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={in_sync}\n\
             group.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1000\n\
             message.max.bytes=4194304\n\
             replica.fetch.max.bytes=4194304\n",
            data = server.data().display(),
            partitions = options.partitions,
        ),
    )?;
    java(server, &options.kafka_heap, "kafka.Kafka", &settings)
}

/// The partitions the broker holds on disk, as `topic-partition`: after a restart its metadata is whole only
/// when it names these.
pub(crate) fn partitions(broker: &Server) -> HashSet<String> {
    let entries = fs::read_dir(broker.data()).into_iter().flatten().flatten();
    let names = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| {
            // Not those being deleted: `topic-0.1a2b-delete`.
            name.rsplit_once('-').is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .collect()
}
