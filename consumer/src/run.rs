//! From a configuration to running workers: first the file, then the group.

use crate::config::Config;
use crate::counts::ServiceNames;
use crate::group::{Group, Membership};
use crate::health::{Health, State};
use crate::latency_log::LatencyLog;
use crate::metrics::Metrics;
use crate::pipeline::{Parts, Pipeline};
use crate::sink::dead_letter::DeadLetters;
use crate::sink::file::lock::LockError;
use crate::sink::file::log_file::{FileError, LogFile};
use crate::sink::file::{FileSink, Layout};
use crate::sink::redis::RedisSink;
use crate::sink::redis::feed::RedisFeed;
use crate::{http, memory, status, watchdog};
use anyhow::bail;
use common::shutdown::Shutdown;
use std::thread;
use std::time::Duration;
use tracing::{error, info, info_span};

/// How soon a standby sees that the file is free.
const STANDBY_INTERVAL: Duration = Duration::from_millis(200);

/// Runs until a signal asks for the end.
///
/// # Errors
/// One line that says what failed and what to do.
pub fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let (metrics, registry) = Metrics::new();
    let health = Health::default();
    http::serve(config.metrics_addr, registry, metrics.clone(), health.clone())?;
    status::start(metrics.clone(), health.clone())?;
    memory::start()?;
    // A single file is locked before the group is joined: who stands by takes no partitions.
    let single = match &config.file.layout {
        Layout::Single(_) => match have_file(&config, &health, &shutdown)? {
            Some(file) => Some(file),
            None => return Ok(()),
        },
        Layout::PerPartition(_) => None,
    };
    health.set(State::Starting);
    metrics.active.set(1);
    // Not before: who stands by must not empty the log of who writes.
    let latency_log = config.latency_log.as_deref().map(|path| LatencyLog::start(path, metrics.clone()));
    let latency_log = latency_log.transpose()?;
    let file_id = single.as_ref().map(|file| format!("sluice-{}", file.id()));
    let instance = config.instance.clone().or(file_id);

    let names = ServiceNames::default();
    let dead_letters =
        DeadLetters::start(config.kafka.clone(), config.rejected_topic.clone(), metrics.clone())?;
    let acknowledged = dead_letters.acknowledged();
    watchdog::start(&config.kafka, config.redis.is_some(), health.clone(), acknowledged.clone())?;
    let (files, writer) =
        FileSink::start(&config.file, config.workers, single, names.clone(), acknowledged, metrics.clone())?;
    let shared = Shared { config: &config, instance, dead_letters, names, metrics, health };
    let pipelines = files.into_iter().enumerate().map(|(worker, file)| shared.worker(worker, file));
    let pipelines = pipelines.collect::<anyhow::Result<Vec<Pipeline>>>()?;
    info!(
        group = config.group,
        topic = config.kafka.topic,
        brokers = config.kafka.brokers,
        redis = config.redis.is_some(),
        workers = config.workers,
        "joining the group"
    );
    let worked = work(pipelines, &shutdown);
    if worked.is_ok() {
        writer.join().expect("a panic ends the program");
    }
    worked.and(latency_log.map_or(Ok(()), LatencyLog::finish))
}

/// What the workers of a process have in common.
struct Shared<'c> {
    config: &'c Config,
    /// The name, in the group, of who writes our files.
    instance: Option<String>,
    dead_letters: DeadLetters,
    names: ServiceNames,
    metrics: Metrics,
    health: Health,
}

impl Shared<'_> {
    fn worker(&self, worker: usize, file: FileSink) -> anyhow::Result<Pipeline> {
        let Shared { config, instance, dead_letters, names, metrics, health } = self;
        let redis = match config.redis.clone() {
            None => None,
            Some((servers, keys)) => {
                Some(RedisFeed::start(config.redis_memory, |control, told, front| RedisSink {
                    servers,
                    keys,
                    kafka: config.kafka.clone(),
                    max_event_bytes: config.max_event_bytes,
                    names: names.clone(),
                    owner: format!("{:08x}", rand::random::<u32>()),
                    durable: file.durable().clone(),
                    front,
                    control,
                    told,
                    metrics: metrics.clone(),
                })?)
            }
        };
        // With the number of a lone worker, too: else `web-1` could be the second one of `web`.
        let name = |name: &String| format!("{name}-{worker}");
        let group = Group::join(Membership {
            options: config.kafka.clone(),
            group: config.group.clone(),
            instance: instance.as_ref().map(name),
            queue_bytes: config.kafka_memory,
            batch: config.batch,
            client_id: name(&config.file.holder.replace(' ', "-")),
        })?;
        Ok(Pipeline::new(Parts {
            group,
            file,
            redis,
            dead_letters: dead_letters.clone(),
            names: names.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
            vitals: health.worker(),
            format: config.format,
            max_event_bytes: config.max_event_bytes,
            private_files: config.instance.is_some(),
        }))
    }
}

/// Runs each worker on a thread of its own. When one ends, for whatever reason, so do the others.
fn work(pipelines: Vec<Pipeline>, shutdown: &Shutdown) -> anyhow::Result<()> {
    let several = pipelines.len() > 1;
    thread::scope(|scope| {
        let _all_end = EndsAll(shutdown);
        let mut threads = Vec::new();
        for (worker, pipeline) in pipelines.into_iter().enumerate() {
            let run = move || {
                let _all_end = EndsAll(shutdown);
                let _in_log_lines = several.then(|| info_span!("worker", n = worker).entered());
                pipeline.run(shutdown)
            };
            threads.push(thread::Builder::new().name(format!("worker-{worker}")).spawn_scoped(scope, run)?);
        }
        let ends = threads.into_iter().map(|thread| thread.join().expect("a panic ends the program"));
        let mut problems = ends.filter_map(Result::err).collect::<Vec<_>>().into_iter();
        let first = problems.next();
        problems.for_each(|problem| error!("another worker: {problem:#}"));
        first.map_or(Ok(()), Err)
    })
}

/// Asks for the end when it is dropped.
struct EndsAll<'s>(&'s Shutdown);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.request();
    }
}

/// Opens the single file; waits while another consumer has it. None when asked to end meanwhile.
fn have_file(config: &Config, health: &Health, shutdown: &Shutdown) -> anyhow::Result<Option<LogFile>> {
    let mut told = String::new();
    while !shutdown.requested() {
        match FileSink::open(&config.file, 0) {
            Ok(file) => return Ok(Some(file)),
            Err(FileError::Lock(LockError::Held(holder))) => {
                let path = config.file.layout.path(0);
                if !config.standby {
                    bail!(
                        "{} is held by {holder}: stop that one, choose another --file, or stand by",
                        path.display()
                    );
                }
                if told != holder {
                    info!(file = %path.display(), holder, "standing by: another consumer writes the file");
                    told.clone_from(&holder);
                }
                health.set(State::Standby { holder });
                std::thread::park_timeout(STANDBY_INTERVAL);
            }
            Err(error) => bail!(error),
        }
    }
    Ok(None)
}
