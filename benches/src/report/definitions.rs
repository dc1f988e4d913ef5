//! What each figure means, at the end of the report.

use super::curves;
use super::plot::BOUND_MS;
use crate::results::{Results, RunName};
use figures::numbers::time;
use figures::page::Page;

/// Writes the section: only of figures that the report has.
pub fn write(page: &mut Page, results: &Results) {
    let has = |name| results.runs.iter().any(|run| run.name == name);
    let latency = results.runs.iter().any(|run| !run.latency.is_empty());
    let bound = format!(
        "**Spike**: the time is that around the worst second, from the first second whose p99 to Redis was \
         {} or more to the first one below it.",
        time(BOUND_MS)
    );
    let definitions = [
        (
            !results.runs.is_empty(),
            "**events/s**: unique events, verified and durable in both sinks, divided by the time from the \
             first one due to the last one durable in both; from a backlog, from the consumer's start; with \
             several consumers or workers, from when the group had dealt out the partitions for the last time.",
        ),
        (
            !results.runs.is_empty(),
            "**CPU an event**: user and system time that a process was charged in that time, by event. \
             Several consumers count as one. *Processors busy* is all of it a second.",
        ),
        (
            !results.runs.is_empty(),
            "**Peak memory**: the largest resident memory; of several consumers the largest one's.",
        ),
        (
            has(RunName::EndToEnd),
            "**Throughput over time**: the mean of about a second around each point, of counts taken \
             several times a second. Where the same was run several times, the run in the middle.",
        ),
        (
            latency,
            "**Latency**: from the moment at which an event was due, so that waiting to be sent counts, \
             until it was acknowledged by the broker, at the consumer, visible in Redis, or synced to disk. \
             The first seconds of a run are left out; the last column says how many events are in.",
        ),
        (has(RunName::Spike), &bound),
        (
            results.runs.iter().any(|run| curves::shows(run.name)),
            "**MB/s**: 10⁶ bytes of events a second. A curve goes through the middle one of the runs at \
             each value.",
        ),
        (
            has(RunName::BySize),
            "**By the size of events**: 165 bytes is the smallest on average with what tells it from all others, \
             by which it is verified; larger ones have more text in their message.",
        ),
        (
            !results.runs.is_empty(),
            "**Redis left behind**: so often it held the file up for more than half of the time, and was fed from \
             Kafka again until it had caught up.",
        ),
        (
            !results.max_rates.is_empty(),
            "**Highest rate**: the highest one tried that kept what is said beside it; ✓ kept, ✗ not kept.",
        ),
        (
            !results.consumers.is_empty() || !results.producers.is_empty(),
            "**Side by side**: from the first event done to the last, with each program's own CPU. *Sluice \
             is faster by* and *needs less CPU by* compare with Sluice at the same job, or at its fastest \
             where it did not do that one; below 1 the other is ahead.",
        ),
        (
            !results.limits.is_empty(),
            "**Bare program**: did the same job on the same servers without any guarantee.",
        ),
    ];
    let told: Vec<String> =
        definitions.iter().filter(|(told, _)| *told).map(|(_, words)| format!("- {words}")).collect();
    if !told.is_empty() {
        page.chapter("How each figure is defined");
        page.text(&told.join("\n"));
    }
}
