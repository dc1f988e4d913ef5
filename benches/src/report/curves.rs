//! How throughput changes with the size of events, with partitions, with consumers and with their workers.

use super::plot::{self, Line, Side};
use super::series::middle;
use crate::results::{Results, Run, RunName};
use figures::numbers::{figure, rate, short, trimmed};
use figures::page::Page;
use figures::table::Table;

/// A curve: its runs, what they differ in, and how it is told.
struct Kind {
    name: RunName,
    heading: &'static str,
    /// What differs, with its unit.
    setting: &'static str,
    value: fn(&Run) -> f64,
    written: fn(f64) -> String,
    second: Figure,
    file: &'static str,
}

/// A figure beside events a second.
struct Figure {
    title: &'static str,
    of: fn(&Run) -> f64,
}

const CPU: Figure = Figure { title: "CPU, µs an event, all processes", of: cpu };

const KINDS: [Kind; 4] = [
    Kind {
        name: RunName::BySize,
        heading: "By the size of events",
        setting: "bytes an event",
        value: |run| run.setting.event_bytes,
        written: figure,
        second: Figure { title: "MB/s", of: |run| run.events_per_second * run.setting.event_bytes / 1e6 },
        file: "by-size.svg",
    },
    Kind {
        name: RunName::ByPartitions,
        heading: "By partitions",
        setting: "partitions",
        value: |run| f64::from(run.setting.partitions),
        written: trimmed,
        second: CPU,
        file: "by-partitions.svg",
    },
    Kind {
        name: RunName::ByConsumers,
        heading: "By consumers",
        setting: "consumers",
        value: |run| f64::from(run.setting.consumers),
        written: trimmed,
        second: CPU,
        file: "by-consumers.svg",
    },
    Kind {
        name: RunName::ByWorkers,
        heading: "By workers of one consumer",
        setting: "workers",
        value: |run| f64::from(run.setting.workers),
        written: trimmed,
        second: CPU,
        file: "by-workers.svg",
    },
];

/// Whether runs of this name are of a curve.
pub fn shows(name: RunName) -> bool {
    KINDS.iter().any(|kind| kind.name == name)
}

/// Writes a section for each curve that was measured.
///
/// # Errors
/// When a plot can't be drawn.
pub fn write(page: &mut Page, results: &Results) -> anyhow::Result<()> {
    for kind in &KINDS {
        let mut runs: Vec<&Run> = results.runs.iter().filter(|run| run.name == kind.name).collect();
        runs.sort_by(|a, b| (kind.value)(a).total_cmp(&(kind.value)(b)));
        if !runs.is_empty() {
            curve(page, kind, &runs)?;
        }
    }
    Ok(())
}

fn curve(page: &mut Page, kind: &Kind, runs: &[&Run]) -> anyhow::Result<()> {
    page.section(kind.heading);
    let head = [kind.setting, "events/s", "MB/s", "CPU µs an event, all", "events", "seconds"];
    let mut table = Table::new(1, head);
    for run in runs {
        table.row([
            (kind.written)((kind.value)(run)),
            rate(run.events_per_second),
            figure(run.events_per_second * run.setting.event_bytes / 1e6),
            figure(cpu(run)),
            short(run.events as f64),
            figure(run.seconds),
        ]);
    }
    page.table(&table);
    let sides = [
        Side { title: "events/s", label: short, line: line(kind, runs, |run| run.events_per_second) },
        Side { title: kind.second.title, label: short, line: line(kind, runs, kind.second.of) },
    ];
    let of = if kind.name.is_from_backlog() { "from a backlog" } else { "end to end" };
    let svg = plot::curves((kind.heading, of), (kind.setting, kind.written), &sides)?;
    page.plot(kind.file, &format!("Throughput {}, {of}", kind.heading.to_lowercase()), svg);
    Ok(())
}

/// The runs, sorted by what they differ in, as a line.
fn line(kind: &Kind, runs: &[&Run], figure: fn(&Run) -> f64) -> Line {
    let same = |a: &&Run, b: &&Run| (kind.value)(a) == (kind.value)(b);
    let middles = runs.chunk_by(same).filter_map(|runs| middle(runs, figure));
    let point = |run: &Run| ((kind.value)(run), figure(run));
    Line { middles: middles.map(point).collect(), runs: runs.iter().map(|run| point(run)).collect() }
}

/// µs an event of all processes.
fn cpu(run: &Run) -> f64 {
    run.cpu_micros.values().sum()
}
