//! A Kafka broker, on ZooKeeper or a controller itself.

use anyhow::Result;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Server, java, kraft};
use crate::Proxy;
use crate::StackOptions;
use crate::process::Lifetime;
use crate::secure::Secured;

/// Which Kafka a stack runs, and where its brokers keep what they must agree on. `scripts/setup` fetches both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KafkaVersion {
    /// The last line with ZooKeeper.
    #[default]
    ZooKeeper39,
    /// Today's line: every broker is a controller, too.
    KRaft4,
}

impl KafkaVersion {
    /// Its full number.
    pub fn number(self) -> &'static str {
        match self {
            KafkaVersion::ZooKeeper39 => crate::KAFKA_VERSION,
            KafkaVersion::KRaft4 => "4.4.0",
        }
    }

    /// Where `scripts/setup` puts its jars.
    pub(crate) fn jars(self) -> PathBuf {
        crate::checkout().join(format!(".servers/kafka-{}/libs", self.number()))
    }
}

/// Where a stack's brokers keep what they must agree on.
#[derive(Debug, Clone)]
pub(crate) enum Agreement {
    /// Port of ZooKeeper.
    ZooKeeper(u16),
    /// The brokers' own ports as controllers.
    Controllers(Vec<u16>),
}

/// How programs under test reach a broker, beside the port it has for the others and for the harness.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outside<'a> {
    /// By that port, too.
    Plain,
    /// With TLS and a login.
    Secured(&'a Secured),
    /// Through a proxy that leads to this port of the broker's.
    Proxied(&'a Proxy, u16),
}

impl Outside<'_> {
    fn listeners(self, port: u16) -> String {
        match self {
            Outside::Plain => format!("listeners={0}\nadvertised.listeners={0}\n", plain(port)),
            Outside::Secured(secured) => secured.of_kafka(port),
            Outside::Proxied(proxy, inner) => format!(
                "listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{inner}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{outer}\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT\n\
                 inter.broker.listener.name=PLAINTEXT\n",
                outer = proxy.port(),
            ),
        }
    }
}

fn plain(port: u16) -> String {
    format!("PLAINTEXT://127.0.0.1:{port}")
}

/// Describes broker `id` (from 1); starts nothing.
///
/// The settings are Kafka's own defaults but for: nothing creates topics unasked, internal topics and waits
/// are small so that a stack is up quickly, sessions may be as short as a second so that a test sees a
/// consumer's death soon, messages may be 4 MiB so that a test can send too large ones, a deleted topic's
/// files go after a second, not a minute, and retention is looked after every ten seconds, not five minutes.
pub(crate) fn broker(
    stack: &Path,
    id: usize,
    port: u16,
    agreement: &Agreement,
    lifetime: Lifetime,
    options: &StackOptions,
    outside: Outside<'_>,
) -> Result<Server> {
    let server = Server::new(&format!("kafka-{id}"), stack, port, lifetime)?;
    let own = match agreement {
        Agreement::ZooKeeper(zookeeper) => format!(
            "broker.id={id}\n\
             {listeners}\
             zookeeper.connect=127.0.0.1:{zookeeper}\n\
             zookeeper.session.timeout.ms=6000\n",
            listeners = outside.listeners(port),
        ),
        Agreement::Controllers(controllers) => kraft::settings(id, controllers, &plain(port)),
    };
    let replicas = options.brokers.min(3);
    let in_sync = replicas.saturating_sub(1).max(1);
    let settings = server.write(
        "server.properties",
        &format!(
            "{own}\
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
             replica.fetch.max.bytes=4194304\n\
             log.segment.delete.delay.ms=1000\n\
             log.retention.check.interval.ms=10000\n",
            data = server.data().display(),
            partitions = options.partitions,
        ),
    )?;
    java(server, options.kafka, &options.kafka_heap, "kafka.Kafka", &settings)
}

/// Whether the broker still holds files of topics that were deleted.
pub(crate) fn deletes(broker: &Server) -> bool {
    let mut entries = fs::read_dir(broker.data()).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().ends_with("-delete"))
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
            name != kraft::METADATA_FOLDER
                && name
                    .rsplit_once('-')
                    .is_some_and(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .collect()
}
