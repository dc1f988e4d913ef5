//! Events a second over the time of a run, file and Redis.

use crate::report::series::rates;
use crate::results::Run;
use figures::numbers::{short, short_rate, trimmed};
use figures::plot::{Axis, BLUE, GREY, HEIGHT, Mark, RED, dashes, panel, sheet};
use plotters::prelude::*;

/// Draws a run whose samples are in rising order of time; `of` says which.
///
/// # Errors
/// When it can't be drawn.
pub fn throughput(run: &Run, of: &str) -> anyhow::Result<String> {
    let file = rates(&run.samples.iter().map(|sample| (sample.at, sample.file)).collect::<Vec<_>>());
    let redis = rates(&run.samples.iter().map(|sample| (sample.at, sample.redis)).collect::<Vec<_>>());
    let mean = run.events_per_second;
    let points = || file.iter().chain(&redis);
    let highest = points().map(|point| point.1).fold(mean, f64::max);
    let end = run.samples.last().map_or(1.0, |sample| sample.at);

    let mean_words = format!("mean {}", short_rate(mean));
    let legend = [
        (Mark::Line, BLUE, "durable in the file"),
        (Mark::Line, RED, "in Redis"),
        (Mark::Dashes, GREY, mean_words.as_str()),
    ];
    sheet("Throughput over time", of, &legend, HEIGHT, |area| {
        let x = Axis::from_zero(end, 10, trimmed);
        let y = Axis::from_zero(highest * 1.08, 5, short);
        let mut chart = panel(area, "events/s", (x, "seconds after the start"), y, (64, 20))?;
        chart.draw_series([dashes([(0.0, mean), (end, mean)], GREY)])?;
        chart.draw_series([PathElement::new(file, BLUE.stroke_width(2))])?;
        chart.draw_series([PathElement::new(redis, RED.stroke_width(2))])?;
        Ok(())
    })
}
