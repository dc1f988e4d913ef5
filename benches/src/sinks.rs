//! How far a consumer is.

use harness::http;
use std::net::SocketAddr;
use std::ops::Add;

/// A consumer's own word, which `verify` checks in the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct InSinks {
    /// Events durable in the file.
    pub file: u64,
    /// Events in Redis.
    pub redis: u64,
    /// Events in Kafka that it has not read; a second old at the most.
    pub unread: u64,
    /// Times that the group dealt out partitions anew.
    pub rebalances: u64,
}

/// Asks it; all zero while it does not answer.
pub fn in_sinks(metrics: SocketAddr) -> InSinks {
    let page = http::get(metrics, "/metrics").unwrap_or_default();
    let count = |series: &str| http::value(&page, series).unwrap_or(0.0) as u64;
    let lags = page.lines().filter(|line| line.starts_with("sluice_lag_events{"));
    let lags = lags.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    InSinks {
        unread: lags.sum::<f64>() as u64,
        file: count("sluice_events_out_total{sink=\"file\"}"),
        redis: count("sluice_events_out_total{sink=\"redis\"}"),
        rebalances: count("sluice_rebalances_total"),
    }
}

impl Add for InSinks {
    type Output = InSinks;

    fn add(self, other: InSinks) -> InSinks {
        InSinks {
            file: self.file + other.file,
            redis: self.redis + other.redis,
            unread: self.unread + other.unread,
            rebalances: self.rebalances + other.rebalances,
        }
    }
}
