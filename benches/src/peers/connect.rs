//! Kafka Connect, a worker of its own with Kafka's own file sink.

use anyhow::Result;
use harness::KAFKA_VERSION;
use harness::ports::free_port;

use super::arena::{Arena, TOPIC, fetched};
use super::consumers::{List, watch_sinks};
use super::java::java;
use super::{Peer, Ran};

/// `ConnectStandalone` with `FileStreamSink`.
pub(super) const PEER: Peer = Peer {
    name: "Kafka Connect",
    job: "file only",
    guarantee: "at least once: offsets are committed every 60 s, what was written since comes again after a \
                crash; not synced to disk; FileStreamSink, one task, polls of up to 5,000, fetches of up to \
                8 MiB, heap 1 GiB",
    run,
};

fn run(arena: &Arena) -> Result<Ran> {
    let jars = fetched("connect")?;
    let field = arena.clean("connect")?;
    let (folder, file) = (field.folder.display().to_string(), field.file());
    let (brokers, port) = (arena.stack.bootstrap(), free_port()?.to_string());
    let words = [("BROKERS", brokers.as_str()), ("FOLDER", &folder), ("PORT", &port)];
    let worker = field.settings("connect-worker.properties", &words)?;
    let words = [("FILE", &*file.to_string_lossy()), ("TOPIC", TOPIC)];
    let sink = field.settings("connect-file.properties", &words)?;
    let main = "org.apache.kafka.connect.cli.ConnectStandalone";
    let mut connect = java(&jars, main, [worker, sink], &field.folder)?;
    let window = watch_sinks(arena, &mut connect, &file, List::None)?;
    Ok(Ran { version: KAFKA_VERSION.into(), window })
}
