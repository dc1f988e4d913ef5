//! From a configuration to a running pipeline: first the file, then the group.

use crate::config::Config;
use crate::counts::ServiceNames;
use crate::group::Group;
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
use crate::{http, status};
use anyhow::bail;
use common::shutdown::Shutdown;
use std::time::Duration;
use tracing::info;

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
    let latency_log = config.latency_log.as_deref().map(|path| LatencyLog::start(path, metrics.clone()));
    let latency_log = latency_log.transpose()?;

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
    let file_id = single.as_ref().map(|file| format!("sluice-{}", file.id()));
    let instance = config.instance.as_ref().or(file_id.as_ref());

    let names = ServiceNames::default();
    let dead_letters =
        DeadLetters::start(config.kafka.clone(), config.rejected_topic.clone(), metrics.clone())?;
    let mut file =
        FileSink::start(config.file.clone(), names.clone(), dead_letters.acknowledged(), metrics.clone())?;
    if let Some(single) = single {
        file.adopt(0, single);
    }
    let redis = match config.redis.clone() {
        None => None,
        Some((client, keys)) => {
            Some(RedisFeed::start(config.redis_memory, |control, told, front| RedisSink {
                client,
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
    let group = Group::join(
        &config.kafka,
        &config.group,
        instance.map(String::as_str),
        config.kafka_memory,
        config.batch_events,
        &config.file.holder.replace(' ', "-"),
    )?;
    info!(
        group = config.group,
        topic = config.kafka.topic,
        brokers = config.kafka.brokers,
        redis = redis.is_some(),
        "joining the group"
    );
    let parts = Parts {
        group,
        file,
        redis,
        dead_letters,
        names,
        metrics,
        health,
        format: config.format,
        max_event_bytes: config.max_event_bytes,
        private_files: config.instance.is_some(),
    };
    Pipeline::new(parts).run(&shutdown)?;
    latency_log.map_or(Ok(()), LatencyLog::finish)
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
