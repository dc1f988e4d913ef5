//! The consumers' latency logs, summed up.

use crate::results::{LatencyAt, Stage};
use anyhow::{Context, Result};
use common::latency_log;
use common::report::Percentiles;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

/// Latencies of one stage within about a second.
#[derive(Debug, Clone)]
pub struct Interval {
    /// When it began, s since the epoch.
    pub start: f64,
    /// Which latency.
    pub stage: Stage,
    /// µs
    pub micros: Histogram<u64>,
}

/// Reads a log that `consumer --latency-log` wrote.
///
/// # Errors
/// When it can't be read or is none.
pub fn read(path: &Path) -> Result<Vec<Interval>> {
    let stage = |name: &str| {
        let found = Stage::ALL.into_iter().find(|stage| stage.name() == name);
        found.with_context(|| format!("{}: no stage is called '{name}'", path.display()))
    };
    let intervals = latency_log::read(path)?.into_iter();
    intervals
        .map(|interval| {
            let latency_log::Interval { start, stage: name, micros } = interval;
            Ok(Interval { start, stage: stage(&name)?, micros })
        })
        .collect()
}

/// All intervals that began at `from` (s since the epoch) or later, by stage.
pub fn merged(intervals: &[Interval], from: f64) -> Result<BTreeMap<Stage, Histogram<u64>>> {
    summed(intervals.iter().filter(|interval| interval.start >= from), |interval| interval.stage)
}

/// p50 and p99 of each `step` (s) after `start` (s since the epoch); of several consumers' intervals that began within
/// the same one, all together.
pub fn over_time(intervals: &[Interval], start: f64, step: f64) -> Result<Vec<LatencyAt>> {
    let steps = |interval: &Interval| ((interval.start - start) / step).floor() as i64;
    let summed = summed(intervals, |interval| (steps(interval), interval.stage))?;
    let at = |((steps, stage), micros): (_, Histogram<u64>)| {
        let Percentiles { p50, p99, .. } = Percentiles::of_micros(&micros);
        LatencyAt { at: steps as f64 * step, stage, p50, p99 }
    };
    Ok(summed.into_iter().map(at).collect())
}

fn summed<'i, K: Ord>(
    intervals: impl IntoIterator<Item = &'i Interval>,
    key: impl Fn(&Interval) -> K,
) -> Result<BTreeMap<K, Histogram<u64>>> {
    let mut sums: BTreeMap<K, Histogram<u64>> = BTreeMap::new();
    for interval in intervals {
        match sums.entry(key(interval)) {
            Entry::Occupied(mut sum) => sum.get_mut().add(&interval.micros)?,
            Entry::Vacant(none) => drop(none.insert(interval.micros.clone())),
        }
    }
    Ok(sums)
}
