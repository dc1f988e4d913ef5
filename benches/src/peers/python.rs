//! What one writes in Python: as tutorials do, and as fast as it gets.

use anyhow::{Result, ensure};
use harness::Program;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::arena::{Arena, TOPIC, fetched, ours, output_of};
use super::consumers::{BOTH, List, watch_sinks};
use super::producers::{PRODUCE, payloads, watch_topic};
use super::{Peer, Ran};

/// The cap of both scripts' list.
const LIST: List = List::Capped(100_000);

/// What the scripts stand on.
const VERSIONS: &str = "import platform, confluent_kafka as kafka, redis; \
                        print(f'{platform.python_version()}, confluent-kafka {kafka.__version__}, \
                        redis {redis.__version__}')";

/// Batches.
pub(super) const TUNED: Peer = Peer {
    name: "tuned Python",
    job: BOTH,
    guarantee: "at least once: committed, asynchronously, once a batch is in both; not synced to disk; \
                batches of up to 10,000, one LPUSH and one write each, hiredis; events are not decoded; list \
                capped at 100,000",
    run: |arena| consume(arena, "tuned"),
};

/// One event at a time.
pub(super) const TUTORIAL: Peer = Peer {
    name: "tutorial Python",
    job: BOTH,
    guarantee: "none through a crash: librdkafka commits what was handed over every 5 s, written or not; not \
                synced to disk; an event a poll, decoded, LPUSH, LTRIM, write and flush; list capped at \
                100,000",
    run: |arena| consume(arena, "tutorial"),
};

/// As fast as it gets.
pub(super) const PRODUCER: Peer = Peer {
    name: "tuned Python",
    job: PRODUCE,
    guarantee: "nothing lost, doubled or reordered while it runs: acks=all, idempotent, failures counted; \
                lz4, linger 5 ms, batches of up to 1 MB; events come from a file in memory",
    run: produce,
};

fn consume(arena: &Arena, script: &str) -> Result<Ran> {
    let python = python()?;
    let field = arena.clean(script)?;
    let (script, file) = (ours(&format!("{script}.py")), field.file());
    let (brokers, port) = (arena.stack.bootstrap(), arena.redis_port());
    let arguments: [&OsStr; 5] =
        [script.as_ref(), brokers.as_ref(), TOPIC.as_ref(), port.as_ref(), file.as_ref()];
    let mut program = Program::run(&python, arguments, &[], &field.folder)?;
    let window = watch_sinks(arena, &mut program, &file, LIST)?;
    Ok(Ran { version: version(&python, &field.folder)?, window })
}

fn produce(arena: &Arena) -> Result<Ran> {
    let python = python()?;
    let field = arena.clean("python")?;
    let payloads = payloads(arena)?;
    let (script, topic) = (ours("produce.py"), "from-python");
    let (brokers, count) = (arena.stack.bootstrap(), arena.events.to_string());
    let arguments: [&OsStr; 5] =
        [script.as_ref(), brokers.as_ref(), topic.as_ref(), payloads.as_ref(), count.as_ref()];
    let window = watch_topic(arena, topic, || Program::run(&python, arguments, &[], &field.folder))?;
    Ok(Ran { version: version(&python, &field.folder)?, window })
}

fn python() -> Result<PathBuf> {
    // Written last: a half made environment does not count.
    fetched("venv/complete")?;
    fetched("venv/bin/python")
}

fn version(python: &Path, folder: &Path) -> Result<String> {
    let text = output_of(python, ["-c", VERSIONS], &[], folder)?;
    ensure!(!text.trim().is_empty(), "Python has no version");
    Ok(text.trim().to_owned())
}
