//! How far a consumer is.

use harness::http;
use std::net::SocketAddr;

/// Events durable in the file and events in Redis, by the consumer's own word, which `verify` checks in the end; none
/// while it does not answer.
pub fn in_sinks(metrics: SocketAddr) -> (u64, u64) {
    let page = http::get(metrics, "/metrics").unwrap_or_default();
    let events = |sink: &str| {
        let series = format!("sluice_events_out_total{{sink=\"{sink}\"}}");
        http::value(&page, &series).unwrap_or(0.0) as u64
    };
    (events("file"), events("redis"))
}
