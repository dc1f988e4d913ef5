//! What a run has shown, as a page with a plot.

use crate::run::{Outcome, Shown};
use crate::watch::{SINKS, Sample};
use anyhow::Result;
use common::event::format_timestamp;
use common::units::{format_grouped, format_size};
use figures::numbers::{figure, short, trimmed};
use figures::page::Page;
use figures::plot::{self, Area, Axis, BLUE, GREY, INK, Mark, ORANGE, RED, label, panel, sheet};
use figures::table::{Table, escaped};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::path::Path;

/// Behind the time of a fault, and behind that until all was well again.
const FAULT: RGBColor = RGBColor(250, 214, 196);
const RECOVERY: RGBColor = RGBColor(253, 240, 220);

/// Colours of the sinks, in their order.
const COLOURS: [RGBColor; 4] = [BLUE, RED, plot::GREEN, ORANGE];

/// Where the logarithmic axes begin, events: fewer are on their way at any time.
const LOWEST: f64 = 100.0;

/// And s.
const SHORTEST: f64 = 0.1;

/// A rate is the mean of so long, s.
const WINDOW: f64 = 1.0;

/// Writes `chaos.md` and its plot into a folder that exists.
///
/// # Errors
/// When the plot cannot be drawn or a file not be written.
pub fn write(
    shown: &Shown,
    command: &str,
    started: chrono::DateTime<chrono::Utc>,
    folder: &Path,
) -> Result<()> {
    let mut page = Page::new("Sluice, on a bad night", command);
    let seconds = shown.samples.last().map_or(0.0, |sample| sample.at);
    page.origin(&figures::machine::describe(folder)?, &format_timestamp(started), seconds);
    page.text(&verdict(shown));
    page.plot(
        "chaos.svg",
        "Events a second, and how far each sink is behind, over time with all faults",
        timeline(shown)?,
    );
    page.text(
        "`single`: one `logs.txt`, one consumer that writes and one that stands by, Redis by its Sentinels. `shared`: a \
         file for each partition, two consumers, Redis behind a proxy that is told of fail-overs. *Held*: from the fault \
         to its end, which for servers is until they answer again and are in step. *Well after*: from then until \
         every event of the topic was in both files and in Redis for both. *Stood still*: the longest time in which \
         there was something to do and a file, or what Redis has of a group, did not move; looked at five times a \
         second.",
    );
    page.table(&table(shown));
    page.save(folder, "chaos.md")
}

fn verdict(shown: &Shown) -> String {
    let account = &shown.account;
    let events = format_grouped(account.events);
    let found = match account.wrong.as_slice() {
        [] => format!(
            "**{events} events, 0 lost, 0 doubled**, in order and byte for byte, in the files of both groups; Redis has counted as many for each"
        ),
        wrong => format!(
            "**Of {events} events not all are where they ought to be**: {}",
            escaped(&wrong.join("; "))
        ),
    };
    let skipped: String = account.skipped.iter().filter(|(_, events)| *events > 0).map(|(name, events)| {
        let events = format_grouped(*events);
        format!(" Of these Kafka deleted {events} before `{name}` had read them, just as many as its consumers said.")
    }).collect();
    format!(
        "{found}.{skipped} {} were acknowledged to producers that lived to report it. A consumer never had more than {} in memory.",
        format_grouped(account.acknowledged),
        format_size(shown.memory_peak),
    )
}

fn table(shown: &Shown) -> Table {
    let mut table = Table::new(
        4,
        [
            "",
            "fault",
            "what",
            "befell",
            "held, s",
            "well after, s",
            "a file stood still, s",
            "Redis stood still, s",
            "consumers ended",
        ],
    );
    for (number, outcome) in (1..).zip(&shown.outcomes) {
        let fault = outcome.round.fault;
        table.row([
            number.to_string(),
            format!("`{}`", fault.name()),
            escaped(&fault.what()),
            outcome.befell.clone(),
            figure(outcome.until - outcome.from),
            figure(outcome.well - outcome.until),
            figure(stood_still(&shown.samples, outcome, "file")),
            figure(stood_still(&shown.samples, outcome, "Redis")),
            if outcome.ends.is_empty() { String::new() } else { outcome.ends.len().to_string() },
        ]);
    }
    table
}

/// The longest time from a fault until all was well in which one of the sinks of this kind was behind and did not move.
fn stood_still(samples: &[Sample], outcome: &Outcome, kind: &str) -> f64 {
    let during: Vec<&Sample> =
        samples.iter().filter(|sample| (outcome.from..=outcome.well).contains(&sample.at)).collect();
    let mut longest = 0.0_f64;
    for (sink, _) in SINKS.iter().enumerate().filter(|(_, (_, sink))| *sink == kind) {
        let mut moved = outcome.from;
        for pair in during.windows(2) {
            let [before, after] = [pair[0], pair[1]];
            if after.sinks[sink] > before.sinks[sink] || before.topic <= before.sinks[sink] {
                moved = after.at;
            }
            longest = longest.max(after.at - moved);
        }
    }
    longest
}

fn timeline(shown: &Shown) -> Result<String> {
    let names: Vec<String> = SINKS.iter().map(|(pipeline, sink)| format!("{sink}, {pipeline}")).collect();
    let mut legend = vec![(Mark::Line, GREY, "into the topic")];
    legend.extend(COLOURS.into_iter().zip(&names).map(|(colour, name)| (Mark::Line, colour, name.as_str())));
    legend.extend([(Mark::Area, FAULT, "fault"), (Mark::Area, RECOVERY, "until well")]);
    sheet("A bad night", "numbers are those of the table", &legend, 900, |area| {
        let (above, below) = area.split_vertically(270);
        let (middle, below) = below.split_vertically(265);
        rates(&above, shown)?;
        let title = "events in the topic that a sink does not have yet, logarithmic";
        behind(&middle, shown, (title, ""), LOWEST, lag)?;
        let title = "latency: s for which the oldest of them has been there, logarithmic";
        behind(&below, shown, (title, "seconds after the start"), SHORTEST, latency)
    })
}

fn shade(chart: &mut plot::Chart<'_, '_>, outcomes: &[Outcome], (low, high): (f64, f64)) -> Result<()> {
    for outcome in outcomes {
        for (from, until, colour) in
            [(outcome.from, outcome.until, FAULT), (outcome.until, outcome.well, RECOVERY)]
        {
            chart.draw_series([Rectangle::new([(from, low), (until, high)], colour.filled())])?;
        }
    }
    Ok(())
}

fn rates(area: &Area<'_>, shown: &Shown) -> Result<()> {
    let curves: Vec<(RGBColor, Vec<(f64, f64)>)> = COLOURS
        .into_iter()
        .enumerate()
        .map(|(sink, colour)| (colour, rate(&shown.samples, |sample| sample.sinks[sink])))
        .chain([(GREY, rate(&shown.samples, |sample| sample.topic))])
        .collect();
    let highest =
        curves.iter().flat_map(|(_, curve)| curve).map(|point| point.1).fold(LOWEST, f64::max) * 4.0;
    let title = "events/s, logarithmic";
    let mut chart =
        panel(area, title, (x(shown), ""), Axis::logarithmic((LOWEST, highest), short), (64, 20))?;
    shade(&mut chart, &shown.outcomes, (LOWEST, highest))?;
    for (colour, curve) in curves {
        chart.draw_series([PathElement::new(curve, colour.stroke_width(1))])?;
    }
    // On three heights, since some are over at once.
    let numbers = (1..).zip(&shown.outcomes).map(|(number, outcome)| {
        let height = highest / 1.9_f64.powi(number % 3);
        Text::new(number.to_string(), (outcome.from, height), label(HPos::Left).color(&INK))
    });
    chart.draw_series(numbers)?;
    Ok(())
}

/// How far each sink is behind, by a measure of its own with a lowest value that is shown.
fn behind(
    area: &Area<'_>,
    shown: &Shown,
    (title, below): (&str, &str),
    lowest: f64,
    measure: impl Fn(&[Sample], usize) -> Vec<(f64, f64)>,
) -> Result<()> {
    let curves: Vec<Vec<(f64, f64)>> = (0..SINKS.len()).map(|sink| measure(&shown.samples, sink)).collect();
    let highest = curves.iter().flatten().map(|point| point.1).fold(lowest * 10.0, f64::max);
    let y = Axis::logarithmic((lowest, highest), short);
    let mut chart = panel(area, title, (x(shown), below), y, (64, 20))?;
    shade(&mut chart, &shown.outcomes, (lowest, highest))?;
    for (colour, curve) in COLOURS.into_iter().zip(curves) {
        chart.draw_series([PathElement::new(curve, colour.stroke_width(1))])?;
    }
    Ok(())
}

/// Events in the topic that a sink does not have.
fn lag(samples: &[Sample], sink: usize) -> Vec<(f64, f64)> {
    let lag = |sample: &Sample| (sample.at, sample.topic.saturating_sub(sample.sinks[sink]) as f64);
    samples.iter().map(lag).collect()
}

/// For how long the oldest event that a sink does not have has been in the topic, s.
fn latency(samples: &[Sample], sink: usize) -> Vec<(f64, f64)> {
    let latency = |sample: &Sample| {
        let had = sample.sinks[sink];
        let more = samples.partition_point(|earlier| earlier.topic <= had);
        let since = samples.get(more).map_or(sample.at, |earlier| earlier.at);
        (sample.at, (sample.at - since).max(0.0))
    };
    samples.iter().map(latency).collect()
}

fn x(shown: &Shown) -> Axis {
    Axis::from_zero(shown.samples.last().map_or(1.0, |sample| sample.at), 10, trimmed)
}

/// Events a second of a count, over the last second. A count that is thrown back (Redis is empty) is a rate of zero.
fn rate(samples: &[Sample], count: impl Fn(&Sample) -> u64) -> Vec<(f64, f64)> {
    let mut first = 0;
    let mut rates = Vec::with_capacity(samples.len());
    for sample in samples {
        while sample.at - samples[first].at > WINDOW {
            first += 1;
        }
        let from = &samples[first];
        if sample.at > from.at {
            let grown = count(sample).saturating_sub(count(from)) as f64;
            rates.push((sample.at, grown / (sample.at - from.at)));
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_the_age_of_the_oldest_event_that_is_missing() {
        let sample = |at: f64, topic, sink| Sample { at, topic, sinks: [sink; 4] };
        // It has all; stands still; catches up; is thrown back to its beginning.
        let samples = [sample(1.0, 10, 10), sample(2.0, 20, 10), sample(4.0, 40, 10), sample(5.0, 50, 30)];
        let thrown_back = [&samples[..], &[sample(6.0, 60, 0), sample(7.0, 60, 60)]].concat();
        let seconds: Vec<f64> = latency(&thrown_back, 0).into_iter().map(|(_, seconds)| seconds).collect();
        assert_eq!(seconds, [0.0, 0.0, 2.0, 1.0, 5.0, 0.0]);
    }
}
