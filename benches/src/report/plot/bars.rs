//! Programs side by side: events a second as bars, what they cost beside them.

use figures::numbers::short;
use figures::plot::row;
use figures::plot::{Axis, BLUE, GREY, INK, Mark, PALE_INK, panel, room_for, sheet, text};
use plotters::prelude::*;
use plotters::style::FontStyle;
use plotters::style::text_anchor::HPos;

/// A program.
#[derive(Debug)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// What is said beneath it.
    pub job: String,
    /// Events a second.
    pub events_per_second: f64,
    /// What stands beside the bar.
    pub figures: String,
    /// Whether it is Sluice.
    pub ours: bool,
}

/// Height of a bar with what is around it, px.
const ROW: u32 = 48;

/// What stays free for figures, px.
const FIGURES: u32 = 200;

/// Draws bars in their order.
///
/// # Errors
/// When it can't be drawn.
pub fn bars(title: &str, of: &str, bars: &[Bar]) -> anyhow::Result<String> {
    let legend = [(Mark::Area, BLUE, "Sluice"), (Mark::Area, GREY, "others")];
    let highest = bars.iter().map(|bar| bar.events_per_second).fold(0.0, f64::max);
    let height = bars.len() as u32 * ROW + 92 + 70;
    sheet(title, of, &legend, height, |area| {
        let names = room_for(bars.iter().map(|bar| bar.name.as_str()), 13);
        let jobs = room_for(bars.iter().map(|bar| bar.job.as_str()), 11);
        let room = (names.max(jobs), FIGURES);
        let x = Axis::from_zero(highest, 5, short);
        let mut chart = panel(area, "", (x, "events/s"), Axis::rows(bars.len()), room)?;
        for (index, bar) in bars.iter().enumerate() {
            let (y, to) = (row(index), bar.events_per_second);
            let colour = if bar.ours { BLUE } else { GREY };
            chart.draw_series([Rectangle::new([(0.0, y - 0.32), (to, y + 0.32)], colour.filled())])?;
            let weight = if bar.ours { FontStyle::Bold } else { FontStyle::Normal };
            let beside = text(13, &INK, weight, HPos::Left);
            chart
                .draw_series([EmptyElement::at((to, y)) + Text::new(bar.figures.clone(), (8, 0), beside)])?;
            let name = Text::new(bar.name.clone(), (-10, -8), text(13, &INK, weight, HPos::Right));
            let job = text(11, &PALE_INK, FontStyle::Normal, HPos::Right);
            let job = Text::new(bar.job.clone(), (-10, 9), job);
            chart.plotting_area().draw(&(EmptyElement::at((0.0, y)) + name + job))?;
        }
        Ok(())
    })
}
