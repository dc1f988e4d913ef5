//! Every metric of the consumer, in one place, by Prometheus' conventions: base units, `_total` for counters.

pub mod latency;

use crate::health::{Health, Part};
use common::decode::Reject;
use latency::Latency;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Handles to all metrics; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Events taken from Kafka.
    pub events_in: Counter,
    /// Events durable in, or acknowledged by, a sink.
    pub events_out: Family<SinkLabel, Counter>,
    /// Bytes written to a sink.
    pub bytes_out: Family<SinkLabel, Counter>,
    /// Events sent to the topic of the rejected.
    pub rejected: Family<ReasonLabel, Counter>,
    /// Messages that came again below a position and were left out.
    pub repeated: Counter,
    /// Offsets that Kafka no longer had (or never gives out, as transaction markers).
    pub skipped: Counter,
    /// Messages between our position and the end of the partition.
    pub lag: Family<PartitionLabel, Gauge>,
    /// Age of the oldest event taken from Kafka and not yet durable in the file.
    pub oldest_unsynced: Gauge<f64, AtomicU64>,
    /// From `due` to a stage.
    pub latency: Family<StageLabel, Latency>,
    /// Events a batch from Kafka.
    pub batch_events: Histogram,
    /// Duration of a sync of the file.
    pub sync_seconds: Histogram,
    /// New attempts after a failure.
    pub retries: Family<TargetLabel, Counter>,
    /// 1 while Redis keeps up, 0 while it is away or caught up from Kafka.
    pub redis_attached: Gauge,
    /// For how long a part has not done its work; 0 while it does.
    pub degraded: Family<PartLabel, Gauge<f64, AtomicU64>>,
    /// 1 while this consumer writes, 0 while it stands by.
    pub active: Gauge,
    /// Partitions assigned.
    pub partitions: Gauge,
    /// Rebalances seen.
    pub rebalances: Counter,
    /// Resident memory of the process.
    pub resident_memory: Gauge,
}

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Sink {
    #[expect(non_camel_case_types, reason = "the label as Prometheus shows it")]
    file,
    #[expect(non_camel_case_types, reason = "the label as Prometheus shows it")]
    redis,
}

/// How far an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stage {
    #[expect(non_camel_case_types, reason = "the label as Prometheus shows it")]
    fetched,
    #[expect(non_camel_case_types, reason = "the label as Prometheus shows it")]
    redis,
    #[expect(non_camel_case_types, reason = "the label as Prometheus shows it")]
    synced,
}

impl Stage {
    /// All of them, with their names.
    pub const ALL: [(Stage, &str); 3] =
        [(Stage::fetched, "fetched"), (Stage::redis, "redis"), (Stage::synced, "synced")];
}

/// `sink="file"`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SinkLabel {
    /// The sink.
    pub sink: Sink,
}

/// `stage="synced"`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabel {
    /// The stage.
    pub stage: Stage,
}

/// `reason="invalid_json"`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// [`Reject::as_str`].
    pub reason: &'static str,
}

/// `target="redis"`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabel {
    /// What was tried again.
    pub target: &'static str,
}

/// `part="brokers"`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartLabel {
    /// The part.
    pub part: Part,
}

/// `partition="3"`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    /// The partition.
    pub partition: i32,
}

impl Metrics {
    /// All metrics, registered.
    pub fn new() -> (Metrics, Registry) {
        let metrics = Metrics {
            events_in: Counter::default(),
            events_out: Family::default(),
            bytes_out: Family::default(),
            rejected: Family::default(),
            repeated: Counter::default(),
            skipped: Counter::default(),
            lag: Family::default(),
            oldest_unsynced: Gauge::default(),
            latency: Family::default(),
            batch_events: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            sync_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 14)),
            retries: Family::default(),
            redis_attached: Gauge::default(),
            degraded: Family::default(),
            active: Gauge::default(),
            partitions: Gauge::default(),
            rebalances: Counter::default(),
            resident_memory: Gauge::default(),
        };
        for reason in Reject::ALL {
            drop(metrics.rejected.get_or_create(&ReasonLabel { reason: reason.as_str() }));
        }
        let mut registry = Registry::with_prefix("sluice");
        let m = metrics.clone();
        registry.register("events_in", "Events taken from Kafka", m.events_in);
        registry.register("events_out", "Events durable in the file, or acknowledged by Redis", m.events_out);
        registry.register_with_unit("written", "Bytes written to a sink", Unit::Bytes, m.bytes_out);
        registry.register("events_rejected", "Events sent to the topic of the rejected", m.rejected);
        registry.register("events_repeated", "Messages below a position, left out", m.repeated);
        registry.register("offsets_skipped", "Offsets that Kafka did not give out", m.skipped);
        registry.register("lag_events", "Messages between the position and the end of the partition", m.lag);
        registry.register_with_unit(
            "oldest_unsynced",
            "Age of the oldest event taken from Kafka and not yet durable in the file",
            Unit::Seconds,
            m.oldest_unsynced,
        );
        registry.register_with_unit(
            "latency",
            "From when an event was due to a stage",
            Unit::Seconds,
            m.latency,
        );
        registry.register("batch_events", "Events in a batch from Kafka", m.batch_events);
        registry.register_with_unit("sync", "Duration of a sync of the file", Unit::Seconds, m.sync_seconds);
        registry.register("retries", "New attempts after a failure", m.retries);
        registry.register("redis_attached", "1 while Redis keeps up", m.redis_attached);
        registry.register_with_unit(
            "degraded",
            "For how long a part has not done its work, 0 while it does",
            Unit::Seconds,
            m.degraded,
        );
        registry.register("active", "1 while this consumer writes, 0 while it stands by", m.active);
        registry.register("partitions", "Partitions assigned", m.partitions);
        registry.register("rebalances", "Rebalances of the group seen", m.rebalances);
        registry.register_with_unit(
            "resident_memory",
            "Resident memory of the process",
            Unit::Bytes,
            m.resident_memory,
        );
        (metrics, registry)
    }

    /// Brings up to date what is not told as it happens: what the workers are doing, and the process's memory.
    pub fn sample(&self, health: &Health) {
        self.partitions.set(i64::try_from(health.partitions()).unwrap_or(i64::MAX));
        self.redis_attached.set(health.redis_attached().into());
        self.oldest_unsynced.set(health.oldest_unsynced().as_secs_f64());
        let troubles = health.troubles();
        for part in Part::ALL {
            let trouble = troubles.iter().find(|trouble| trouble.part == part);
            let seconds = trouble.map_or(0.0, |trouble| trouble.since.elapsed().as_secs_f64());
            self.degraded.get_or_create(&PartLabel { part }).set(seconds);
        }
        // Pages of 4 KiB: /proc/self/statm, second number (proc(5)).
        let pages = std::fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<i64>().ok());
        if let Some(pages) = pages {
            self.resident_memory.set(pages * 4096);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_lands_in_its_buckets() {
        let (metrics, registry) = Metrics::new();
        let latency = metrics.latency.get_or_create(&StageLabel { stage: Stage::synced }).clone();
        latency.record(1_000_000, &[999_000, 999_000, 1_000_001, 0]);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"sluice_latency_seconds_bucket{le="0.0005",stage="synced"} 1"#), "{text}");
        assert!(text.contains(r#"sluice_latency_seconds_bucket{le="0.001",stage="synced"} 3"#), "{text}");
        assert!(text.contains(r#"sluice_latency_seconds_bucket{le="+Inf",stage="synced"} 4"#), "{text}");
        assert!(text.contains(r#"sluice_latency_seconds_sum{stage="synced"} 1.002"#), "{text}");
    }

    #[test]
    fn every_reason_stands_there_from_the_start() {
        let (_, registry) = Metrics::new();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for reason in Reject::ALL {
            let line = format!(r#"sluice_events_rejected_total{{reason="{}"}} 0"#, reason.as_str());
            assert!(text.contains(&line), "{text}");
        }
    }
}
