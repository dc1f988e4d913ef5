//! Latencies over time as `consumer --latency-log` writes them, read back: the format of HdrHistogram's own tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use std::path::Path;

/// Latencies of one stage within some time.
#[derive(Debug, Clone)]
pub struct Interval {
    /// When it began, s since the epoch.
    pub start: f64,
    /// Which stage: the line's tag.
    pub stage: String,
    /// µs
    pub micros: Histogram<u64>,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct LogError {
    path: String,
    reason: String,
}

/// Reads a log.
///
/// # Errors
/// [`LogError`] when it can't be read or is none.
pub fn read(path: &Path) -> Result<Vec<Interval>, LogError> {
    let wrong = |reason: String| LogError { path: path.display().to_string(), reason };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut deserializer = Deserializer::new();
    let mut intervals = Vec::new();
    for entry in IntervalLogIterator::new(&bytes) {
        let entry = entry.map_err(|error| wrong(format!("no log of histograms: {error:?}")))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let encoded = STANDARD.decode(interval.encoded_histogram()).map_err(|e| wrong(e.to_string()))?;
        let micros = deserializer
            .deserialize(&mut encoded.as_slice())
            .map_err(|error| wrong(format!("no histogram: {error:?}")))?;
        intervals.push(Interval {
            start: interval.start_timestamp().as_secs_f64(),
            stage: interval.tag().map_or_else(String::new, |tag| tag.as_str().to_owned()),
            micros,
        });
    }
    Ok(intervals)
}
