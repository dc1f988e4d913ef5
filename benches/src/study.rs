//! What partitions and batching do to the latency: pairs of runs at one rate, one seed, back to back.
//!
//! Machines drift: so settings A and B are run as A B B A …, each neighbouring pair gives one ratio, and the
//! median of the ratios stands with an interval by bootstrap. Pairs of A with itself show what the noise alone does.

use crate::results::{Comparison, Ratio, RunName, Stage, Study};
use crate::run::{Bench, Plan};
use anyhow::{Context, Result};
use common::event::format_timestamp;
use common::report::Percentiles;
use common::units::format_count;
use figures::machine;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Fewest pairs that a sceptic accepts.
pub const FEWEST_PAIRS: u16 = 10;

/// How long a run lasts, and what of it is left out at its start.
const SECONDS: u64 = 8;
const WARM_UP: Duration = Duration::from_secs(3);

const RESAMPLES: usize = 10_000;

/// One way of running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    name: &'static str,
    partitions: u16,
    batching: bool,
}

const BASELINE: Setting = Setting { name: "baseline", partitions: 1, batching: false };
const PARTITIONS: Setting = Setting { name: "partitions", partitions: 4, batching: false };
const BATCHING: Setting = Setting { name: "batching", partitions: 1, batching: true };
const TUNED: Setting = Setting { name: "tuned", partitions: 4, batching: true };

/// An event at a time, as tutorials write it: the producer's client as it comes, which waits for 5 ms whatever there is
/// to send, and each event a write and a transaction of the consumer's.
const UNBATCHED_PRODUCER: &str = "--kafka linger.ms=5";
const UNBATCHED_CONSUMER: &str = "--batch-events 1";

const COMPARISONS: [(&str, Setting, Setting); 4] = [
    ("A/A", BASELINE, BASELINE),
    ("partitions alone", BASELINE, PARTITIONS),
    ("batching alone", BASELINE, BATCHING),
    ("both", BASELINE, TUNED),
];

/// Makes all pairs.
///
/// # Errors
/// When a run fails, or a setting does not keep up with the rate: then a latency would say nothing.
pub fn run(bench: &mut Bench, rate: u64, seed: u64, pairs: u16, command: String) -> Result<Study> {
    let (started, clock) = (chrono::Utc::now(), Instant::now());
    let machine = machine::describe(bench.stack.folder())?;
    let mut comparisons = Vec::new();
    bench.progress.more(COMPARISONS.len() * usize::from(pairs) + 1);
    bench.progress.step("warming the servers up");
    // At the study's own rate a broker would take minutes to have compiled what it runs.
    bench.run(&Plan::flat_out(RunName::EndToEnd, "--count 20M"))?;
    for setting in [BASELINE, TUNED] {
        latency(bench, setting, rate, seed)?;
    }
    for (name, baseline, tuned) in COMPARISONS {
        let mut latencies = Vec::new();
        for number in 1..=pairs {
            bench.progress.step(&format!("{name}, pair {number} at {}/s", format_count(rate as f64)));
            // A B, then B A.
            let flipped = number % 2 == 0;
            let (first, second) = if flipped { (tuned, baseline) } else { (baseline, tuned) };
            let (first, second) = (latency(bench, first, rate, seed)?, latency(bench, second, rate, seed)?);
            latencies.push(if flipped { [second, first] } else { [first, second] });
        }
        comparisons.push(Comparison {
            name: name.to_owned(),
            baseline: baseline.name.to_owned(),
            tuned: tuned.name.to_owned(),
            p50: ratio(latencies.iter().map(|[a, b]| b.p50 / a.p50).collect()),
            p99: ratio(latencies.iter().map(|[a, b]| b.p99 / a.p99).collect()),
            pairs: latencies,
        });
    }
    let settings = [BASELINE, PARTITIONS, BATCHING, TUNED];
    Ok(Study {
        machine,
        command,
        started: format_timestamp(started),
        seconds: clock.elapsed().as_secs_f64(),
        rate,
        seed,
        settings: settings
            .iter()
            .map(|setting| (setting.name.to_owned(), setting.in_words()))
            .collect::<BTreeMap<_, _>>(),
        comparisons,
    })
}

impl Setting {
    fn in_words(self) -> String {
        let partitions = match self.partitions {
            1 => "1 partition".to_owned(),
            more => format!("{more} partitions"),
        };
        if self.batching {
            format!("{partitions}, everything else as shipped")
        } else {
            format!(
                "{partitions}, an event at a time: producer {UNBATCHED_PRODUCER}, consumer {UNBATCHED_CONSUMER}"
            )
        }
    }
}

fn latency(bench: &mut Bench, setting: Setting, rate: u64, seed: u64) -> Result<Percentiles> {
    let much = format!("--duration {SECONDS}s --seed {seed}");
    let mut plan = Plan::steady(rate, &much).on_partitions(setting.partitions);
    plan.warm_up = WARM_UP;
    if !setting.batching {
        plan = plan.with_producer_flags(UNBATCHED_PRODUCER).with_consumer_flags(UNBATCHED_CONSUMER);
    }
    let run = bench.run(&plan)?;
    // What is still under way at the end was due at the most a second ago.
    let late = run.seconds - SECONDS as f64;
    anyhow::ensure!(
        late < 1.0,
        "{} does not keep up with {rate} events a second ({late:.1} s late): choose a lower --rate",
        setting.name
    );
    run.latency.get(&Stage::Redis).copied().context("no latency to Redis was measured")
}

/// Median of the ratios with its 95 % interval.
fn ratio(mut ratios: Vec<f64>) -> Ratio {
    // The same data, the same interval.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut sample: Vec<f64> =
                (0..ratios.len()).map(|_| ratios[rng.random_range(0..ratios.len())]).collect();
            median(&mut sample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |quantile: f64| medians[((medians.len() - 1) as f64 * quantile) as usize];
    Ratio { median: median(&mut ratios), low: at(0.025), high: at(0.975) }
}

/// # Panics
/// Without values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn an_interval_holds_its_median_and_narrows_with_the_spread() {
        let wide = ratio((0..20).map(|i| 0.5 + f64::from(i) / 20.0).collect());
        let narrow = ratio((0..20).map(|i| 0.9 + f64::from(i) / 200.0).collect());
        for Ratio { median, low, high } in [wide, narrow] {
            assert!(low <= median && median <= high);
        }
        assert!(narrow.high - narrow.low < (wide.high - wide.low) / 5.0);
        let one = ratio(vec![0.6; 10]);
        assert_eq!((one.median, one.low, one.high), (0.6, 0.6, 0.6));
    }
}
