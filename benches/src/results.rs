//! What a bench measured, as it stands in `results.json`: the report and its plots are made from this alone.

use common::report::Percentiles;
use figures::machine::Machine;
pub use harness::usage::Held;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything of one `bench`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Where it ran.
    pub machine: Machine,
    /// Command that gives all of it again.
    pub command: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took, s.
    pub seconds: f64,
    /// Runs of Sluice, in the order they were made.
    pub runs: Vec<Run>,
    /// Consumers that drained the same backlog: Sluice among them.
    pub consumers: Vec<Contender>,
    /// Producers that filled a topic with the same number of events: Sluice among them.
    pub producers: Vec<Contender>,
    /// Highest rates found.
    pub max_rates: Vec<MaxRate>,
    /// What bare programs made of the same jobs on the same servers, without any guarantee; empty without them.
    pub limits: Vec<Limit>,
}

/// One run of Sluice, verified event by event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// What was run.
    pub name: RunName,
    /// How.
    pub setting: Setting,
    /// Unique events, verified, that became durable in both sinks in these seconds: all, where the time begins with
    /// them.
    pub events: u64,
    /// From the first due to the last durable in both sinks; from a backlog, from the consumer's start; with several
    /// consumers or workers, from when the group had dealt the partitions out.
    pub seconds: f64,
    /// `events / seconds`.
    pub events_per_second: f64,
    /// CPU µs an event, by process (`producer`, `consumer`, `kafka`, `redis`, `zookeeper`; several consumers are one).
    pub cpu_micros: BTreeMap<String, f64>,
    /// Largest resident memory, bytes, by process; of several consumers the largest one's.
    pub memory_peak: BTreeMap<String, u64>,
    /// Latency from due, ms; the first seconds of a run are left out, `n` says how many events are in.
    pub latency: BTreeMap<Stage, Percentiles>,
    /// Several times a second.
    pub samples: Vec<Sample>,
    /// Once a second, by stage: p50 and p99.
    pub latency_over_time: Vec<LatencyAt>,
    /// What the consumer did.
    pub consumer: ConsumerFigures,
}

/// Which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunName {
    /// Producer and consumer at once, as fast as they can.
    EndToEnd,
    /// Everything is in Kafka before the consumer starts.
    Backlog,
    /// At a steady rate, for latency.
    Steady,
    /// A rate with a spike in it.
    Spike,
    /// End to end, one of a curve over the size of events.
    BySize,
    /// End to end, one of a curve over partitions.
    ByPartitions,
    /// From a backlog, one of a curve over consumers.
    ByConsumers,
    /// From a backlog, one of a curve over the workers of one consumer.
    ByWorkers,
}

impl RunName {
    /// Whether everything is in Kafka before the consumers start.
    pub fn is_from_backlog(self) -> bool {
        matches!(self, RunName::Backlog | RunName::ByConsumers | RunName::ByWorkers)
    }
}

/// What a run was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Partitions of the topic.
    pub partitions: u16,
    /// Consumers, each on its share of the partitions.
    pub consumers: u16,
    /// Workers of each.
    pub workers: u16,
    /// Mean bytes of an event.
    pub event_bytes: f64,
    /// Events a second that were offered; none is as fast as possible.
    pub rate: Option<u64>,
}

/// How far an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The broker acknowledged it.
    Acknowledged,
    /// The consumer has it.
    Fetched,
    /// It can be seen in Redis.
    Redis,
    /// It is synced to disk.
    Synced,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 4] = [Stage::Acknowledged, Stage::Fetched, Stage::Redis, Stage::Synced];

    /// As logs and terminals call it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Acknowledged => "acked",
            Stage::Fetched => "fetched",
            Stage::Redis => "redis",
            Stage::Synced => "synced",
        }
    }
}

/// A moment of a run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sample {
    /// s after the start.
    pub at: f64,
    /// Events due so far; 0 where there is no schedule.
    pub due: u64,
    /// Events durable in the file so far.
    pub file: u64,
    /// Events in Redis so far.
    pub redis: u64,
}

/// Latency within one second of a run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LatencyAt {
    /// s after the start.
    pub at: f64,
    /// Which latency.
    pub stage: Stage,
    /// ms
    pub p50: f64,
    /// ms
    pub p99: f64,
}

/// What the consumer did in a run.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ConsumerFigures {
    /// Bytes written to the file.
    pub file_bytes: u64,
    /// Bytes sent to Redis.
    pub redis_bytes: u64,
    /// Syncs of the file.
    pub syncs: u64,
    /// Mean duration of a sync, ms.
    pub sync_ms: f64,
    /// Mean events of a batch from Kafka.
    pub batch_events: f64,
    /// How often Redis was too slow and left behind, to be caught up from Kafka.
    pub redis_detached: u64,
}

/// A program that did the same job beside Sluice.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contender {
    /// `rsyslog`
    pub name: String,
    /// What it did with the events: `file + Redis`, `file only`, `produce`.
    pub job: String,
    /// What it promises, and how it was set up.
    pub guarantee: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran.
    Ran {
        /// Its version.
        version: String,
        /// Events it got done: all, or those of its time limit.
        events: u64,
        /// From the first event done to the last.
        seconds: f64,
        /// `events / seconds`.
        events_per_second: f64,
        /// Its own CPU, µs an event.
        cpu_micros: f64,
        /// Largest resident memory, bytes.
        memory_peak: u64,
    },
    /// It could not be run here; why.
    Skipped(String),
}

/// A highest rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MaxRate {
    /// What was to be kept: `lag does not grow`, `p99<100ms`.
    pub slo: String,
    /// Events a second; none when not even the lowest that was tried kept it.
    pub rate: Option<u64>,
    /// Each rate that was tried, in that order, and whether it was kept.
    pub tried: Vec<(u64, bool)>,
}

/// What a bare program made of a job of ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limit {
    /// The job.
    pub job: LimitJob,
    /// Events a second that it got done; of a latency, that were offered.
    pub events_per_second: f64,
    /// Latency from due, ms; empty unless that was the job.
    pub latency: BTreeMap<Stage, Percentiles>,
}

/// A job of a bare program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitJob {
    /// As [`RunName::EndToEnd`].
    EndToEnd,
    /// As [`RunName::Backlog`].
    Backlog,
    /// Producing alone.
    Produce,
    /// As [`RunName::Steady`].
    Steady,
}

/// A long run at a steady rate, as it stands in `soak.json`: every event verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Soak {
    /// Where it ran.
    pub machine: Machine,
    /// Command that gives it again.
    pub command: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long all of it took, s.
    pub seconds: f64,
    /// Events a second that were offered.
    pub rate: u64,
    /// Events that stand in the files once, in order, and are counted in Redis.
    pub events: u64,
    /// Their bytes in the files.
    pub bytes: u64,
    /// At regular intervals.
    pub samples: Vec<Standing>,
    /// Of each interval, by stage: p50 and p99.
    pub latency_over_time: Vec<LatencyAt>,
}

/// Where a long run stands at a moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Standing {
    /// s after the start.
    pub at: f64,
    /// Events due so far.
    pub due: u64,
    /// Events durable in the files so far.
    pub file: u64,
    /// Events in Redis so far.
    pub redis: u64,
    /// Events in Kafka that the consumer has not read.
    pub unread: u64,
    /// What each process holds that is there.
    pub held: BTreeMap<String, Held>,
}

/// A study of what a change of settings does to the latency, as it stands in `study-tuning.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Study {
    /// Where it ran.
    pub machine: Machine,
    /// Command that gives it again.
    pub command: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took, s.
    pub seconds: f64,
    /// Events a second that were offered in every run.
    pub rate: u64,
    /// Seed of the events of every run.
    pub seed: u64,
    /// Each setting, by its name, in words.
    pub settings: BTreeMap<String, String>,
    /// What was compared: first the noise floor (a setting with itself), then the ablations, then both changes.
    pub comparisons: Vec<Comparison>,
}

/// Pairs of runs of two settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// `A/A`, `partitions alone`, `batching alone`, `both`.
    pub name: String,
    /// Name of the first setting.
    pub baseline: String,
    /// Name of the second.
    pub tuned: String,
    /// Latency from due to visible in Redis of each pair of runs, baseline first (they were run as ABBA).
    pub pairs: Vec<[Percentiles; 2]>,
    /// Tuned ÷ baseline, of the medians.
    pub p50: Ratio,
    /// Tuned ÷ baseline, of the 99th percentiles.
    pub p99: Ratio,
}

/// A ratio over pairs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ratio {
    /// Median of the pairs' ratios.
    pub median: f64,
    /// Lower end of its 95 % interval, by bootstrap.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}
