//! One run's figures, for a terminal.

use crate::results::Run;
use common::units::{format_count, format_size};
use std::fmt::Write as _;

/// Some lines.
pub fn run(run: &Run) -> String {
    let mut text = format!(
        "{}/s  {} events in {:.1} s, verified",
        format_count(run.events_per_second),
        format_count(run.events as f64),
        run.seconds
    );
    let mut line = |name: &str, value: String| {
        write!(text, "\n  {name:<8} {value}").expect("a string takes everything");
    };
    let total: f64 = run.cpu_micros.values().sum();
    let parts: Vec<String> =
        run.cpu_micros.iter().map(|(name, micros)| format!("{name} {micros:.3}")).collect();
    let busy = total * run.events_per_second / 1e4;
    line("CPU", format!("{} = {total:.3} µs an event, {busy:.0} % of a core", parts.join(" + ")));
    let peaks: Vec<String> =
        run.memory_peak.iter().map(|(name, bytes)| format!("{name} {}", format_size(*bytes))).collect();
    line("memory", peaks.join("  "));
    for (stage, latency) in &run.latency {
        line(
            stage.name(),
            format!(
                "p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.1} ms  n {}",
                latency.p50, latency.p90, latency.p99, latency.p999, latency.max, latency.n
            ),
        );
    }
    let figures = &run.consumer;
    line(
        "consumer",
        format!(
            "{} events a batch, {} syncs of {:.1} ms, {} to the file, Redis left behind {} times",
            format_count(figures.batch_events),
            figures.syncs,
            figures.sync_ms,
            format_size(figures.file_bytes),
            figures.redis_detached
        ),
    );
    text
}
