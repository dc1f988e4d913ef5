//! Who fills a topic, and how it is seen from outside what the broker has of it.

use anyhow::{Context, Result, ensure};
use harness::Program;
use std::fs;
use std::path::{Path, PathBuf};

use super::arena::{Arena, PARTITIONS, PATIENCE, last_words};
use super::look::{Done, Window, watch};
use super::{Peer, java, python, sluice};

/// The one job there is.
pub(super) const PRODUCE: &str = "produce";

/// The producers, Sluice first.
pub(super) const PEERS: [Peer; 3] = [sluice::PRODUCER, java::PRODUCER, python::PRODUCER];

/// Real events for those that make none themselves: enough of them that no two in a batch are the same, or
/// the topic would compress better than that of the others.
const PAYLOADS: &str = "100000";

/// Makes `topic`, starts a program that fills it and watches it until it ends: what counts is the time in
/// which the topic grew, and the events that are in it then.
pub(super) fn watch_topic(
    arena: &Arena,
    topic: &str,
    start: impl FnOnce() -> Result<Program>,
) -> Result<Window> {
    arena.stack.create_topic(topic, PARTITIONS)?;
    let data = arena.stack.kafka_log().with_file_name("data");
    let mut program = start()?;
    let window = watch(&mut program, u64::MAX, |_| Ok(Done::of(bytes_of(&data, topic)?)))?;
    let in_time = !program.is_running()?;
    program.kill()?;
    let written = arena.stack.high_watermarks(topic)?.iter().sum::<i64>();
    let events = u64::try_from(written).context("a topic below 0")?;
    ensure!(!in_time || events == arena.events, "the topic has {events} events of {}", arena.events);
    arena.stack.delete_topic(topic)?;
    Ok(Window { done: events, ..window })
}

/// Size of a topic on the broker's disk: cheaper to ask for than its offsets.
fn bytes_of(data: &Path, topic: &str) -> Result<u64> {
    let mut bytes = 0;
    for partition in 0..PARTITIONS {
        let folder = data.join(format!("{topic}-{partition}"));
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let segments = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "log"));
        bytes += segments.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum::<u64>();
    }
    Ok(bytes)
}

/// A file of real events, one a line, made by our own producer at the first call.
pub(super) fn payloads(arena: &Arena) -> Result<PathBuf> {
    let folder = arena.stack.folder().join("payloads");
    let path = folder.join("events.txt");
    if path.exists() {
        return Ok(path);
    }
    let (topic, brokers) = ("payloads", arena.stack.bootstrap());
    arena.stack.create_topic(topic, PARTITIONS)?;
    let arguments = ["--brokers", &brokers, "--topic", topic, "--rate", "max", "--count", PAYLOADS];
    let mut producer = Program::start("producer", arguments, &[], &folder)?;
    ensure!(producer.wait(PATIENCE)?.success(), "{}", last_words(&producer));
    let lines: Vec<String> = arena.stack.consume_all(topic)?.iter().map(harness::Record::text).collect();
    fs::write(&path, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
