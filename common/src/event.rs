//! The log event as a value, and its wire form.
//!
//! On the wire an event is one JSON object, UTF-8. Sluice writes the fields in the order of [`LogEvent`];
//! that order is what the fast decoder expects, any other is read by the library path.

use crate::level::Level;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// One log event, owned: for tests, shipped lines and tools. The hot paths never build one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogEvent {
    /// When it happened; RFC 3339, UTC, microseconds on the wire.
    #[serde(serialize_with = "rfc3339_micros")]
    pub timestamp: DateTime<Utc>,
    /// Severity.
    pub level: Level,
    /// Who logged it: the key of the counters per service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Machine it was logged on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The run of a producer; with `seq` the identity of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<String>,
    /// Gapless number within the producer's run, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When the schedule wanted it sent, µs since the epoch: latency is measured from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// The text.
    pub message: String,
    /// Every other field, untouched, after the known ones.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// Writes `2026-11-22T07:12:19.267847Z`.
pub fn format_timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn rfc3339_micros<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_timestamp(*time))
}

/// Now, in µs since the epoch: the unit of `due` and of every latency.
pub fn now_micros() -> u64 {
    u64::try_from(Utc::now().timestamp_micros()).unwrap_or(0)
}
