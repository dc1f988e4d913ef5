//! A long run: rate, lag, latency, CPU, memory and descriptors, one below the other.

use crate::report::series::{Curve, bounds, rates};
use crate::results::{Held, LatencyAt, Soak, Stage, Standing};
use figures::numbers::{short, time, trimmed};
use figures::plot::{Area, Axis, BLUE, GREEN, GREY, Mark, ORANGE, PINK, RED, panel, sheet};
use plotters::prelude::*;

const HEIGHT: u32 = 1_240;

/// Processes and their colours, as in the legend.
const PROCESSES: [(&str, RGBColor); 5] =
    [("consumer", BLUE), ("producer", ORANGE), ("kafka", GREEN), ("redis", RED), ("zookeeper", PINK)];

/// Draws a run.
///
/// # Errors
/// When it can't be drawn.
pub fn soak(soak: &Soak, of: &str) -> anyhow::Result<String> {
    let mut legend: Vec<_> = PROCESSES.iter().map(|&(name, colour)| (Mark::Line, colour, name)).collect();
    legend[0].2 = "consumer, file";
    legend.push((Mark::Line, GREY, "due"));
    sheet("A soak", of, &legend, HEIGHT, |area| {
        let panels = area.split_evenly((6, 1));
        let draw = |panel: usize, title: &str, y: Axis, curves: Vec<(RGBColor, Curve)>| {
            let below = if panel + 1 == panels.len() { "minutes after the start" } else { "" };
            draw(&panels[panel], (title, below), (x(soak), y), curves)
        };
        let counts = |count: fn(&Standing) -> u64| -> Vec<(f64, u64)> {
            soak.samples.iter().map(|sample| (sample.at, count(sample))).collect()
        };
        let through = [
            (GREY, rates(&counts(|sample| sample.due))),
            (BLUE, rates(&counts(|sample| sample.file))),
            (RED, rates(&counts(|sample| sample.redis))),
        ];
        draw(0, "events/s", Axis::from_zero(highest(&through) * 1.08, 4, short), through.into())?;

        let behind = |in_sink: fn(&Standing) -> u64| -> Curve {
            let lag = |sample: &Standing| (sample.at, sample.due.saturating_sub(in_sink(sample)) as f64);
            soak.samples.iter().map(lag).collect()
        };
        let unread = soak.samples.iter().map(|sample| (sample.at, sample.unread as f64)).collect();
        let in_file = behind(|sample| sample.file);
        let lag = [(BLUE, in_file), (RED, behind(|sample| sample.redis)), (GREEN, unread)];
        let title = "events due that are not synced, or not in Redis; of these, in Kafka and not read";
        draw(1, title, Axis::from_zero(highest(&lag) * 1.08, 4, short), lag.into())?;

        let percentile = |stage: Stage, of: fn(&LatencyAt) -> f64| -> Curve {
            let of_stage = soak.latency_over_time.iter().filter(|at| at.stage == stage && at.at >= 0.0);
            of_stage.map(|at| (at.at, of(at))).collect()
        };
        let both = [(BLUE, Stage::Synced), (RED, Stage::Redis)].into_iter();
        let late: Vec<_> = both
            .flat_map(|(colour, stage)| {
                [(colour, percentile(stage, |at| at.p99)), (pale(colour), percentile(stage, |at| at.p50))]
            })
            .collect();
        let heights = late.iter().flat_map(|(_, curve)| curve).map(|point| point.1);
        let y = Axis::logarithmic(bounds(heights).unwrap_or((1.0, 10.0)), time);
        draw(2, "p99, and paler p50, from due to synced, and to visible in Redis, logarithmic", y, late)?;

        let held = |figure: fn(&Held) -> f64| -> Vec<(RGBColor, Curve)> {
            let curve = |name: &str| {
                let at = |sample: &Standing| Some((sample.at, figure(sample.held.get(name)?)));
                soak.samples.iter().filter_map(at).collect()
            };
            PROCESSES.iter().map(|&(name, colour)| (colour, curve(name))).collect()
        };
        let used = held(|held| held.cpu_seconds).into_iter();
        let cpu: Vec<_> = used.map(|(colour, used)| (colour, slopes(&used))).collect();
        draw(3, "CPU, cores", Axis::from_zero(highest(&cpu) * 1.08, 4, trimmed), cpu)?;
        let memory = held(|held| held.memory as f64 / (1 << 20) as f64);
        let y = Axis::from_zero(highest(&memory) * 1.08, 4, trimmed);
        draw(4, "resident memory, MiB", y, memory)?;
        let descriptors = held(|held| held.descriptors as f64);
        let y = Axis::from_zero(highest(&descriptors) * 1.08, 4, trimmed);
        draw(5, "open descriptors", y, descriptors)
    })
}

fn draw(
    area: &Area<'_>,
    (title, below): (&str, &str),
    (x, y): (Axis, Axis),
    curves: Vec<(RGBColor, Curve)>,
) -> anyhow::Result<()> {
    let mut chart = panel(area, title, (x, below), y, (64, 20))?;
    for (colour, curve) in curves {
        let in_minutes = curve.into_iter().map(|(at, value)| (at / 60.0, value)).collect::<Vec<_>>();
        chart.draw_series([PathElement::new(in_minutes, colour.stroke_width(2))])?;
    }
    Ok(())
}

/// Half way to white.
fn pale(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let halved = |part: u8| part / 2 + 127;
    RGBColor(halved(red), halved(green), halved(blue))
}

/// How much a value grows a second, between each point and the next.
fn slopes(curve: &[(f64, f64)]) -> Curve {
    let slope = |pair: &[(f64, f64)]| match *pair {
        [(from, low), (to, high)] if to > from => Some(((from + to) / 2.0, (high - low) / (to - from))),
        _ => None,
    };
    curve.windows(2).filter_map(slope).collect()
}

fn highest(curves: &[(RGBColor, Curve)]) -> f64 {
    curves.iter().flat_map(|(_, curve)| curve).map(|point| point.1).fold(0.0, f64::max)
}

fn x(soak: &Soak) -> Axis {
    Axis::from_zero(soak.samples.last().map_or(1.0, |sample| sample.at / 60.0), 10, trimmed)
}
