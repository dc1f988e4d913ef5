//! The producer's closing report: the one source an audit needs beside the files.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What one run of `producer` sent and what the broker acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProducerReport {
    /// Identity of the run: the `producer` field of its events.
    pub producer: String,
    /// Topic it wrote to.
    pub topic: String,
    /// Partitions of that topic.
    pub partitions: usize,
    /// Start of the schedule, RFC 3339.
    pub started: String,
    /// End of the last acknowledgement, RFC 3339.
    pub finished: String,
    /// Events handed to the client library.
    pub sent: u64,
    /// Events that the broker acknowledged.
    pub acknowledged: u64,
    /// Events that failed for good.
    pub failed: u64,
    /// First acknowledged `seq`; none when nothing was.
    pub first_acknowledged_seq: Option<u64>,
    /// Last acknowledged `seq`.
    pub last_acknowledged_seq: Option<u64>,
    /// Ranges of `seq` within those two that were *not* acknowledged (they may have arrived all the same).
    pub unacknowledged: Vec<(u64, u64)>,
    /// Payload bytes acknowledged.
    pub bytes: u64,
    /// Seconds from the start of the schedule to the last acknowledgement.
    pub seconds: f64,
    /// Acknowledged events a second over that time.
    pub events_per_second: f64,
    /// From `due` to acknowledgement.
    pub ack_latency_ms: Percentiles,
}

/// Percentiles of a latency, in milliseconds, and how many events they stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Events measured.
    pub n: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

impl Percentiles {
    /// Those of a histogram of µs.
    pub fn of_micros(micros: &Histogram<u64>) -> Percentiles {
        let millis = |micros: u64| micros as f64 / 1e3;
        Percentiles {
            n: micros.len(),
            p50: millis(micros.value_at_quantile(0.5)),
            p90: millis(micros.value_at_quantile(0.9)),
            p99: millis(micros.value_at_quantile(0.99)),
            p999: millis(micros.value_at_quantile(0.999)),
            max: millis(micros.max()),
        }
    }
}
