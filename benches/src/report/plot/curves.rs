//! How figures change with a setting: two panels over the same values.

use figures::plot::{Area, Axis, BLUE, HEIGHT, RED, label, panel, sheet};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// A line through the middle of the runs at each value of the setting.
#[derive(Debug)]
pub struct Line {
    /// `(value, middle of the runs)`, in rising order.
    pub middles: Vec<(f64, f64)>,
    /// `(value, figure of a run)`, every run.
    pub runs: Vec<(f64, f64)>,
}

/// A panel.
#[derive(Debug)]
pub struct Side {
    /// What is measured, with its unit.
    pub title: &'static str,
    /// How a figure is written.
    pub label: fn(f64) -> String,
    /// The figures.
    pub line: Line,
}

/// Draws both panels over a setting with a name and a way to write its values.
///
/// # Errors
/// When it can't be drawn.
pub fn curves(
    (title, of): (&str, &str),
    (setting, value): (&str, fn(f64) -> String),
    sides: &[Side; 2],
) -> anyhow::Result<String> {
    sheet(title, of, &[], HEIGHT, |area| {
        for ((side, part), colour) in sides.iter().zip(area.split_evenly((1, 2))).zip([BLUE, RED]) {
            draw(&part, side, (setting, value), colour)?;
        }
        Ok(())
    })
}

fn draw(
    area: &Area<'_>,
    Side { title, label: written, line }: &Side,
    (setting, value): (&str, fn(f64) -> String),
    colour: RGBColor,
) -> anyhow::Result<()> {
    let values: Vec<f64> = line.middles.iter().map(|point| point.0).collect();
    let highest = line.runs.iter().map(|point| point.1).fold(0.0, f64::max);
    // Room above the highest for its label.
    let y = Axis::from_zero(highest * 1.15, 5, written);
    let mut chart = panel(area, title, (Axis::at(&values, value), setting), y, (62, 24))?;
    chart.draw_series([PathElement::new(line.middles.clone(), colour.stroke_width(2))])?;
    // Where there are several runs at a value, each can be seen.
    chart.draw_series(line.runs.iter().map(|&run| Circle::new(run, 2, colour.filled())))?;
    for (index, &middle) in line.middles.iter().enumerate() {
        let top = line.runs.iter().filter(|run| run.0 == middle.0).map(|run| run.1).fold(0.0, f64::max);
        let words = Text::new(written(middle.1), aside(&line.middles, index, highest), label(HPos::Center));
        chart.draw_series([Circle::new(middle, 5, colour.filled())])?;
        chart.draw_series([EmptyElement::at((middle.0, top)) + words])?;
    }
    Ok(())
}

/// Where a point's label stands, px right and down of it: away from a line that comes from above or leads
/// there.
fn aside(points: &[(f64, f64)], index: usize, highest: f64) -> (i32, i32) {
    let (from, to) = if index == 0 { (0, 1) } else { (index - 1, index) };
    let rise = match (points.get(from), points.get(to)) {
        (Some(from), Some(to)) if (to.1 - from.1).abs() > highest * 0.08 => to.1 - from.1,
        _ => return (0, -15),
    };
    match (rise > 0.0, index) {
        (true, 0) => (18, 14),
        (true, _) => (-18, -15),
        (false, _) => (18, -15),
    }
}
