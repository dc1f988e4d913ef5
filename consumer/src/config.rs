//! From raw flags to one validated configuration, before anything starts.

use crate::http::parse_address;
use crate::pipeline::FileFormat;
use crate::sink::file::log_file::Rotation;
use crate::sink::file::{FileConfig, Layout};
use crate::sink::redis::options::RedisOptions;
use crate::sink::redis::request::Keys;
use crate::sink::redis::servers::Servers;
use clap::Args;
use common::telemetry::LogFormat;
use common::units::{parse_count, parse_duration, parse_size};
use kafka::consume::AtMost;
use kafka::options::{KafkaOptions, Reserved};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Flags of `consumer`, each with its environment variable.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    #[command(flatten)]
    kafka: KafkaOptions,

    /// Consumer group
    #[arg(long, env = "KAFKA_GROUP", default_value = "sluice")]
    group: String,

    /// File to append events to; {partition} makes one file a partition, {instance} one a consumer
    #[arg(long, env = "SLUICE_FILE", default_value = "logs.txt", value_name = "PATH")]
    file: String,

    /// How events are written
    #[arg(long, env = "SLUICE_FILE_FORMAT", default_value = "json", value_enum)]
    file_format: FileFormat,

    /// Name of this consumer, for {instance} (default: the host's name)
    #[arg(long, env = "SLUICE_INSTANCE", value_name = "NAME")]
    instance: Option<String>,

    /// End with an error when another consumer holds the file, instead of standing by
    #[arg(long, env = "SLUICE_NO_STANDBY")]
    no_standby: bool,

    /// Longest time an event waits for its sync to disk
    #[arg(long, env = "SLUICE_SYNC_INTERVAL", default_value = "25ms", value_parser = parse_duration, value_name = "TIME")]
    sync_interval: Duration,

    /// Put the file aside under a name with the time once it has this size, or a little more: it is looked at after each
    /// sync
    #[arg(long, env = "SLUICE_ROTATE_SIZE", value_parser = parse_size, value_name = "SIZE")]
    rotate_size: Option<u64>,

    /// Put the file aside once it is this old
    #[arg(long, env = "SLUICE_ROTATE_EVERY", value_parser = parse_duration, value_name = "TIME")]
    rotate_every: Option<Duration>,

    #[command(flatten)]
    redis: RedisOptions,

    /// Write the file only
    #[arg(long, env = "SLUICE_NO_REDIS")]
    no_redis: bool,

    /// First part of every key in Redis; in a cluster with a hash tag in it, as {logs}
    #[arg(long, env = "SLUICE_REDIS_PREFIX", default_value = "logs", value_name = "PREFIX")]
    redis_prefix: String,

    /// Events that a list in Redis holds
    #[arg(long, env = "SLUICE_REDIS_RECENT", default_value = "100k", value_parser = parse_count, value_name = "COUNT")]
    redis_recent: u64,

    /// How long counters per minute are kept in Redis
    #[arg(long, env = "SLUICE_REDIS_EXPIRY", default_value = "24h", value_parser = parse_duration, value_name = "TIME")]
    redis_expiry: Duration,

    /// Topic for events that can't be understood
    #[arg(long, env = "SLUICE_REJECTED_TOPIC", default_value = "logs.rejected", value_name = "TOPIC")]
    rejected_topic: String,

    /// A larger event is rejected
    #[arg(long, env = "SLUICE_MAX_EVENT_BYTES", default_value = "1MiB", value_parser = parse_size, value_name = "SIZE")]
    max_event_bytes: u64,

    /// Workers, each with a share of the partitions, a place in the group and a session with Redis; one needs two to
    /// three cores under full load
    #[arg(long, env = "SLUICE_WORKERS", default_value = "1", value_name = "COUNT")]
    workers: usize,

    /// Memory for events on their way, shared out between the workers, and there between Kafka's queue, the file and
    /// Redis
    #[arg(long, env = "SLUICE_MEMORY", default_value = "96MiB", value_parser = parse_size, value_name = "SIZE")]
    memory: u64,

    /// Most events taken from Kafka at once, fewer if they are large; each batch is one request to Redis and one write
    /// of the file
    #[arg(long, env = "SLUICE_BATCH_EVENTS", default_value = "10k", value_parser = parse_count, value_name = "COUNT")]
    batch_events: u64,

    /// Where /metrics, /healthz and /readyz are served; port 0 is any free one, for a second consumer on one machine
    #[arg(long, env = "SLUICE_METRICS_ADDR", default_value = "127.0.0.1:9600", value_parser = parse_address, value_name = "ADDR:PORT")]
    metrics_addr: SocketAddr,

    /// Write latencies into this file, from when an event was due to fetched, in Redis, and synced: an HdrHistogram
    /// log, a line a second for each
    #[arg(long, env = "SLUICE_LATENCY_LOG", value_name = "FILE")]
    latency_log: Option<PathBuf>,

    /// How this program's own log lines look
    #[arg(long, env = "SLUICE_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormat,
}

/// What the program runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to reach Kafka.
    pub kafka: KafkaOptions,
    /// The group.
    pub group: String,
    /// The file sink.
    pub file: FileConfig,
    /// How events are written.
    pub format: FileFormat,
    /// This consumer's own name, where its files are its own: then the group knows it as a static member.
    pub instance: Option<String>,
    /// Whether to stand by for a file that another consumer holds.
    pub standby: bool,
    /// Redis, unless there is none.
    pub redis: Option<(Servers, Keys)>,
    /// Topic of the rejected.
    pub rejected_topic: String,
    /// A larger event is rejected.
    pub max_event_bytes: usize,
    /// How many share the partitions.
    pub workers: usize,
    /// What a worker's queue from Kafka may hold.
    pub kafka_memory: usize,
    /// What a worker's batches to Redis may hold.
    pub redis_memory: usize,
    /// Largest batch from Kafka.
    pub batch: AtMost,
    /// Where metrics are served.
    pub metrics_addr: SocketAddr,
    /// Where latencies are logged.
    pub latency_log: Option<PathBuf>,
}

const MIN_MEMORY: usize = 16 << 20;
const MAX_WORKERS: usize = 64;
const MAX_BATCH_EVENTS: u64 = 100_000;

/// Properties on which exactly once rests.
const RESERVED: [Reserved; 7] = [
    Reserved { key: "group.id", allowed: &[], reason: "use --group" },
    Reserved {
        key: "group.instance.id",
        allowed: &[],
        reason: "it follows from the file: see --file and --instance",
    },
    Reserved {
        key: "enable.auto.commit",
        allowed: &["false"],
        reason: "an offset is committed once it is durable",
    },
    Reserved {
        key: "enable.auto.offset.store",
        allowed: &["false"],
        reason: "an offset is committed once it is durable",
    },
    Reserved {
        key: "auto.offset.reset",
        allowed: &["error"],
        reason: "the checkpoint says where reading goes on",
    },
    Reserved {
        key: "enable.partition.eof",
        allowed: &["false"],
        reason: "librdkafka would leave out an event after the next rebalance",
    },
    Reserved {
        key: "partition.assignment.strategy",
        allowed: &["cooperative-sticky"],
        reason: "exactly once needs cooperative-sticky",
    },
];

impl Flags {
    /// Checks everything that can be checked without connecting.
    ///
    /// # Errors
    /// One line that says what to change.
    pub fn validate(self) -> Result<Config, String> {
        let instance = self.instance.clone().unwrap_or_else(host_name);
        let layout = layout(&self.file, &instance)?;
        let private = self.file.contains("{instance}");
        self.kafka.check(&RESERVED)?;
        if self.sync_interval > Duration::from_secs(60) {
            return Err("--sync-interval must be at most 60s: so much may be read again after a crash".into());
        }
        if self.rotate_size == Some(0) || self.rotate_every == Some(Duration::ZERO) {
            return Err("--rotate-size and --rotate-every must be more than zero".into());
        }
        if !(1..=MAX_WORKERS).contains(&self.workers) {
            return Err(format!("--workers must be between 1 and {MAX_WORKERS}"));
        }
        let memory = usize::try_from(self.memory).map_err(|_| "--memory is too large for this machine")?;
        let memory = memory / self.workers;
        if memory < MIN_MEMORY {
            return Err("--memory must be at least 16MiB for each of --workers".into());
        }
        let max_event_bytes = usize::try_from(self.max_event_bytes).unwrap_or(usize::MAX);
        if !(1..=memory / 8).contains(&max_event_bytes) {
            return Err("--max-event-bytes must be between 1 and an eighth of a worker's --memory".into());
        }
        if self.rejected_topic == self.kafka.topic {
            return Err("--rejected-topic must differ from --topic".into());
        }
        if !(1..=MAX_BATCH_EVENTS).contains(&self.batch_events) {
            return Err("--batch-events must be between 1 and 100k".into());
        }
        if let Some(log) = self.latency_log.as_deref().filter(|log| layout.has(log)) {
            return Err(format!("--latency-log {} is a file of --file: choose another", log.display()));
        }
        let redis = if self.no_redis { None } else { Some(self.redis()?) };
        Ok(Config {
            group: self.group,
            file: FileConfig {
                layout,
                topic: self.kafka.topic.clone(),
                holder: format!("process {} on {}", std::process::id(), host_name()),
                rotation: Rotation { size: self.rotate_size, every: self.rotate_every },
                sync_interval: self.sync_interval,
                memory: memory / 4,
            },
            format: self.file_format,
            instance: private.then_some(instance),
            standby: !self.no_standby,
            redis,
            rejected_topic: self.rejected_topic,
            max_event_bytes,
            workers: self.workers,
            // librdkafka needs about twice a small message's bytes to hold it, and a fetch may overshoot.
            kafka_memory: memory / 4,
            redis_memory: memory / 8,
            // So that several fit on their way to each sink.
            batch: AtMost {
                messages: usize::try_from(self.batch_events).unwrap_or(usize::MAX),
                bytes: memory / 32,
            },
            metrics_addr: self.metrics_addr,
            latency_log: self.latency_log,
            kafka: self.kafka,
        })
    }

    fn redis(&self) -> Result<(Servers, Keys), String> {
        let servers = self.redis.servers()?;
        if self.redis_recent == 0 {
            return Err("--redis-recent must be at least 1".into());
        }
        let prefix = &self.redis_prefix;
        if prefix.len() > 64 || !is_name(&prefix.replace(['{', '}', ':'], "")) {
            return Err("--redis-prefix must be letters, digits and '-_.:{}', at most 64".into());
        }
        let minutes = i64::try_from(self.redis_expiry.as_secs() / 60).unwrap_or(i64::MAX);
        if !(1..=527_040).contains(&minutes) {
            return Err("--redis-expiry must be between 1m and 366days".into());
        }
        let keys = Keys {
            prefix: self.redis_prefix.clone(),
            topic: self.kafka.topic.clone(),
            recent: self.redis_recent,
            minutes,
        };
        Ok((servers, keys))
    }
}

/// The files that a template names for a consumer of that name.
fn layout(template: &str, instance: &str) -> Result<Layout, String> {
    if template.contains("{instance}") && !is_name(instance) {
        return Err(format!("--instance '{instance}' must be letters, digits, '-', '_' and '.'"));
    }
    let path = &template.replace("{instance}", instance);
    let fixed = path.replace("{partition}", "0");
    if fixed.contains(['{', '}']) {
        return Err(format!("--file '{path}': only {{partition}} and {{instance}} can stand in braces"));
    }
    if Path::new(&fixed).file_name().is_none() || path.ends_with('/') || path.ends_with("/.") {
        return Err(format!("--file '{path}' does not name a file"));
    }
    if Path::new(&fixed).is_dir() {
        return Err(format!("--file '{path}' is a folder: name a file in it"));
    }
    let folder = Path::new(&fixed).parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(format!("--file '{path}': create the folder {} first", folder.display()));
    }
    if path.contains("{partition}") {
        Ok(Layout::PerPartition(path.to_owned()))
    } else {
        Ok(Layout::Single(PathBuf::from(path)))
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 64 && text.chars().all(allowed) && !text.starts_with('.')
}

fn host_name() -> String {
    // What gethostname(2) gives, as Linux shows it.
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::file::checkpoint::CheckpointFile;
    use std::collections::BTreeSet;

    /// Whatever the template and the consumer's name, each partition has a file of its own or all share one, in the
    /// folder that the template names, and what belongs to it stands beside it.
    #[test]
    fn fuzz_file_template() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let (template, instance) = text.split_once('\n').unwrap_or((&text, "host"));
            let Ok(layout) = layout(template, instance) else { return };
            let folders = Path::new(template).components().count();
            let files: BTreeSet<PathBuf> =
                [0, 1, 10, 11, i32::MAX].into_iter().map(|p| layout.path(p)).collect();
            assert_eq!(files.len(), if template.contains("{partition}") { 5 } else { 1 });
            for file in files {
                assert_eq!(file.components().count(), folders, "{file:?}");
                let name = file.file_name().expect("a file").to_str().expect("UTF-8").to_owned();
                let checkpoint = CheckpointFile::path_of(&file);
                assert_eq!(checkpoint, file.with_file_name(format!("{name}.checkpoint")));
                assert!(layout.has(&file) && layout.has(&checkpoint), "{file:?}");
            }
        });
    }

    #[test]
    fn a_file_is_known_by_whatever_name() {
        let has = |template: &str, path: &str| layout(template, "a").expect("files").has(Path::new(path));
        for (template, path) in [
            ("logs.txt", "./logs.txt"),
            ("./logs.txt", "logs.txt.lock"),
            ("./logs-{partition}.txt", "logs-7.txt"),
            ("{partition}-{partition}.txt", "7-7.txt.checkpoint"),
            ("logs-{instance}.txt", "logs-a.txt"),
            ("logs.lock", "logs.lock"),
        ] {
            assert!(has(template, path), "{template} {path}");
        }
        assert!(!has("logs.txt", "latency.log") && !has("logs-{partition}.txt", "latency.log"));
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for template in
            ["", ".", "..", "/", "new/", "new/.", "new/{partition}/.", "{x}", "{partition", "no/such/folder"]
        {
            assert!(layout(template, "a").is_err(), "{template}");
        }
        for instance in ["", "..", "a/b", "../a", "{partition}", "a\n"] {
            assert!(layout("logs-{instance}.txt", instance).is_err(), "{instance}");
        }
    }
}
