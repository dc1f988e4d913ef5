//! Kafka's own measuring tools, from the jars that the broker runs from.

use anyhow::Result;
use harness::{KAFKA_VERSION, Program, kafka_jars};
use std::ffi::OsString;
use std::path::Path;

use super::arena::{Arena, TOPIC, ours};
use super::look::{Done, watch};
use super::producers::{PRODUCE, payloads, watch_topic};
use super::{Peer, Ran};

/// Heap of every virtual machine.
const HEAP: &str = "-Xmx1g";

/// `ConsumerPerformance`, which throws away what it fetches.
pub(super) const FETCH: Peer = Peer {
    name: "Kafka's ConsumerPerformance",
    job: "fetch only",
    guarantee: "none: events are thrown away; how fast Kafka's Java client fetches, with its defaults",
    run: fetch,
};

/// `ProducerPerformance`, with the settings of ours.
pub(super) const PRODUCER: Peer = Peer {
    name: "Kafka's ProducerPerformance",
    job: PRODUCE,
    guarantee: "nothing lost, doubled or reordered while it runs: acks=all, idempotent; lz4, linger 5 ms, \
                batches of up to 1 MB, buffer 256 MiB; events come from a file in memory",
    run: produce,
};

/// A Java program of `jars`.
pub(super) fn java<A: Into<OsString>>(
    jars: &Path,
    main: &str,
    arguments: impl IntoIterator<Item = A>,
    folder: &Path,
) -> Result<Program> {
    let mut all: Vec<OsString> = vec![HEAP.into(), "-XX:-UsePerfData".into()];
    all.push(format!("-Dlog4j.configuration=file:{}", ours("log4j.properties").display()).into());
    all.extend(["-cp".into(), jars.join("*").into(), main.into()]);
    all.extend(arguments.into_iter().map(Into::into));
    Program::run(Path::new("java"), all, &[], folder)
}

fn fetch(arena: &Arena) -> Result<Ran> {
    let field = arena.clean("fetch")?;
    let (brokers, count) = (arena.stack.bootstrap(), arena.events.to_string());
    let arguments = ["--bootstrap-server", &brokers, "--topic", TOPIC, "--messages", &count];
    // Every so many milliseconds a line: that is what can be looked at.
    let details = ["--show-detailed-stats", "--hide-header", "--reporting-interval", "20"];
    let main = "org.apache.kafka.tools.ConsumerPerformance";
    let mut program = java(&kafka_jars(), main, arguments.iter().chain(&details), &field.folder)?;
    let window = watch(&mut program, arena.events, |program| Ok(Done::of(fetched_by(&program.stdout()))))?;
    Ok(Ran { version: KAFKA_VERSION.into(), window })
}

/// Events in all by the last whole line of details, which are: time, thread, MB, MB a second, events, ….
fn fetched_by(output: &str) -> u64 {
    let whole = output.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let counts = whole.lines().rev().filter_map(|line| line.split(',').nth(4)?.trim().parse().ok());
    counts.into_iter().next().unwrap_or(0)
}

fn produce(arena: &Arena) -> Result<Ran> {
    let field = arena.clean("java")?;
    let payloads = payloads(arena)?;
    let (topic, count) = ("from-java", arena.events.to_string());
    let brokers = format!("bootstrap.servers={}", arena.stack.bootstrap());
    let mut arguments: Vec<OsString> = Vec::new();
    arguments.extend(["--topic", topic, "--num-records", &count, "--throughput", "-1"].map(Into::into));
    arguments.extend(["--payload-file".into(), payloads.into_os_string(), "--producer-props".into()]);
    arguments.push(brokers.into());
    arguments.extend(["acks=all", "enable.idempotence=true", "compression.type=lz4"].map(Into::into));
    arguments.extend(["linger.ms=5", "batch.size=1000000", "buffer.memory=268435456"].map(Into::into));
    let main = "org.apache.kafka.tools.ProducerPerformance";
    let window = watch_topic(arena, topic, || java(&kafka_jars(), main, arguments, &field.folder))?;
    Ok(Ran { version: KAFKA_VERSION.into(), window })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_counts() {
        let line = "2026-11-25 00:27:22:123, 0, 12.5, 100.0, 81000, 500.0, 3, 20, 625.0, 4050.0\n";
        assert_eq!(fetched_by(line), 81_000);
        assert_eq!(fetched_by(&format!("{line}2026-11-25 00:27:22:143, 0, 13.5, 100.0, 91")), 81_000);
        assert_eq!(fetched_by(&format!("{line}WARNING: Exiting before the end\n")), 81_000);
        assert_eq!(fetched_by(""), 0);
    }
}
