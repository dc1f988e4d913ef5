//! Other programs that did the same job beside Sluice.

use super::plot::{self, Bar};
use crate::results::{Contender, Limit, LimitJob, Outcome, Results};
use common::units::{format_grouped, format_size};
use figures::numbers::{figure, rate, short_rate, times};
use figures::page::Page;
use figures::table::{Table, escaped};

/// Writes the sections, each if there was anyone in it.
///
/// # Errors
/// When a plot can't be drawn.
pub fn write(page: &mut Page, results: &Results) -> anyhow::Result<()> {
    if !results.consumers.is_empty() {
        page.section("Consumers side by side");
        page.text("All drained the same backlog.");
        side_by_side(
            page,
            &results.consumers,
            (
                "Consumers side by side",
                "the same backlog; beside the bars: events a second and the program's own CPU an event",
                "consumers.svg",
            ),
        )?;
    }
    if !results.producers.is_empty() {
        page.section("Producers side by side");
        page.text("All filled a topic with the same number of events.");
        side_by_side(
            page,
            &results.producers,
            (
                "Producers side by side",
                "the same events; beside the bars: events a second and the program's own CPU an event",
                "producers.svg",
            ),
        )?;
        let bare = |limit: &&Limit| limit.job == LimitJob::Produce;
        if let Some(limit) = results.limits.iter().find(bare) {
            let bare = rate(limit.events_per_second);
            page.text(&format!("A bare program, without any guarantee, produced {bare} events/s."));
        }
    }
    Ok(())
}

/// A contender that ran.
#[derive(Debug, Clone, Copy)]
struct Ran<'a> {
    contender: &'a Contender,
    version: &'a str,
    events: u64,
    seconds: f64,
    events_per_second: f64,
    cpu_micros: f64,
    memory_peak: u64,
}

impl<'a> Ran<'a> {
    fn new(contender: &'a Contender) -> Option<Self> {
        match &contender.outcome {
            &Outcome::Ran { ref version, events, seconds, events_per_second, cpu_micros, memory_peak } => {
                Some(Self { contender, version, events, seconds, events_per_second, cpu_micros, memory_peak })
            }
            Outcome::Skipped(_) => None,
        }
    }

    fn is_ours(&self) -> bool {
        self.contender.name.to_lowercase().starts_with("sluice")
    }
}

fn side_by_side(
    page: &mut Page,
    contenders: &[Contender],
    (title, of, file): (&str, &str, &str),
) -> anyhow::Result<()> {
    let mut ran: Vec<Ran<'_>> = contenders.iter().filter_map(Ran::new).collect();
    ran.sort_by(|a, b| b.events_per_second.total_cmp(&a.events_per_second));
    if !ran.is_empty() {
        page.table(&table(&ran));
        let bars: Vec<Bar> = ran.iter().map(bar).collect();
        page.plot(file, &format!("{title}: events a second and CPU an event"), plot::bars(title, of, &bars)?);
    }
    let skipped = contenders.iter().filter_map(|contender| match &contender.outcome {
        Outcome::Skipped(why) => Some(format!("- {}: {}", escaped(&contender.name), escaped(why))),
        Outcome::Ran { .. } => None,
    });
    let skipped: Vec<String> = skipped.collect();
    if !skipped.is_empty() {
        page.text(&format!("Not run here:\n\n{}", skipped.join("\n")));
    }
    Ok(())
}

fn table(ran: &[Ran<'_>]) -> Table {
    let head =
        ["", "version", "job", "guarantee", "events/s", "CPU µs an event", "peak memory", "events", "s"];
    let compared = ["Sluice is faster by", "needs less CPU by"];
    let mut table = Table::new(4, head.into_iter().chain(compared));
    for one in ran {
        let Contender { name, job, guarantee, .. } = one.contender;
        let name = escaped(name);
        let sluice = ours(ran, one);
        table.row([
            if one.is_ours() { format!("**{name}**") } else { name },
            escaped(one.version),
            escaped(job),
            escaped(guarantee),
            rate(one.events_per_second),
            figure(one.cpu_micros),
            format_size(one.memory_peak),
            format_grouped(one.events),
            figure(one.seconds),
            sluice.map_or_else(String::new, |ours| times(ours.events_per_second / one.events_per_second)),
            sluice.map_or_else(String::new, |ours| times(one.cpu_micros / ours.cpu_micros)),
        ]);
    }
    table.without_empty_columns()
}

/// What another is compared with: Sluice at the same job, or else at any.
fn ours<'a>(ran: &[Ran<'a>], other: &Ran<'a>) -> Option<Ran<'a>> {
    if other.is_ours() {
        return None;
    }
    let ours = || ran.iter().filter(|one| one.is_ours());
    ours().find(|one| one.contender.job == other.contender.job).or_else(|| ours().next()).copied()
}

fn bar(ran: &Ran<'_>) -> Bar {
    Bar {
        name: ran.contender.name.clone(),
        job: ran.contender.job.clone(),
        events_per_second: ran.events_per_second,
        figures: format!("{} · {} µs CPU", short_rate(ran.events_per_second), figure(ran.cpu_micros)),
        ours: ran.is_ours(),
    }
}
