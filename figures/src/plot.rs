//! What all plots share: a white sheet with title and legend, panels with axes, colours and lettering.
//!
//! A sheet is white on purpose: GitHub shows it in its dark mode, too. Text stays text and is set by the
//! reader's own font; where its width matters it is taken for the widest common one.

mod axis;

pub use axis::{Axis, row};

use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, TextStyle};

/// A part of a sheet.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A panel that can be drawn in, in the units of its axes.
pub type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// Width of every sheet, px.
const WIDTH: u32 = 900;

/// Height of a sheet whose content doesn't ask for another, px.
pub const HEIGHT: u32 = 450;

/// Margin of a sheet, px.
const MARGIN: i32 = 20;

// Colours that the colour-blind can tell apart (Okabe and Ito).
/// What is ours: Sluice, its consumer, its file.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// The producer, and what it knows.
pub const ORANGE: RGBColor = RGBColor(230, 159, 0);
/// Kafka.
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
/// Redis.
pub const RED: RGBColor = RGBColor(213, 94, 0);
/// A fifth.
pub const PINK: RGBColor = RGBColor(204, 121, 167);
/// What is there to compare with.
pub const GREY: RGBColor = RGBColor(153, 153, 153);

/// Titles and labels.
pub const INK: RGBColor = RGBColor(34, 34, 34);
/// What explains them.
pub const PALE_INK: RGBColor = RGBColor(95, 95, 95);
const GRID: RGBColor = RGBColor(228, 228, 228);
const AXIS: RGBColor = RGBColor(140, 140, 140);

/// How an entry of a legend looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A line.
    Line,
    /// A broken line.
    Dashes,
    /// A filled area.
    Area,
    /// A point.
    Dot,
}

/// An entry of a legend.
pub type Entry<'a> = (Mark, RGBColor, &'a str);

/// Draws a sheet: title, what it is of, legend, and below them the content. Gives the SVG text.
///
/// # Errors
/// When the content can't be drawn.
pub fn sheet(
    title: &str,
    of: &str,
    legend: &[Entry<'_>],
    height: u32,
    content: impl FnOnce(&Area<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw_text(title, &text(19, &INK, FontStyle::Bold, HPos::Left), (MARGIN, 28))?;
        area.draw_text(of, &text(13, &PALE_INK, FontStyle::Normal, HPos::Left), (MARGIN, 51))?;
        let mut below = 66;
        if !legend.is_empty() {
            draw_legend(&area, legend)?;
            below = 92;
        }
        content(&area.margin(below, 10, MARGIN, MARGIN))?;
        area.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

fn draw_legend(area: &Area<'_>, legend: &[Entry<'_>]) -> anyhow::Result<()> {
    let (mut x, y) = (MARGIN, 75);
    for &(mark, colour, words) in legend {
        match mark {
            Mark::Line => {
                area.draw(&PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)))?;
            }
            Mark::Dashes => {
                area.draw(&dashes([(x, y), (x + 22, y)], colour))?;
            }
            Mark::Area => {
                area.draw(&Rectangle::new([(x + 4, y - 6), (x + 18, y + 6)], colour.filled()))?;
            }
            Mark::Dot => {
                area.draw(&Circle::new((x + 11, y), 5, colour.filled()))?;
            }
        }
        area.draw_text(words, &label(HPos::Left), (x + 28, y))?;
        x += 28 + width(words, 13) + 20;
    }
    Ok(())
}

/// A panel: its title above, `x` and `y` along its axes, what `x` is below. `room` is the width of the labels
/// on its left and what stays free on its right, px.
///
/// # Errors
/// When it can't be drawn.
pub fn panel<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    (x, below): (Axis, &str),
    y: Axis,
    room: (u32, u32),
) -> anyhow::Result<Chart<'a, 'b>> {
    if !title.is_empty() {
        area.draw_text(title, &text(13, &INK, FontStyle::Bold, HPos::Left), (4, 9))?;
    }
    let across = y.is_of_rows();
    let mut chart = ChartBuilder::on(area)
        .margin_top(if title.is_empty() { 6 } else { 26 })
        .margin_right(room.1)
        .x_label_area_size(if below.is_empty() { 28 } else { 46 })
        .y_label_area_size(room.0)
        .build_cartesian_2d(x, y)?;
    let mut mesh = chart.configure_mesh();
    mesh.max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .x_labels(axis::MOST_TICKS)
        .y_labels(axis::MOST_TICKS)
        .set_all_tick_mark_size(4)
        .label_style(text(12, &INK, FontStyle::Normal, HPos::Left))
        .axis_desc_style(text(12, &PALE_INK, FontStyle::Normal, HPos::Center))
        .x_desc(below);
    // One set of lines is enough to read a value by: those of the numbers.
    if across {
        mesh.disable_y_mesh()
    } else {
        mesh.disable_x_mesh()
    };
    mesh.draw()?;
    Ok(chart)
}

/// Lettering of a size in px.
pub fn text(px: u32, colour: &RGBColor, weight: FontStyle, anchor: HPos) -> TextStyle<'static> {
    // plotters' sizes are those of the whole line: it divides by 1.24 for the one that SVG means.
    FontDesc::new(FontFamily::SansSerif, f64::from(px) * 1.24, weight)
        .color(colour)
        .pos(Pos::new(anchor, VPos::Center))
}

/// Ordinary lettering beside what it names.
pub fn label(anchor: HPos) -> TextStyle<'static> {
    text(13, &INK, FontStyle::Normal, anchor)
}

/// About the width of words at a size, px: at least as wide as in the fonts that browsers have.
pub fn width(words: &str, px: u32) -> i32 {
    (words.chars().count() as f64 * f64::from(px) * 0.56).ceil() as i32
}

/// Room for names on the left of rows, px.
pub fn room_for<'a>(names: impl IntoIterator<Item = &'a str>, px: u32) -> u32 {
    let widest = names.into_iter().map(|name| width(name, px)).max().unwrap_or(0);
    (widest as u32 + 20).clamp(100, WIDTH / 3)
}

/// A broken line.
pub fn dashes<T: Clone, const N: usize>(
    points: [T; N],
    colour: RGBColor,
) -> DashedPathElement<std::array::IntoIter<T, N>, i32> {
    DashedPathElement::new(points, 6, 4, colour.stroke_width(2))
}
