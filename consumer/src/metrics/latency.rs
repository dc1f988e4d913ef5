//! Latencies, recorded a batch at a time, shown as a Prometheus histogram.

use hdrhistogram::Histogram;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest latency that is told apart, µs: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// Upper bounds of the buckets that Prometheus sees, µs; about ten to a factor of ten where latencies usually are.
const BOUNDS_MICROS: [u64; 34] = [
    500,
    1_000,
    1_500,
    2_000,
    2_500,
    3_000,
    4_000,
    5_000,
    6_000,
    8_000,
    10_000,
    12_500,
    15_000,
    20_000,
    25_000,
    30_000,
    40_000,
    50_000,
    60_000,
    80_000,
    100_000,
    150_000,
    200_000,
    300_000,
    500_000,
    750_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
];

/// Latencies since the start, exact to a thousandth.
#[derive(Debug, Clone)]
pub struct Latency(Arc<Mutex<Recorded>>);

#[derive(Debug)]
struct Recorded {
    micros: Histogram<u64>,
    sum_micros: u64,
}

impl Default for Latency {
    fn default() -> Latency {
        let micros = empty();
        Latency(Arc::new(Mutex::new(Recorded { micros, sum_micros: 0 })))
    }
}

/// A histogram of latencies in µs with nothing in it.
pub fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("bounds that fit")
}

impl Latency {
    /// Records that events due at `dues` reached the stage at `now` (both µs since the epoch).
    pub fn record(&self, now: u64, dues: &[u64]) {
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A producer without a rate has whole batches due at once.
        for together in dues.chunk_by(|a, b| a == b) {
            let (micros, events) = (now.saturating_sub(together[0]), together.len() as u64);
            recorded.micros.saturating_record_n(micros, events);
            recorded.sum_micros = recorded.sum_micros.saturating_add(micros.saturating_mul(events));
        }
    }

    /// Everything recorded so far, µs.
    pub fn so_far(&self) -> Histogram<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).micros.clone()
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = [0_u64; BOUNDS_MICROS.len() + 1];
        for value in recorded.micros.iter_recorded() {
            let micros = recorded.micros.lowest_equivalent(value.value_iterated_to());
            counts[BOUNDS_MICROS.partition_point(|&bound| bound < micros)] += value.count_at_value();
        }
        let bounds = BOUNDS_MICROS.iter().map(|&micros| micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let (sum, count) = (recorded.sum_micros as f64 / 1e6, recorded.micros.len());
        encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
