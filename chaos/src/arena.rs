//! Servers, programs and the network between them.

mod disk;
mod faults;

use crate::clock::Clock;
use crate::evidence::History;
use crate::pipeline::{Pipeline, Setting};
use anyhow::{Context, Result, ensure};
use harness::{Program, Proxy, REDIS_MASTER, RedisLayout, Signal, Stack, StackOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Partitions of the topic at the start.
pub const PARTITIONS: usize = 6;

/// Until a program has ended that was asked to.
const ENDED_WITHIN: Duration = Duration::from_secs(120);

/// Starts the servers in a folder that stays: three brokers behind proxies, Redis with a replica and Sentinels.
///
/// # Errors
/// When one does not start.
pub fn servers(folder: &Path) -> Result<Stack> {
    let stack = Stack::start(StackOptions {
        brokers: 3,
        kafka_heap: "256m".into(),
        redis: RedisLayout::Sentinels,
        proxied: true,
        folder: Some(folder.to_owned()),
        ..StackOptions::default()
    })?;
    stack.create_topic("logs", PARTITIONS)?;
    stack.create_topic("logs.rejected", 1)?;
    Ok(stack)
}

/// The programs under test, and the means to hurt them.
#[derive(Debug)]
pub struct Arena<'s> {
    stack: &'s Stack,
    folder: PathBuf,
    /// `single`: one file, one that writes and one that stands by, Redis asked of the Sentinels. `shared`: a file for
    /// each partition, two that write, Redis through a proxy, and a clock that may jump.
    pub pipelines: [Pipeline; 2],
    redis: Proxy,
    /// None once it has ended in order.
    producer: Option<Program>,
    producers: usize,
    rate: u64,
    /// What the topic held.
    pub history: History,
    partitions: usize,
    moved: usize,
}

impl<'s> Arena<'s> {
    /// Starts all programs; the producer sends so many events a second, and four times as many every half minute.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(stack: &'s Stack, folder: &Path, rate: u64) -> Result<Arena<'s>> {
        let redis = Proxy::start(stack.redis_master()?)?;
        let brokers = stack.proxied_bootstrap();
        let sentinels =
            ["--redis-url", &stack.redis_url(), "--redis-sentinel", REDIS_MASTER].map(str::to_owned);
        let behind = ["--redis-url".to_owned(), format!("redis://127.0.0.1:{}", redis.port())];
        let single = Setting {
            name: "single",
            file: "logs.txt",
            consumers: 2,
            brokers: brokers.clone(),
            redis: sentinels.to_vec(),
            clock: None,
        };
        let shared = Setting {
            name: "shared",
            file: "logs-{partition}.txt",
            consumers: 2,
            brokers,
            redis: behind.to_vec(),
            clock: Some(Clock::new(folder)?),
        };
        Ok(Arena {
            stack,
            folder: folder.to_owned(),
            pipelines: [Pipeline::start(single, folder)?, Pipeline::start(shared, folder)?],
            redis,
            producer: Some(producer(stack, folder, rate, 1)?),
            producers: 1,
            rate,
            history: History::default(),
            partitions: PARTITIONS,
            moved: 0,
        })
    }

    /// Keeps everything running that ought to.
    ///
    /// # Errors
    /// When the producer has ended, or a consumer cannot be started.
    pub fn look_after(&mut self) -> Result<()> {
        if let Some(producer) = &mut self.producer {
            ensure!(producer.is_running()?, "the producer has ended: {}", producer.stderr());
        }
        self.pipelines.iter_mut().try_for_each(Pipeline::look_after)
    }

    /// Ends the producer in order.
    ///
    /// # Errors
    /// When the brokers did not take everything.
    pub fn end_producer(&mut self) -> Result<()> {
        let Some(mut producer) = self.producer.take() else { return Ok(()) };
        producer.signal(Signal::TERM)?;
        let status = producer.wait(ENDED_WITHIN)?;
        ensure!(status.success(), "the producer ended with {status}:\n{}", producer.stderr());
        Ok(())
    }

    /// How many producers there were, and the folder of their reports, `report-1.json` and so on.
    pub fn producers(&self) -> (usize, &Path) {
        (self.producers, &self.folder)
    }

    /// The clock that may jump, with the group that has it.
    fn clock(&self) -> Result<(&Clock, &'static str)> {
        let clocked = self.pipelines.iter().find_map(|pipeline| Some((pipeline.clock()?, pipeline)));
        let (clock, pipeline) = clocked.context("nobody has a clock of his own")?;
        pipeline.pids().into_iter().try_for_each(|pid| clock.ensure_of(pid))?;
        Ok((clock, pipeline.name()))
    }
}

fn producer(stack: &Stack, folder: &Path, rate: u64, number: usize) -> Result<Program> {
    let (brokers, rate) = (stack.proxied_bootstrap(), rate.to_string());
    let (name, report) = (format!("chaos-{number}"), format!("report-{number}.json"));
    let arguments = ["--brokers", &brokers, "--rate", &rate, "--producer", &name, "--report", &report];
    let spikes = ["--profile", "spike:times=4,for=5s,every=30s"];
    Program::start("producer", arguments.into_iter().chain(spikes), &[], folder)
}
