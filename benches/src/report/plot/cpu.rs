//! CPU an event, by process: a stacked bar for each run.

use figures::numbers::figure;
use figures::plot::row;
use figures::plot::{
    Area, Axis, BLUE, GREEN, GREY, INK, Mark, ORANGE, PINK, RED, label, panel, room_for, sheet, text, width,
};
use plotters::prelude::*;
use plotters::style::FontStyle;
use plotters::style::text_anchor::HPos;
use std::collections::BTreeMap;

/// Processes in their order, as the results name them.
const PROCESSES: [&str; 5] = ["consumer", "producer", "kafka", "redis", "zookeeper"];

/// A bar.
#[derive(Debug)]
pub struct CpuRow<'a> {
    /// Which run.
    pub name: String,
    /// µs an event, by process.
    pub micros: &'a BTreeMap<String, f64>,
}

/// Height of a bar with what is around it, px.
const ROW: u32 = 44;

/// What stays free for totals, px.
const TOTALS: u32 = 80;

/// Draws groups of bars, each group on a scale of its own: events of a slow run cost many times those of a
/// fast one.
///
/// # Errors
/// When it can't be drawn.
pub fn cpu(groups: &[(&str, Vec<CpuRow<'_>>)]) -> anyhow::Result<String> {
    let processes = processes(groups.iter().flat_map(|(_, rows)| rows).map(|row| row.micros));
    let named: Vec<_> = processes.iter().map(|process| (colour(process), display(process))).collect();
    let legend: Vec<_> = named.iter().map(|(colour, name)| (Mark::Area, *colour, name.as_str())).collect();
    let heights: Vec<u32> = groups.iter().map(|(_, rows)| rows.len() as u32 * ROW + 92).collect();
    let height = heights.iter().sum::<u32>() + 100;
    sheet("CPU an event", "µs of all processors, by process", &legend, height, |area| {
        let names = groups.iter().flat_map(|(_, rows)| rows).map(|row| row.name.as_str());
        let room = (room_for(names, 13), TOTALS);
        let mut rest = area.clone();
        for ((title, rows), height) in groups.iter().zip(heights) {
            let (part, below) = rest.split_vertically(height);
            draw(&part, (title, room), rows, &processes)?;
            rest = below;
        }
        Ok(())
    })
}

fn draw(
    area: &Area<'_>,
    (title, room): (&str, (u32, u32)),
    rows: &[CpuRow<'_>],
    processes: &[String],
) -> anyhow::Result<()> {
    let highest = rows.iter().map(|row| row.micros.values().sum::<f64>()).fold(0.0, f64::max);
    let (across, _) = area.dim_in_pixel();
    let pixels = f64::from(across - room.0 - room.1) / highest.max(f64::MIN_POSITIVE);
    let x = Axis::from_zero(highest, 8, figures::numbers::trimmed);
    let mut chart = panel(area, title, (x, "µs an event"), Axis::rows(rows.len()), room)?;
    for (index, CpuRow { name, micros }) in rows.iter().enumerate() {
        let (mut from, y) = (0.0, row(index));
        for process in processes {
            let Some(&used) = micros.get(process) else { continue };
            let (to, words) = (from + used, figure(used));
            let bar = Rectangle::new([(from, y - 0.32), (to, y + 0.32)], colour(process).filled());
            chart.draw_series([bar])?;
            if used * pixels > f64::from(width(&words, 12) + 4) {
                let middle = ((from + to) / 2.0, y);
                chart.draw_series([Text::new(words, middle, on(process))])?;
            }
            from = to;
        }
        let beside = EmptyElement::at((from, y)) + Text::new(figure(from), (6, 0), strong(HPos::Left));
        chart.draw_series([beside])?;
        let name = EmptyElement::at((0.0, y)) + Text::new(name.clone(), (-10, 0), label(HPos::Right));
        chart.plotting_area().draw(&name)?;
    }
    Ok(())
}

/// Those that appear, known ones first.
pub fn processes<'a, V: 'a>(figures: impl Iterator<Item = &'a BTreeMap<String, V>>) -> Vec<String> {
    let mut found: Vec<String> = figures.flat_map(|figures| figures.keys().cloned()).collect();
    let place = |name: &String| PROCESSES.iter().position(|known| known == name).unwrap_or(PROCESSES.len());
    found.sort_by_key(|name| (place(name), name.clone()));
    found.dedup();
    found
}

/// A process as it is written.
pub fn display(process: &str) -> String {
    match process {
        "kafka" => "Kafka".to_owned(),
        "redis" => "Redis".to_owned(),
        "zookeeper" => "ZooKeeper".to_owned(),
        other => other.to_owned(),
    }
}

fn colour(process: &str) -> RGBColor {
    match process {
        "consumer" => BLUE,
        "producer" => ORANGE,
        "kafka" => GREEN,
        "redis" => RED,
        "zookeeper" => GREY,
        _ => PINK,
    }
}

/// Lettering on a bar.
fn on(process: &str) -> TextStyle<'static> {
    let ink = if matches!(process, "producer" | "zookeeper") { INK } else { WHITE };
    text(12, &ink, FontStyle::Normal, HPos::Center)
}

fn strong(anchor: HPos) -> TextStyle<'static> {
    text(13, &INK, FontStyle::Bold, anchor)
}
