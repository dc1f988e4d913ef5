//! Everything that one report shows, run after run on the same servers.

use crate::max_rate::{self, Slo};
use crate::print;
use crate::results::{MaxRate, Run, RunName};
use crate::run::{Bench, Plan};
use anyhow::Result;
use std::time::Duration;

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Half an hour and more.
    Full,
    /// Some minutes, for a look: shorter runs, no curves, no peers.
    Quick,
}

/// Sizes of an event for the curve, as `--event-size` takes them; 0 is as logs are.
const SIZES: [&str; 6] = ["0", "512", "1KiB", "2KiB", "5KiB", "10KiB"];
const PARTITIONS: [u16; 7] = [1, 2, 4, 8, 16, 32, 64];
const CONSUMERS: [u16; 3] = [1, 2, 4];

/// Makes the runs; the first one only warms the servers up.
///
/// # Errors
/// When one fails.
pub fn runs(bench: &mut Bench, extent: Extent) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let plans = plans(extent);
    bench.progress.more(plans.len() + 1);
    bench.progress.step("warming the servers up");
    bench.run(&Plan::new(RunName::EndToEnd, "--rate max --count 5M"))?;
    for plan in plans {
        bench.progress.step(&plan.to_string());
        let run = bench.run(&plan)?;
        bench.progress.line(&format!("{plan}: {}", print::run(&run)));
        runs.push(run);
    }
    Ok(runs)
}

/// Searches for the highest rates.
///
/// # Errors
/// When a run fails.
pub fn max_rates(bench: &mut Bench, from: u64) -> Result<Vec<MaxRate>> {
    let slo: Slo = "p99<100ms".parse().expect("an objective");
    [None, Some(slo)].into_iter().map(|slo| max_rate::search(bench, from, slo)).collect()
}

fn plans(extent: Extent) -> Vec<Plan> {
    let end_to_end = |much: &str| Plan::new(RunName::EndToEnd, &format!("--rate max {much}"));
    let backlog = |much: &str| Plan::new(RunName::Backlog, &format!("--rate max {much}"));
    let steady = |rate: u64, seconds: u64| {
        Plan::new(RunName::Steady, &format!("--rate {rate} --duration {seconds}s")).at_rate(rate)
    };
    if extent == Extent::Quick {
        let mut plans = vec![
            end_to_end("--duration 10s"),
            backlog("--count 5M"),
            steady(500_000, 10),
            steady(10_000, 10),
        ];
        for plan in &mut plans {
            plan.warm_up = plan.warm_up.min(Duration::from_secs(3));
        }
        return plans;
    }
    let mut plans = vec![
        end_to_end("--duration 60s"),
        backlog("--count 20M"),
        backlog("--count 10M").on_partitions(64),
        steady(10_000, 30),
        steady(500_000, 30),
        Plan::spike(50_000, 10),
    ];
    let by = |name, much: &str| Plan::new(name, &format!("--rate max {much}"));
    plans.extend(SIZES.map(|size| by(RunName::BySize, &format!("--duration 6s --event-size {size}"))));
    plans.extend(PARTITIONS.map(|n| by(RunName::ByPartitions, "--duration 6s").on_partitions(n)));
    plans.extend(CONSUMERS.map(|n| by(RunName::ByConsumers, "--count 10M").with_consumers(n)));
    plans
}
