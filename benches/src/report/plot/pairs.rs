//! Every pair of runs of a study: the baseline on the left, the tuned one on the right, a line between them.

use crate::report::series::bounds;
use crate::results::Comparison;
use common::report::Percentiles;
use figures::numbers::time;
use figures::plot::{Area, Axis, BLUE, GREY, Mark, panel, sheet};
use plotters::prelude::*;

/// Which percentile.
type Figure = fn(&Percentiles) -> f64;

/// Draws comparisons side by side, medians above and 99th percentiles below.
///
/// # Errors
/// When it can't be drawn.
pub fn pairs((title, of): (&str, &str), comparisons: &[Comparison]) -> anyhow::Result<String> {
    let legend =
        [(Mark::Dot, GREY, "a run of the baseline"), (Mark::Dot, BLUE, "the tuned run of the same pair")];
    sheet(title, of, &legend, 640, |area| {
        let rows = area.split_evenly((2, 1));
        let figures: [(&str, Figure); 2] = [("p50", |run| run.p50), ("p99", |run| run.p99)];
        for (part, (name, figure)) in rows.iter().zip(figures) {
            let all = comparisons.iter().flat_map(|comparison| comparison.pairs.iter().flatten().map(figure));
            let Some(bounds) = bounds(all) else { continue };
            let columns = part.split_evenly((1, comparisons.len()));
            for (column, comparison) in columns.iter().zip(comparisons) {
                let title = format!("{name}, {}", comparison.name);
                draw(column, &title, comparison, figure, bounds)?;
            }
        }
        Ok(())
    })
}

fn draw(
    area: &Area<'_>,
    title: &str,
    comparison: &Comparison,
    figure: Figure,
    bounds: (f64, f64),
) -> anyhow::Result<()> {
    let x = Axis::columns(["baseline", "tuned"]);
    let y = Axis::logarithmic(bounds, time);
    let mut chart = panel(area, title, (x, ""), y, (58, 6))?;
    for [baseline, tuned] in &comparison.pairs {
        let ends = [(0.5, figure(baseline)), (1.5, figure(tuned))];
        chart.draw_series([PathElement::new(ends, GREY.mix(0.6).stroke_width(1))])?;
        for (end, colour) in ends.into_iter().zip([GREY, BLUE]) {
            chart.draw_series([Circle::new(end, 4, colour.filled())])?;
        }
    }
    Ok(())
}
