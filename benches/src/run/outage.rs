//! Redis goes away while a backlog is drained: what that costs the file, and how fast Redis is caught up.

use super::scene::{PATIENCE, Scene};
use super::{Bench, Plan};
use crate::progress::Progress;
use crate::results::RunName;
use crate::sinks::in_sinks;
use anyhow::{Context, Result, ensure};
use common::units::{format_count, format_grouped};
use harness::wait_until;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A drained backlog.
struct Drained {
    /// Events a second into the file, once a quarter of them was there.
    file_rate: f64,
    /// Events that Redis lacked when it came back, and s until it had them.
    caught_up: Option<(u64, f64)>,
}

/// Drains pairs of backlogs, one with Redis there, and one with Redis killed after a fifth of the events and back when
/// the file has all.
///
/// # Errors
/// As [`Bench::run`].
pub fn pairs(bench: &mut Bench, events: u64, pairs: u16) -> Result<()> {
    let plan = Plan::flat_out(RunName::Backlog, &format!("--count {events}"));
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        let mut rates = [0.0; 2];
        // ABBA: what drifts befalls both alike.
        for outage in [pair % 2 == 1, pair % 2 == 0] {
            bench.progress.step(if outage { "Redis goes away" } else { "Redis is there" });
            let drained = bench.on_topic(&plan, |scene, progress| scene.drain(outage, events, progress))?;
            rates[usize::from(outage)] = drained.file_rate;
            bench.progress.line(&drained.to_string());
        }
        ratios.push(rates[1] / rates[0]);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
    bench.progress.line(&format!(
        "file with Redis away against Redis there: × {:.2} in the median of {pairs} pairs, {:.2} to {:.2}",
        at(ratios.len() / 2),
        at(0),
        at(ratios.len().saturating_sub(1))
    ));
    Ok(())
}

impl std::fmt::Display for Drained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "file {}/s", format_count(self.file_rate))?;
        let Some((events, seconds)) = self.caught_up else { return Ok(()) };
        let rate = format_count(events as f64 / seconds);
        write!(f, "  then Redis caught up with {} events in {seconds:.1} s, {rate}/s", format_grouped(events))
    }
}

impl Scene<'_> {
    fn drain(&self, outage: bool, events: u64, progress: &Progress) -> Result<Drained> {
        progress.tell("filling the topic");
        let mut producer = self.producer()?;
        self.report(&mut producer)?;
        let mut consumers = Vec::new();
        self.start_consumers(&mut consumers)?;
        let metrics = consumers.first().context("no consumer")?.metrics;
        let reached = |part: u64| -> Result<(Instant, u64)> {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let (at, file) = (Instant::now(), in_sinks(metrics).file);
                progress.events(file);
                if file >= part {
                    return Ok((at, file));
                }
                ensure!(at < deadline, "the file does not move any more");
                std::thread::park_timeout(LOOK);
            }
        };
        if outage {
            reached(events / 5)?;
            redis::cmd("SAVE").exec(&mut self.stack.redis()?)?;
            self.stack.kill_redis()?;
        }
        let from = reached(events / 4)?;
        let until = reached(events)?;
        let file_rate = (until.1 - from.1) as f64 / (until.0 - from.0).as_secs_f64();
        let caught_up = if outage {
            self.stack.start_redis(true)?;
            let back = Instant::now();
            let lacked = events - self.counted()?;
            wait_until("Redis to be caught up", PATIENCE, || self.counted().is_ok_and(|n| n == events))?;
            Some((lacked, back.elapsed().as_secs_f64()))
        } else {
            None
        };
        progress.tell("verifying");
        self.verify(&mut consumers)?;
        Ok(Drained { file_rate, caught_up })
    }
}
