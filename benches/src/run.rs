//! Runs of Sluice, one after the other, on servers that they share.

pub mod outage;
mod scene;
pub mod soak;

use crate::progress::Progress;
use crate::results::{Run, RunName};
use anyhow::Result;
use harness::{Stack, StackOptions};
use scene::Scene;
use std::fmt;
use std::fs;
use std::time::Duration;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which run.
    pub name: RunName,
    /// Partitions of the topic.
    pub partitions: u16,
    /// Consumers; each has a file a partition when there are several.
    pub consumers: u16,
    /// Workers of each.
    pub workers: u16,
    /// Events a second that are offered; none is as fast as possible.
    pub rate: Option<u64>,
    /// Some times as many in one time of the run.
    pub spike: Option<Spike>,
    /// Of each run's start so much is left out of its latencies.
    pub warm_up: Duration,
    /// What the producer is told: how much, which profile, seed.
    pub producer: Vec<String>,
    /// What each consumer is told beyond where things are.
    pub consumer: Vec<String>,
}

/// A time of many events.
#[derive(Debug, Clone, Copy)]
pub struct Spike {
    times: u64,
    /// s after the start.
    from: f64,
    /// s after the start.
    until: f64,
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.name {
            RunName::EndToEnd => "end to end",
            RunName::Backlog => "from a backlog",
            RunName::Steady => "steady",
            RunName::Spike => "spike",
            RunName::BySize => "by size",
            RunName::ByPartitions => "by partitions",
            RunName::ByConsumers => "by consumers",
            RunName::ByWorkers => "by workers",
        };
        write!(out, "{what} ({}), {} partitions", self.producer.join(" "), self.partitions)?;
        if self.consumers > 1 {
            write!(out, ", {} consumers", self.consumers)?;
        }
        if self.workers > 1 { write!(out, ", {} workers", self.workers) } else { Ok(()) }
    }
}

impl Plan {
    /// As fast as possible, so much (`--count 10M`) as one would type it.
    pub fn flat_out(name: RunName, much: &str) -> Plan {
        Plan::new(name, &format!("--rate max {much}"))
    }

    /// At a steady rate, so much, with the first seconds left out of the latencies.
    pub fn steady(rate: u64, much: &str) -> Plan {
        let mut plan = Plan::new(RunName::Steady, &format!("--rate {rate} {much}"));
        plan.rate = Some(rate);
        plan.warm_up = Duration::from_secs(5);
        plan
    }

    /// Four partitions, one consumer, and `producer`'s flags.
    fn new(name: RunName, producer: &str) -> Plan {
        Plan {
            name,
            partitions: 4,
            consumers: 1,
            workers: 1,
            rate: None,
            spike: None,
            warm_up: Duration::ZERO,
            producer: flags(producer),
            consumer: Vec::new(),
        }
    }

    /// So many events a second, and for 10 s, after 20 s, some times as many.
    pub fn spike(rate: u64, times: u64) -> Plan {
        let profile = format!("spike:times={times},for=10s,every=30s");
        let mut plan =
            Plan::new(RunName::Spike, &format!("--rate {rate} --duration 50s --profile {profile}"));
        plan.rate = Some(rate);
        plan.spike = Some(Spike { times, from: 20.0, until: 30.0 });
        plan
    }

    /// Events due `at` s after the start; 0 where there is no schedule.
    pub fn due(&self, at: f64) -> u64 {
        let extra = self
            .spike
            .map_or(0.0, |Spike { times, from, until }| (times - 1) as f64 * (at.clamp(from, until) - from));
        self.rate.map_or(0, |rate| (rate as f64 * (at.max(0.0) + extra)) as u64)
    }

    /// The same on so many partitions.
    pub fn on_partitions(mut self, partitions: u16) -> Plan {
        self.partitions = partitions;
        self
    }

    /// The same with so many consumers.
    pub fn with_consumers(mut self, consumers: u16) -> Plan {
        self.consumers = consumers;
        self
    }

    /// The same with so many workers in each consumer.
    pub fn with_workers(mut self, workers: u16) -> Plan {
        self.workers = workers;
        self
    }

    /// The same with more flags for the producer.
    pub fn with_producer_flags(mut self, producer: &str) -> Plan {
        self.producer.extend(flags(producer));
        self
    }

    /// The same with more flags for each consumer.
    pub fn with_consumer_flags(mut self, consumer: &str) -> Plan {
        self.consumer.extend(flags(consumer));
        self
    }
}

fn flags(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The servers that all runs of a bench share: warm ones, as they are in service.
pub struct Bench {
    /// ZooKeeper, Kafka, Redis.
    pub stack: Stack,
    /// What a person sees meanwhile.
    pub progress: Progress,
    runs: usize,
}

impl Bench {
    /// Starts the servers.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(progress: Progress) -> Result<Bench> {
        let stack = Stack::start(StackOptions { kafka_heap: "1g".into(), ..StackOptions::default() })?;
        Ok(Bench { stack, progress, runs: 0 })
    }

    /// Makes a run, on a topic of its own and an empty Redis.
    ///
    /// # Errors
    /// When a program fails, an event is lost or doubled, or nothing moves for long.
    pub fn run(&mut self, plan: &Plan) -> Result<Run> {
        self.on_topic(plan, |scene, progress| scene.run(progress))
    }

    fn on_topic<T>(
        &mut self,
        plan: &Plan,
        run: impl FnOnce(&Scene<'_>, &Progress) -> Result<T>,
    ) -> Result<T> {
        self.runs += 1;
        let topic = format!("logs-{}", self.runs);
        self.stack.create_topic(&topic, plan.partitions.into())?;
        redis::cmd("FLUSHALL").exec(&mut self.stack.redis()?)?;
        let folder = self.stack.folder().join(&topic);
        let scene = Scene { stack: &self.stack, plan, topic: &topic, folder: &folder };
        let run = run(&scene, &self.progress);
        self.stack.delete_topic(&topic)?;
        // Gigabytes that a broker deletes in the middle of the next run hold that up for half a second.
        self.stack.await_deletions()?;
        if run.is_ok() {
            fs::remove_dir_all(&folder)?;
        }
        run
    }
}
