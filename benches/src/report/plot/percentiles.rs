//! How late events are, by percentile and stage, on a logarithmic scale.

use crate::results::Stage;
use common::report::Percentiles;
use figures::numbers::time;
use figures::plot::{Axis, BLUE, GREEN, HEIGHT, Mark, ORANGE, RED, dashes, panel, sheet};
use plotters::prelude::*;
use std::collections::BTreeMap;

/// Draws latencies by stage and, broken, those of a bare program; `bounds` are the lowest and the highest of
/// all plots that are to be compared, ms.
///
/// # Errors
/// When it can't be drawn.
pub fn percentiles(
    latency: &BTreeMap<Stage, Percentiles>,
    bare: Option<&BTreeMap<Stage, Percentiles>>,
    bounds: (f64, f64),
    (title, of): (&str, &str),
) -> anyhow::Result<String> {
    let mut legend: Vec<_> = latency.keys().map(|&stage| (Mark::Line, colour(stage), words(stage))).collect();
    if bare.is_some_and(|bare| !bare.is_empty()) {
        legend.push((Mark::Dashes, figures::plot::GREY, "bare program"));
    }
    sheet(title, of, &legend, HEIGHT, |area| {
        let x = Axis::columns(["p50", "p90", "p99", "p99.9", "max"]);
        let y = Axis::logarithmic(bounds, time);
        let below = "percentile of the events";
        let mut chart = panel(area, "from due, logarithmic", (x, below), y, (64, 20))?;
        for (&stage, percentiles) in bare.into_iter().flatten() {
            chart.draw_series([dashes(points(percentiles), colour(stage))])?;
        }
        for (&stage, percentiles) in latency {
            let (points, colour) = (points(percentiles), colour(stage));
            chart.draw_series([PathElement::new(points, colour.stroke_width(2))])?;
            chart.draw_series(points.map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        Ok(())
    })
}

fn points(percentiles: &Percentiles) -> [(f64, f64); 5] {
    let Percentiles { p50, p90, p99, p999, max, .. } = *percentiles;
    [(0.5, p50), (1.5, p90), (2.5, p99), (3.5, p999), (4.5, max)]
}

/// A stage in words.
pub fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Acknowledged => "acknowledged by Kafka",
        Stage::Fetched => "at the consumer",
        Stage::Redis => "visible in Redis",
        Stage::Synced => "synced to disk",
    }
}

/// The colour of a stage in every plot.
fn colour(stage: Stage) -> RGBColor {
    match stage {
        Stage::Acknowledged => ORANGE,
        Stage::Fetched => GREEN,
        Stage::Redis => RED,
        Stage::Synced => BLUE,
    }
}
