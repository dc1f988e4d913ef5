//! The highest rate that is kept up with: runs at ever higher rates, then between the last two.

use crate::results::{MaxRate, Run, Sample, Stage};
use crate::run::{Bench, Plan};
use anyhow::Result;
use common::report::Percentiles;
use common::units::{format_count, parse_duration};
use std::fmt;
use std::str::FromStr;

/// How long each rate is tried.
const SECONDS: u64 = 30;

/// Growth of the lag is looked for behind this.
const WARM_UP_SECONDS: f64 = 8.0;

/// Lag that grows by less than this share of what is offered is none: it is less than a look at a counter can tell.
const TOLERANCE: f64 = 0.01;

/// From one rate to the next while all are kept.
const STEP: f64 = 1.25;

/// The search ends when the highest kept and the lowest not kept are this near.
const NEAR: f64 = 1.06;

/// What must be kept, beside that the lag does not grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slo {
    quantile: Quantile,
    millis: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantile {
    P50,
    P90,
    P99,
    P999,
    Max,
}

impl Quantile {
    const ALL: [(&'static str, Quantile); 5] = [
        ("p50", Quantile::P50),
        ("p90", Quantile::P90),
        ("p99", Quantile::P99),
        ("p99.9", Quantile::P999),
        ("max", Quantile::Max),
    ];

    fn of(self, latency: &Percentiles) -> f64 {
        match self {
            Quantile::P50 => latency.p50,
            Quantile::P90 => latency.p90,
            Quantile::P99 => latency.p99,
            Quantile::P999 => latency.p999,
            Quantile::Max => latency.max,
        }
    }
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Slo, String> {
        let expected =
            || format!("expected something like p99<100ms (p50, p90, p99, p99.9, max), not '{text}'");
        let (quantile, time) = text.split_once('<').ok_or_else(expected)?;
        let quantile =
            Quantile::ALL.iter().find(|(name, _)| *name == quantile.trim()).ok_or_else(expected)?.1;
        let millis = parse_duration(time).map_err(|_| expected())?.as_secs_f64() * 1e3;
        Ok(Slo { quantile, millis })
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Quantile::ALL.iter().find(|(_, quantile)| *quantile == self.quantile).map_or("", |q| q.0);
        write!(out, "{name}<{}ms", self.millis)
    }
}

/// Searches, from `from` events a second upwards.
///
/// # Errors
/// When a run fails.
pub fn search(bench: &mut Bench, from: u64, slo: Option<Slo>) -> Result<MaxRate> {
    let name = slo.map_or("lag does not grow".to_owned(), |slo| slo.to_string());
    let mut tried = Vec::new();
    let (mut kept, mut missed): (Option<u64>, Option<u64>) = (None, None);
    while let Some(rate) = next(from, kept, missed) {
        bench.progress.more(1);
        bench.progress.step(&format!("highest rate, {name}: {}/s", format_count(rate as f64)));
        let plan = Plan::steady(rate, &format!("--duration {SECONDS}s"));
        let keeps = keeps(&bench.run(&plan)?, rate, slo);
        tried.push((rate, keeps));
        *(if keeps { &mut kept } else { &mut missed }) = Some(rate);
    }
    Ok(MaxRate { slo: name, rate: kept, tried })
}

/// The rate to try next; none when the search is over.
fn next(from: u64, kept: Option<u64>, missed: Option<u64>) -> Option<u64> {
    let times = |rate: u64, factor: f64| (rate as f64 * factor) as u64;
    match (kept, missed) {
        (None, None) => Some(from),
        (Some(kept), None) => Some(times(kept, STEP)),
        // Down to a twentieth: below that something is wrong.
        (None, Some(missed)) => (missed > from / 20).then(|| times(missed, 1.0 / STEP / STEP)),
        (Some(kept), Some(missed)) => {
            let ratio = missed as f64 / kept as f64;
            (ratio > NEAR).then(|| times(kept, ratio.sqrt()))
        }
    }
}

fn keeps(run: &Run, rate: u64, slo: Option<Slo>) -> bool {
    let within = run.samples.iter().filter(|s| (WARM_UP_SECONDS..SECONDS as f64).contains(&s.at));
    let within: Vec<&Sample> = within.collect();
    let (Some(first), Some(last)) = (within.first(), within.last()) else { return false };
    let done = last.file.min(last.redis) - first.file.min(first.redis);
    let follows = done as f64 >= (last.at - first.at) * rate as f64 * (1.0 - TOLERANCE);
    let kept = slo.is_none_or(|slo| {
        run.latency.get(&Stage::Redis).is_some_and(|latency| slo.quantile.of(latency) < slo.millis)
    });
    follows && kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_and_said() {
        for text in ["p99<100ms", "p99.9<5ms", "max<1000ms"] {
            assert_eq!(text.parse::<Slo>().map(|slo| slo.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("p50 < 1s".parse::<Slo>().map(|slo| slo.millis), Ok(1000.0));
        for text in ["", "p99", "p98<1ms", "p99<fast", "p99>1ms"] {
            assert!(text.parse::<Slo>().is_err(), "{text}");
        }
    }

    /// Whatever the true limit, the search ends just below it.
    #[test]
    fn the_search_closes_in() {
        for limit in [60_000_u64, 399_999, 400_000, 1_234_567, 9_000_000] {
            let (mut kept, mut missed) = (None, None);
            let mut runs = 0;
            while let Some(rate) = next(400_000, kept, missed) {
                *(if rate <= limit { &mut kept } else { &mut missed }) = Some(rate);
                runs += 1;
            }
            let kept = kept.expect("a rate");
            assert!(kept <= limit && limit as f64 / kept as f64 <= NEAR, "{kept} for {limit}");
            assert!(runs < 25, "{runs} runs");
        }
        assert_eq!(next(400_000, None, Some(19_000)), None);
    }
}
