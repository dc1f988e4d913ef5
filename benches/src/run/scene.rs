//! One run: consumers and producer started, watched, ended, and everything verified.

use super::Plan;
use crate::latency;
use crate::progress::Progress;
use crate::results::{ConsumerFigures, Run, Sample, Setting, Stage};
use crate::sinks::{InSinks, in_sinks};
use anyhow::{Context, Result, ensure};
use common::report::{Percentiles, ProducerReport};
use harness::ports::free_port;
use harness::usage::usage;
use harness::{Program, Signal, Stack, http, wait_until};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::ops::Add;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than any step of a run takes; only a failure waits so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Without a new event for so long a run is over, and has failed.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Between two looks at the consumers' metrics: few enough not to be measured themselves.
const LOOK: Duration = Duration::from_millis(50);

/// A sample is kept every so many looks.
const LOOKS_A_SAMPLE: usize = 5;

/// Where a run takes place.
pub(super) struct Scene<'b> {
    pub(super) stack: &'b Stack,
    pub(super) plan: &'b Plan,
    pub(super) topic: &'b str,
    pub(super) folder: &'b Path,
}

/// A consumer, and where its figures are.
pub(super) struct Consumer {
    pub(super) program: Program,
    pub(super) metrics: SocketAddr,
    pub(super) latency_log: String,
}

/// What was seen from the start to the last event.
struct Watched {
    samples: Vec<Sample>,
    /// When the group had dealt out the partitions for the last time.
    dealt: Mark,
    finished: Mark,
    report: ProducerReport,
    producer_cpu: f64,
    producer_memory: u64,
}

/// A moment: s since the epoch, the events durable in both sinks, and the CPU used by process.
#[derive(Debug, Clone, Default)]
struct Mark {
    at: f64,
    events: u64,
    cpu: BTreeMap<String, f64>,
}

impl Scene<'_> {
    pub(super) fn run(&self, progress: &Progress) -> Result<Run> {
        let from_backlog = self.plan.name.is_from_backlog();
        let mut consumers = Vec::new();
        if !from_backlog {
            self.start_consumers(&mut consumers)?;
        }
        let mut producer = self.producer()?;
        if from_backlog {
            progress.tell("filling the topic");
            wait_until("the topic to be filled", PATIENCE, || !producer.is_running().unwrap_or(false))?;
        }
        let mut begun = self.mark(0, &[]);
        if from_backlog {
            self.start_consumers(&mut consumers)?;
        }
        let mut watched = self.watch(&mut producer, &consumers, progress)?;
        if !from_backlog {
            begun.at = seconds_of(&watched.report.started)?;
        } else if self.plan.consumers.max(self.plan.workers) > 1 {
            begun = std::mem::take(&mut watched.dealt);
        }
        let finished = std::mem::take(&mut watched.finished);
        let used =
            |(name, until): (&String, &f64)| (name.clone(), until - begun.cpu.get(name).unwrap_or(&0.0));
        let mut cpu: BTreeMap<String, f64> = finished.cpu.iter().map(used).collect();
        let consumer_memory = consumers.iter().map(|c| usage(c.program.pid()).memory_peak).max().unwrap_or(0);
        let mut memory = BTreeMap::from([(CONSUMER.to_owned(), consumer_memory)]);
        memory.extend(self.stack.pids().iter().map(|(name, pid)| (process(name), usage(*pid).memory_peak)));
        // One that had ended before has left no memory to look at.
        if watched.producer_memory > 0 {
            memory.insert("producer".to_owned(), watched.producer_memory);
        }
        let figures = figures(&consumers);
        progress.tell("verifying");
        self.verify(&mut consumers)?;

        if !from_backlog {
            cpu.insert("producer".to_owned(), watched.producer_cpu);
        }
        let started = begun.at;
        for sample in &mut watched.samples {
            sample.at -= started;
            // Once all are there, no more are due than those.
            sample.due = self.plan.due(sample.at).min(watched.report.acknowledged);
        }
        let (events, seconds) = (finished.events - begun.events, finished.at - started);
        let mut intervals = Vec::new();
        for consumer in &consumers {
            intervals.extend(latency::read(&self.folder.join(&consumer.latency_log))?);
        }
        let mut latency: BTreeMap<Stage, Percentiles> =
            latency::merged(&intervals, started + self.plan.warm_up.as_secs_f64())?
                .iter()
                .map(|(&stage, micros)| (stage, Percentiles::of_micros(micros)))
                .collect();
        latency.insert(Stage::Acknowledged, watched.report.ack_latency_ms);
        Ok(Run {
            name: self.plan.name,
            setting: Setting {
                partitions: self.plan.partitions,
                consumers: self.plan.consumers,
                workers: self.plan.workers,
                event_bytes: watched.report.bytes as f64 / watched.report.acknowledged as f64,
                rate: self.plan.rate,
            },
            events,
            seconds,
            events_per_second: events as f64 / seconds,
            cpu_micros: cpu.into_iter().map(|(name, s)| (name, s / events as f64 * 1e6)).collect(),
            memory_peak: memory,
            latency,
            samples: watched.samples,
            latency_over_time: latency::over_time(&intervals, started, 1.0)?,
            consumer: figures,
        })
    }

    /// Looks until the producer has ended and everything it sent is in both sinks.
    fn watch(&self, producer: &mut Program, consumers: &[Consumer], progress: &Progress) -> Result<Watched> {
        let (mut samples, mut producer_cpu, mut producer_memory) = (Vec::new(), 0.0, 0);
        let mut report: Option<ProducerReport> = None;
        let mut moved = (Instant::now(), 0);
        let (mut dealt, mut rebalances) = (Mark::default(), 0);
        for look in 0_usize.. {
            let at = now();
            let sums = consumers.iter().map(|consumer| in_sinks(consumer.metrics));
            let InSinks { file, redis, rebalances: so_far, .. } = sums.fold(InSinks::default(), InSinks::add);
            if so_far != rebalances {
                (dealt, rebalances) = (self.mark(file.min(redis), consumers), so_far);
            }
            let finished = report.as_ref().is_some_and(|report| file.min(redis) >= report.acknowledged);
            if finished || look.is_multiple_of(LOOKS_A_SAMPLE) {
                progress.events(file.min(redis));
                samples.push(Sample { at, due: 0, file, redis });
            }
            if let Some(report) = report.take_if(|_| finished) {
                let finished = Mark { at, ..self.mark(report.acknowledged, consumers) };
                return Ok(Watched { samples, dealt, finished, report, producer_cpu, producer_memory });
            }
            if report.is_none() {
                let used = usage(producer.pid());
                producer_cpu = used.cpu_seconds;
                producer_memory = used.memory_peak.max(producer_memory);
                if !producer.is_running()? {
                    report = Some(self.report(producer)?);
                }
            }
            if file + redis > moved.1 {
                moved = (Instant::now(), file + redis);
            }
            let errors = || consumers.iter().map(|c| c.program.stderr()).collect::<String>();
            ensure!(moved.0.elapsed() < STUCK_AFTER, "nothing moves any more:\n{}", errors());
            std::thread::park_timeout(LOOK);
        }
        unreachable!("the loop above has no end of its own")
    }

    pub(super) fn start_consumers(&self, consumers: &mut Vec<Consumer>) -> Result<()> {
        let file = if self.plan.consumers == 1 { "logs.txt" } else { "logs-{partition}.txt" };
        for number in 1..=self.plan.consumers {
            let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let latency_log = format!("latency-{number}.hlog");
            let (brokers, redis, address) =
                (self.stack.bootstrap(), self.stack.redis_url(), metrics.to_string());
            let mut arguments = vec!["--brokers", &brokers, "--topic", self.topic, "--redis-url", &redis];
            arguments.extend(["--group", self.topic, "--file", file, "--metrics-addr", &address]);
            let workers = self.plan.workers.to_string();
            arguments.extend(["--latency-log", &latency_log, "--workers", &workers]);
            arguments.extend(self.plan.consumer.iter().map(String::as_str));
            let program = Program::start("consumer", arguments, &[], self.folder)?;
            consumers.push(Consumer { program, metrics, latency_log });
        }
        for consumer in consumers {
            wait_until("a consumer to be ready", PATIENCE, || http::get(consumer.metrics, "/readyz"))?;
        }
        Ok(())
    }

    pub(super) fn producer(&self) -> Result<Program> {
        let brokers = self.stack.bootstrap();
        let mut arguments = vec!["--brokers", &brokers, "--topic", self.topic, "--report", "report.json"];
        arguments.extend(self.plan.producer.iter().map(String::as_str));
        Program::start("producer", arguments, &[], self.folder)
    }

    pub(super) fn report(&self, producer: &mut Program) -> Result<ProducerReport> {
        let status = producer.wait(PATIENCE)?;
        ensure!(status.success(), "the producer failed:\n{}{}", producer.stdout(), producer.stderr());
        let text = fs::read_to_string(self.folder.join("report.json")).context("no report")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Ends the consumers and has their files verified.
    pub(super) fn verify(&self, consumers: &mut [Consumer]) -> Result<()> {
        for consumer in &mut *consumers {
            consumer.program.signal(Signal::TERM)?;
        }
        for Consumer { program, .. } in consumers {
            ensure!(program.wait(PATIENCE)?.success(), "a consumer failed:\n{}", program.stderr());
        }
        let entries = fs::read_dir(self.folder)?.collect::<std::io::Result<Vec<_>>>()?;
        let files = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
        let files = files.filter(|name| name.starts_with("logs") && name.ends_with(".txt"));
        let arguments = ["verify", "--report", "report.json"].map(str::to_owned).into_iter().chain(files);
        let mut verify = Program::start("consumer", arguments, &[], self.folder)?;
        ensure!(verify.wait(PATIENCE)?.success(), "{}{}", verify.stdout(), verify.stderr());
        Ok(())
    }

    /// Events that Redis has counted, by its own word.
    pub(super) fn counted(&self) -> Result<u64> {
        let levels: HashMap<String, u64> =
            redis::cmd("HGETALL").arg("logs:levels").query(&mut self.stack.redis()?)?;
        Ok(levels.values().sum())
    }

    /// Now, with so many events in both sinks.
    fn mark(&self, events: u64, consumers: &[Consumer]) -> Mark {
        let servers = self.stack.pids();
        let mut cpu: BTreeMap<String, f64> =
            servers.iter().map(|(name, pid)| (process(name), usage(*pid).cpu_seconds)).collect();
        let consumers = consumers.iter().map(|consumer| usage(consumer.program.pid()).cpu_seconds);
        cpu.insert(CONSUMER.to_owned(), consumers.sum());
        Mark { at: now(), events, cpu }
    }
}

pub(super) const CONSUMER: &str = "consumer";

/// `kafka-1` is `kafka`: the bench has one of each.
pub(super) fn process(server: &str) -> String {
    server.trim_end_matches("-1").to_owned()
}

fn figures(consumers: &[Consumer]) -> ConsumerFigures {
    let pages: Vec<String> = consumers.iter().filter_map(|c| http::get(c.metrics, "/metrics")).collect();
    let sum = |series: &str| -> f64 { pages.iter().filter_map(|page| http::value(page, series)).sum() };
    let mean = |name: &str| sum(&format!("{name}_sum")) / sum(&format!("{name}_count")).max(1.0);
    ConsumerFigures {
        file_bytes: sum("sluice_written_bytes_total{sink=\"file\"}") as u64,
        redis_bytes: sum("sluice_written_bytes_total{sink=\"redis\"}") as u64,
        syncs: sum("sluice_sync_seconds_count") as u64,
        sync_ms: mean("sluice_sync_seconds") * 1e3,
        batch_events: mean("sluice_batch_events"),
        redis_detached: consumers
            .iter()
            .map(|c| c.program.stderr().matches("Redis is detached").count() as u64)
            .sum(),
    }
}

/// s since the epoch.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

pub(super) fn seconds_of(rfc3339: &str) -> Result<f64> {
    Ok(chrono::DateTime::parse_from_rfc3339(rfc3339)?.timestamp_micros() as f64 / 1e6)
}
