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
    /// All of it: twenty minutes with the peers.
    Full,
    /// Some minutes, for a look: shorter runs, no curves, no peers.
    Quick,
}

/// Sizes of an event for the curve, as `--event-size` takes them; 0 is as logs are.
const SIZES: [&str; 6] = ["0", "512", "1KiB", "2KiB", "5KiB", "10KiB"];
const PARTITIONS: [u16; 7] = [1, 2, 4, 8, 16, 32, 64];
const SHARERS: [u16; 3] = [1, 2, 4];

/// Makes the runs; the first one only warms the servers up.
///
/// # Errors
/// When one fails.
pub fn runs(bench: &mut Bench, extent: Extent) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let plans = plans(extent);
    bench.progress.more(plans.len() + 1);
    bench.progress.step("warming the servers up");
    bench.run(&Plan::flat_out(RunName::EndToEnd, warm_up(extent)))?;
    for plan in plans {
        bench.progress.step(&plan.to_string());
        let run = bench.run(&plan)?;
        bench.progress.line(&format!("{plan}: {}", print::run(&run)));
        runs.push(run);
    }
    Ok(runs)
}

/// How much is sent before anything counts: until its machine code is compiled, the broker costs twice as much an
/// event, and it takes three quarters of a minute for that.
fn warm_up(extent: Extent) -> &'static str {
    match extent {
        Extent::Full => "--count 40M",
        Extent::Quick => "--count 5M",
    }
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
    let end_to_end = |much| Plan::flat_out(RunName::EndToEnd, much);
    let backlog = |much| Plan::flat_out(RunName::Backlog, much);
    if extent == Extent::Quick {
        let mut plans = vec![
            end_to_end("--duration 10s"),
            backlog("--count 5M"),
            Plan::steady(500_000, "--duration 10s"),
            Plan::steady(10_000, "--duration 10s"),
        ];
        for plan in &mut plans {
            plan.warm_up = plan.warm_up.min(Duration::from_secs(3));
        }
        return plans;
    }
    let mut plans = vec![
        end_to_end("--duration 60s"),
        Plan::steady(1_000_000, "--duration 60s"),
        backlog("--count 20M"),
        backlog("--count 10M").on_partitions(64),
        Plan::steady(10_000, "--duration 30s"),
        Plan::steady(500_000, "--duration 30s"),
        Plan::spike(50_000, 10),
    ];
    plans.extend(
        SIZES.map(|size| Plan::flat_out(RunName::BySize, &format!("--duration 6s --event-size {size}"))),
    );
    plans.extend(PARTITIONS.map(|n| Plan::flat_out(RunName::ByPartitions, "--duration 6s").on_partitions(n)));
    plans.extend(SHARERS.map(|n| Plan::flat_out(RunName::ByConsumers, "--count 15M").with_consumers(n)));
    plans.extend(SHARERS.map(|n| Plan::flat_out(RunName::ByWorkers, "--count 15M").with_workers(n)));
    plans
}
