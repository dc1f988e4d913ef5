//! What changes of settings do: ratios with their intervals, beside the noise floor.

use crate::report::series::bounds;
use crate::results::{Comparison, Ratio};
use figures::numbers::trimmed;
use figures::plot::row;
use figures::plot::{
    Area, Axis, BLUE, GREY, INK, Mark, PALE_INK, dashes, label, panel, room_for, sheet, text,
};
use plotters::prelude::*;
use plotters::style::FontStyle;
use plotters::style::text_anchor::HPos;

/// Behind what chance alone makes.
const SHADE: RGBColor = RGBColor(226, 226, 226);

/// Height of a row, px.
const ROW: u32 = 52;

/// What stays free beside a panel, px.
const BESIDE: u32 = 16;

/// Draws comparisons, a panel for the medians and one for the 99th percentiles; `floor` is the comparison of
/// a setting with itself.
///
/// # Errors
/// When it can't be drawn.
pub fn forest(
    (title, of): (&str, &str),
    comparisons: &[Comparison],
    floor: Option<&Comparison>,
) -> anyhow::Result<String> {
    let mut legend = vec![(Mark::Dot, BLUE, "median of the pairs' ratios, and its 95 % interval")];
    if floor.is_some() {
        legend.push((Mark::Area, SHADE, "noise floor: the interval of a setting with itself"));
    }
    let height = comparisons.len() as u32 * ROW + 92 + 90;
    sheet(title, of, &legend, height, |area| {
        let names = room_for(comparisons.iter().map(|comparison| comparison.name.as_str()), 13);
        let (left, right) = area.split_horizontally(430 + (names as i32 - 20) / 2);
        let ratio = |comparison: &Comparison| comparison.p50;
        draw(&left, "p50, tuned ÷ baseline", comparisons, floor.map(ratio), ratio, Some(names))?;
        let ratio = |comparison: &Comparison| comparison.p99;
        draw(&right, "p99, tuned ÷ baseline", comparisons, floor.map(ratio), ratio, None)
    })
}

fn draw(
    area: &Area<'_>,
    title: &str,
    comparisons: &[Comparison],
    floor: Option<Ratio>,
    ratio: impl Fn(&Comparison) -> Ratio,
    names: Option<u32>,
) -> anyhow::Result<()> {
    let room = (names.unwrap_or(20), BESIDE);
    let (across, _) = area.dim_in_pixel();
    let ends = comparisons.iter().map(&ratio).flat_map(|Ratio { low, high, .. }| [low, high]);
    let x = Axis::ratios(bounds(ends).unwrap_or((1.0, 1.0)), f64::from(across - room.0 - room.1));
    let rows = comparisons.len() as f64;
    let below = "less than 1 is faster, logarithmic";
    let mut chart = panel(area, title, (x, below), Axis::rows(comparisons.len()), room)?;
    if let Some(Ratio { low, high, .. }) = floor {
        chart.draw_series([Rectangle::new([(low, 0.0), (high, rows)], SHADE.filled())])?;
    }
    chart.draw_series([dashes([(1.0, 0.0), (1.0, rows)], GREY)])?;
    for (index, comparison) in comparisons.iter().enumerate() {
        let (Ratio { median, low, high }, y) = (ratio(comparison), row(index) + 0.12);
        chart.draw_series([PathElement::new([(low, y), (high, y)], BLUE.stroke_width(3))])?;
        for end in [low, high] {
            chart.draw_series([PathElement::new([(end, y - 0.1), (end, y + 0.1)], BLUE.stroke_width(2))])?;
        }
        chart.draw_series([Circle::new((median, y), 6, BLUE.filled())])?;
        let words = text(12, &INK, FontStyle::Bold, HPos::Center);
        let words = Text::new(trimmed((median * 100.0).round() / 100.0), (0, -16), words);
        // No line runs through a number.
        let behind = Rectangle::new([(-15, -24), (15, -9)], WHITE.mix(0.85).filled());
        chart.draw_series([EmptyElement::at((median, y)) + behind + words])?;
        if names.is_some() {
            let start = chart.as_coord_spec().x_spec().start();
            let name = Text::new(comparison.name.clone(), (-10, -6), label(HPos::Right));
            let pairs = text(11, &PALE_INK, FontStyle::Normal, HPos::Right);
            let pairs = Text::new(format!("{} pairs", comparison.pairs.len()), (-10, 10), pairs);
            chart.plotting_area().draw(&(EmptyElement::at((start, y - 0.12)) + name + pairs))?;
        }
    }
    Ok(())
}
