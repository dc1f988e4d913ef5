//! How late events are at a steady rate, and the highest rates that were kept.

use super::plot;
use super::runs::{names, setting};
use super::series::bounds;
use crate::results::{Limit, LimitJob, MaxRate, Results, Run, RunName, Stage};
use common::report::Percentiles;
use common::units::format_grouped;
use figures::numbers::{figure, short};
use figures::page::Page;
use figures::table::{Table, escaped};
use std::collections::BTreeMap;

type Latency = BTreeMap<Stage, Percentiles>;

/// Writes the sections, each if there is something in it.
///
/// # Errors
/// When a plot can't be drawn.
pub fn write(page: &mut Page, results: &Results) -> anyhow::Result<()> {
    let measured = |run: &&Run| run.name == RunName::Steady && !run.latency.is_empty();
    let steady: Vec<&Run> = results.runs.iter().filter(measured).collect();
    if !steady.is_empty() {
        page.section("Latency");
        page.text("ms from the moment an event was due.");
    }
    let bare = |run: &Run| bare(run, &results.limits);
    let latencies = steady.iter().flat_map(|run| [Some(&run.latency), bare(run)]).flatten();
    let figures = latencies.flat_map(BTreeMap::values).flat_map(|p| [p.p50, p.p90, p.p99, p.p999, p.max]);
    // One scale for all of them: so the plots can be compared.
    let bounds = bounds(figures).unwrap_or((1.0, 1.0));
    for (name, run) in names(&steady).into_iter().zip(&steady) {
        page.heading(&name);
        page.table(&table(&run.latency, bare(run)));
        let of = format!("{name}, {}", setting(run));
        let svg = plot::percentiles(&run.latency, bare(run), bounds, ("Latency by percentile", &of))?;
        page.plot(&file_name(&name), &format!("Latency by percentile, {name}"), svg);
    }
    max_rates(page, &results.max_rates);
    Ok(())
}

/// A row for each stage; below it the bare program's.
pub fn table(latency: &Latency, bare: Option<&Latency>) -> Table {
    let mut table = Table::new(1, ["", "p50", "p90", "p99", "p99.9", "max", "events measured"]);
    for (&stage, percentiles) in latency {
        let words = plot::words(stage);
        table.row(row(words.to_owned(), percentiles));
        if let Some(percentiles) = bare.and_then(|bare| bare.get(&stage)) {
            table.row(row(format!("*{words}, bare program*"), percentiles));
        }
    }
    table
}

fn row(name: String, p: &Percentiles) -> Vec<String> {
    let figures = [p.p50, p.p90, p.p99, p.p999, p.max].map(figure);
    [name].into_iter().chain(figures).chain([format_grouped(p.n)]).collect()
}

/// A bare program's latency at the same rate, which it may have missed by a hundredth.
fn bare<'a>(run: &Run, limits: &'a [Limit]) -> Option<&'a Latency> {
    let offered = run.setting.rate? as f64;
    let same = |limit: &&Limit| {
        limit.job == LimitJob::Steady && (limit.events_per_second / offered - 1.0).abs() < 0.01
    };
    limits.iter().find(same).map(|limit| &limit.latency)
}

/// `latency-10k.svg`
fn file_name(run: &str) -> String {
    let kept = run.trim_start_matches("steady").replace("/s", "");
    let words = kept.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').filter(|word| !word.is_empty());
    let mut name = "latency".to_owned();
    for word in words {
        // A number and its unit are one word.
        let joined = matches!(word, "k" | "M" | "G");
        name += if joined { "" } else { "-" };
        name += word;
    }
    name + ".svg"
}

fn max_rates(page: &mut Page, rates: &[MaxRate]) {
    if rates.is_empty() {
        return;
    }
    page.section("Highest rates");
    let mut table = Table::new(1, ["what was kept", "highest rate, events/s", "tried, events/s"]);
    for MaxRate { slo, rate, tried } in rates {
        let tried: Vec<String> = tried
            .iter()
            .map(|(rate, kept)| format!("{} {}", short(*rate as f64), if *kept { "✓" } else { "✗" }))
            .collect();
        table.row([
            escaped(slo),
            rate.map_or_else(|| "none of those tried".to_owned(), format_grouped),
            tried.join(", "),
        ]);
    }
    page.table(&table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        assert_eq!(file_name("steady, 10 k/s"), "latency-10k.svg");
        assert_eq!(file_name("steady, 1.25 M/s, run 2"), "latency-1.25M-run-2.svg");
        assert_eq!(file_name("steady"), "latency.svg");
    }
}
