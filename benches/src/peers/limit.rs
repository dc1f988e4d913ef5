//! Bare programs on the same jobs, without any guarantee: what the parts give on this machine at the most.
//!
//! They are a cargo project with the programs `produce`, `consume`, `latency_produce` and `latency_consume`,
//! which have the addresses of Kafka and Redis built in.

use anyhow::{Context, Result, ensure};
use common::report::Percentiles;
use harness::ports::{free_port, is_free};
use harness::{Ports, Program, Stack, StackOptions, checkout};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::arena::{PARTITIONS, PATIENCE, last_words, servers};
use crate::results::{Limit, LimitJob, Stage};

const KAFKA: u16 = 9092;
const REDIS: u16 = 6379;

/// Rates of the latencies, events a second, and for how long, s.
const STEADY: [(u64, u64); 2] = [(500_000, 20), (10_000, 20)];

/// `produce` sends so many at once, and no other number.
const BATCH: u64 = 500;

/// What [`limits`] gives.
#[derive(Debug, Default)]
pub struct Limits {
    /// In the order they were made.
    pub limits: Vec<Limit>,
    /// What could not be had, and why.
    pub skipped: Vec<String>,
}

/// Builds the programs in the cargo project `programs`, starts servers, and has them do the jobs with
/// `events` each.
pub fn limits(programs: &Path, events: u64) -> Limits {
    let mut all = Limits::default();
    let bare = match Bare::start(programs) {
        Ok(bare) => bare,
        Err(error) => {
            all.skipped.push(format!("{error:#}"));
            return all;
        }
    };
    let events = events.next_multiple_of(BATCH);
    let mut keep = |job: &str, limits: Result<Vec<Limit>>| match limits {
        Ok(limits) => all.limits.extend(limits),
        Err(error) => all.skipped.push(format!("{job}: {error:#}")),
    };
    keep("end to end", bare.end_to_end(events).map(|limit| vec![limit]));
    keep("backlog", bare.backlog(events).map(Vec::from));
    for (rate, seconds) in STEADY {
        keep(&format!("latency at {rate} events/s"), bare.steady(rate, seconds).map(|limit| vec![limit]));
    }
    all
}

/// The programs, built, and their servers.
struct Bare {
    stack: Stack,
    programs: PathBuf,
}

impl Bare {
    fn start(project: &Path) -> Result<Bare> {
        for (server, port) in [("Kafka", KAFKA), ("Redis", REDIS)] {
            ensure!(is_free(port), "they want {server} on port {port}, which something else has");
        }
        let programs = build(project)?;
        let ports = Ports { zookeeper: free_port()?, kafka: vec![KAFKA], redis: REDIS };
        let stack = servers(StackOptions { ports: Some(ports), ..StackOptions::default() })?;
        Ok(Bare { stack, programs })
    }

    fn end_to_end(&self, events: u64) -> Result<Limit> {
        let topic = self.topic("end-to-end")?;
        let mut consume = self.consume(topic, events)?;
        let mut produce = self.produce(topic, events)?;
        finish(&mut produce)?;
        let limit = throughput(LimitJob::EndToEnd, &finish(&mut consume)?)?;
        self.stack.delete_topic(topic)?;
        Ok(limit)
    }

    fn backlog(&self, events: u64) -> Result<[Limit; 2]> {
        let topic = self.topic("backlog")?;
        let produced = throughput(LimitJob::Produce, &finish(&mut self.produce(topic, events)?)?)?;
        let consumed = throughput(LimitJob::Backlog, &finish(&mut self.consume(topic, events)?)?)?;
        self.stack.delete_topic(topic)?;
        Ok([produced, consumed])
    }

    fn steady(&self, rate: u64, seconds: u64) -> Result<Limit> {
        let topic = self.topic("steady")?;
        let events = (rate * seconds).to_string();
        // It is not waited for until it reads: the first fifth of the events doesn't count.
        let mut consume = self.run("latency_consume", &[&events, topic])?;
        let (rate_text, seconds) = (rate.to_string(), seconds.to_string());
        let mut produce = self.run("latency_produce", &[&rate_text, &seconds, topic, "linger.ms=1"])?;
        finish(&mut produce)?;
        let latency = latencies(&finish(&mut consume)?)?;
        self.stack.delete_topic(topic)?;
        Ok(Limit { job: LimitJob::Steady, events_per_second: rate as f64, latency })
    }

    fn topic<'a>(&self, name: &'a str) -> Result<&'a str> {
        self.stack.create_topic(name, PARTITIONS)?;
        Ok(name)
    }

    fn produce(&self, topic: &str, events: u64) -> Result<Program> {
        self.run("produce", &[&events.to_string(), &self.stack.bootstrap(), &BATCH.to_string(), topic])
    }

    fn consume(&self, topic: &str, events: u64) -> Result<Program> {
        self.run("consume", &[&events.to_string(), &self.stack.bootstrap(), topic, "limit.txt"])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Program> {
        Program::run(&self.programs.join(program), arguments, &[], &self.stack.folder().join("limit"))
    }
}

/// Builds the project under our `target/`, because its own folder may be read-only; returns where the
/// programs are.
fn build(project: &Path) -> Result<PathBuf> {
    let manifest = project.join("Cargo.toml");
    let manifest = manifest.canonicalize().with_context(|| format!("cannot find {}", manifest.display()))?;
    let target = checkout().join("target/peers/limit");
    let arguments: [&OsStr; 7] = [
        "build".as_ref(),
        "--release".as_ref(),
        "--locked".as_ref(),
        "--manifest-path".as_ref(),
        manifest.as_ref(),
        "--target-dir".as_ref(),
        target.as_ref(),
    ];
    let mut cargo = Program::run(Path::new("cargo"), arguments, &[], &target)?;
    ensure!(cargo.wait(PATIENCE)?.success(), "they can't be built: {}", last_words(&cargo));
    Ok(target.join("release"))
}

/// What a program printed, once it has ended well.
fn finish(program: &mut Program) -> Result<String> {
    ensure!(program.wait(PATIENCE)?.success(), "{}", last_words(program));
    Ok(program.stdout())
}

fn throughput(job: LimitJob, output: &str) -> Result<Limit> {
    let rate = rate_in(output).with_context(|| format!("no rate in '{}'", output.trim()))?;
    Ok(Limit { job, events_per_second: rate, latency: BTreeMap::new() })
}

/// The number in front of `/s`.
fn rate_in(output: &str) -> Option<f64> {
    output.split_whitespace().find_map(|word| word.strip_suffix("/s")?.parse().ok())
}

fn latencies(output: &str) -> Result<BTreeMap<Stage, Percentiles>> {
    let latency = |stage: Stage| {
        let line = output.lines().find(|line| line.split_whitespace().next() == Some(stage.name()));
        let missing = || format!("no latency of '{}' in '{}'", stage.name(), output.trim());
        Ok((stage, line.and_then(percentiles_in).with_context(missing)?))
    };
    [Stage::Fetched, Stage::Redis, Stage::Synced].into_iter().map(latency).collect()
}

/// `fetched  n 8000000 p50 3.20 p90 4.10 p99 5.30 p99.9 6.00 max 9.10 ms`
fn percentiles_in(line: &str) -> Option<Percentiles> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |name: &str| words.get(words.iter().position(|word| *word == name)? + 1);
    let millis = |name: &str| after(name)?.parse().ok();
    Some(Percentiles {
        n: after("n")?.parse().ok()?,
        p50: millis("p50")?,
        p90: millis("p90")?,
        p99: millis("p99")?,
        p999: millis("p99.9")?,
        max: millis("max")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_programs_print_is_read() {
        assert_eq!(rate_in("batch enq 1.23 total 1234567/s\n"), Some(1_234_567.0));
        let consumed = "lim 3000000 bad 0 syncs 118 in 2.290s => 1310043/s [1, 2, 3, 4]\n";
        assert_eq!(rate_in(consumed), Some(1_310_043.0));
        assert_eq!(rate_in("nothing"), None);

        let line = |name: &str| format!("{name:8} n 80 p50 3.20 p90 4.10 p99 5.30 p99.9 6.00 max 9.10 ms\n");
        let output = ["fetched", "redis", "synced"].map(line).concat() + "batch avg 26\n";
        let latency = latencies(&output).unwrap();
        let expected = Percentiles { n: 80, p50: 3.2, p90: 4.1, p99: 5.3, p999: 6.0, max: 9.1 };
        assert_eq!(latency.len(), 3);
        assert_eq!(latency[&Stage::Synced], expected);
        assert!(latencies("fetched n 80\n").is_err());
    }
}
