//! A spike: what got through, and how late it was, over time.

use crate::report::series::{Excursion, bounds, rates};
use crate::results::{Run, Stage};
use figures::numbers::{short, time, trimmed};
use figures::plot::{Area, Axis, BLUE, GREY, Mark, RED, dashes, panel, sheet};
use plotters::prelude::*;

/// A latency to Redis of this much is too high, ms.
pub const BOUND_MS: f64 = 100.0;

/// Behind the time in which the latency was too high.
const SHADE: RGBColor = RGBColor(253, 234, 222);

/// Draws a run, and the time in which its latency was too high.
///
/// # Errors
/// When it can't be drawn.
pub fn spike(run: &Run, of: &str, late: Option<Excursion>) -> anyhow::Result<String> {
    let end = run
        .samples
        .iter()
        .map(|sample| sample.at)
        .chain(run.latency_over_time.iter().map(|second| second.at))
        .fold(1.0, f64::max);
    let late_words = format!("p99 to Redis at {} or more", time(BOUND_MS));
    let mut legend = vec![(Mark::Line, BLUE, "durable in the file"), (Mark::Line, RED, "in Redis")];
    legend.insert(0, (Mark::Line, GREY, "due"));
    if late.is_some() {
        legend.push((Mark::Area, SHADE, &late_words));
    }
    sheet("A spike", of, &legend, 600, |area| {
        let (above, below) = area.split_vertically(240);
        let late = late.map(|late| (late.from, late.until.unwrap_or(end)));
        let x = || Axis::from_zero(end, 12, trimmed);
        through(&above, run, x(), late)?;
        latency(&below, run, x(), late)
    })
}

fn through(area: &Area<'_>, run: &Run, x: Axis, late: Option<(f64, f64)>) -> anyhow::Result<()> {
    let file = rates(&run.samples.iter().map(|sample| (sample.at, sample.file)).collect::<Vec<_>>());
    let redis = rates(&run.samples.iter().map(|sample| (sample.at, sample.redis)).collect::<Vec<_>>());
    let due = rates(&run.samples.iter().map(|sample| (sample.at, sample.due)).collect::<Vec<_>>());
    let highest = file.iter().chain(&redis).chain(&due).map(|point| point.1).fold(0.0, f64::max) * 1.08;
    let mut chart = panel(area, "events/s", (x, ""), Axis::from_zero(highest, 4, short), (64, 20))?;
    if let Some((from, until)) = late {
        chart.draw_series([Rectangle::new([(from, 0.0), (until, highest)], SHADE.filled())])?;
    }
    chart.draw_series([PathElement::new(due, GREY.stroke_width(2))])?;
    chart.draw_series([PathElement::new(file, BLUE.stroke_width(2))])?;
    chart.draw_series([PathElement::new(redis, RED.stroke_width(2))])?;
    Ok(())
}

fn latency(area: &Area<'_>, run: &Run, x: Axis, late: Option<(f64, f64)>) -> anyhow::Result<()> {
    let seconds: Vec<(f64, f64)> = run
        .latency_over_time
        .iter()
        .filter(|second| second.stage == Stage::Redis)
        .map(|second| (second.at, second.p99))
        .collect();
    let Some((low, high)) = bounds(seconds.iter().map(|second| second.1).chain([BOUND_MS])) else {
        return Ok(());
    };
    let end = x.end();
    let title = "p99 from due to visible in Redis, logarithmic";
    let y = Axis::logarithmic((low, high), time);
    let mut chart = panel(area, title, (x, "seconds after the start"), y, (64, 20))?;
    if let Some((from, until)) = late {
        chart.draw_series([Rectangle::new([(from, low / 1.3), (until, high * 1.3)], SHADE.filled())])?;
    }
    chart.draw_series([dashes([(0.0, BOUND_MS), (end, BOUND_MS)], GREY)])?;
    chart.draw_series([PathElement::new(seconds.clone(), RED.stroke_width(2))])?;
    chart.draw_series(seconds.iter().map(|&second| Circle::new(second, 3, RED.filled())))?;
    Ok(())
}
