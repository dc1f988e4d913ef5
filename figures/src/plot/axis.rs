//! An axis: which values it spans, how, and what stands beside it.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// More ticks than any axis has.
pub const MOST_TICKS: usize = 100;

/// Values along one side of a panel, and the labels of some.
#[derive(Debug, Clone)]
pub struct Axis {
    range: Range<f64>,
    kind: Kind,
    ticks: Vec<(f64, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Logarithmic,
    Rows,
}

impl Axis {
    /// From zero to `highest` and no further, about `ticks` round labels along it.
    pub fn from_zero(highest: f64, ticks: usize, label: impl Fn(f64) -> String) -> Self {
        let highest = if highest > 0.0 { highest } else { 1.0 };
        let step = round_step(highest / ticks.max(1) as f64);
        let ticks = (0..).map(|n| f64::from(n) * step).take_while(|&at| at <= highest * 1.0001);
        let ticks = ticks.map(|at| (at, label(at))).collect();
        Self { range: 0.0..highest, kind: Kind::Linear, ticks }
    }

    /// Logarithmic, from `low` to `high` and a little beyond; labels at the powers of ten, and between them
    /// where few of those are in sight.
    pub fn logarithmic((low, high): (f64, f64), label: impl Fn(f64) -> String) -> Self {
        let range = low / 1.3..high * 1.3;
        let decades = (range.end / range.start).log10();
        let between: &[f64] = match decades {
            d if d < 1.2 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            d if d < 3.5 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let (first, last) = (range.start.log10().floor() as i32, range.end.log10().ceil() as i32);
        let ticks = (first..=last)
            .flat_map(|power| between.iter().map(move |&factor| factor * 10_f64.powi(power)))
            .filter(|at| range.contains(at))
            .map(|at| (at, label(at)))
            .collect();
        Self { range, kind: Kind::Logarithmic, ticks }
    }

    /// Logarithmic, with labels at these values above zero, in rising order.
    pub fn at(values: &[f64], label: impl Fn(f64) -> String) -> Self {
        let low = values.first().copied().unwrap_or(1.0);
        let high = values.last().copied().unwrap_or(low);
        // Some room beside the first and the last one, in proportion.
        let room = if high > low { (high / low).powf(0.1) } else { 1.5 };
        let ticks = values.iter().map(|&at| (at, label(at))).collect();
        Self { range: low / room..high * room, kind: Kind::Logarithmic, ticks }
    }

    /// Ratios around one, on a logarithmic scale, where half and double are equally far. `room` is its
    /// length, px.
    pub fn ratios((low, high): (f64, f64), room: f64) -> Self {
        let range = low.min(0.95) / 1.1..high.max(1.05) * 1.1;
        // The dearest first: each takes its place unless one before it stands there.
        let round = [1.0, 0.5, 2.0, 0.1, 10.0, 0.2, 5.0, 0.7, 1.5, 0.8, 1.25, 0.3, 3.0, 0.9, 1.1, 0.6, 0.4];
        let place = |at: f64| (at / range.start).ln() / (range.end / range.start).ln() * room;
        let mut ticks: Vec<f64> = Vec::new();
        for at in round {
            if range.contains(&at) && ticks.iter().all(|&other| (place(at) - place(other)).abs() > 45.0) {
                ticks.push(at);
            }
        }
        let ticks = ticks.into_iter().map(|at| (at, format!("{at}×"))).collect();
        Self { range, kind: Kind::Logarithmic, ticks }
    }

    /// Rows of a table, the first one on top; they are labelled by whoever draws them. See [`row`].
    pub fn rows(count: usize) -> Self {
        Self { range: 0.0..count.max(1) as f64, kind: Kind::Rows, ticks: Vec::new() }
    }

    /// Columns side by side with labels in their middle, which is at 0.5, 1.5, …
    pub fn columns<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        let ticks: Vec<(f64, String)> = labels
            .into_iter()
            .enumerate()
            .map(|(column, label)| (column as f64 + 0.5, label.to_owned()))
            .collect();
        Self { range: 0.0..ticks.len().max(1) as f64, kind: Kind::Linear, ticks }
    }

    /// The value at its beginning.
    pub fn start(&self) -> f64 {
        self.range.start
    }

    /// The value at its end.
    pub fn end(&self) -> f64 {
        self.range.end
    }

    /// Whether it is one of rows.
    pub fn is_of_rows(&self) -> bool {
        self.kind == Kind::Rows
    }
}

/// Middle of a row on an axis of [`Axis::rows`].
pub fn row(index: usize) -> f64 {
    index as f64 + 0.5
}

/// The nearest 1, 2 or 5 times a power of ten, as it looks on a ruler.
fn round_step(about: f64) -> f64 {
    let power = 10_f64.powf(about.log10().floor());
    match about / power {
        n if n < 1.5 => power,
        n if n < 3.2 => 2.0 * power,
        n if n < 7.1 => 5.0 * power,
        _ => 10.0 * power,
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        let share = match self.kind {
            Kind::Linear => (value - start) / (end - start),
            // Pixels count from the top, values from the bottom; rows from the top again.
            Kind::Rows => 1.0 - (value - start) / (end - start),
            Kind::Logarithmic => (value.max(f64::MIN_POSITIVE) / start).ln() / (end / start).ln(),
        };
        from + (share.clamp(-0.01, 1.01) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|(at, _)| at == value).map_or_else(String::new, |(_, label)| label.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let label = |at: f64| format!("{at}");
        assert_eq!(labels(&Axis::from_zero(1.1, 2, label)), ["0", "0.5", "1"]);
        assert_eq!(labels(&Axis::from_zero(20.5, 10, label)).len(), 11);
        assert_eq!(labels(&Axis::logarithmic((0.9, 4000.0), label)), ["1", "10", "100", "1000"]);
        assert_eq!(labels(&Axis::logarithmic((9.0, 30.0), label)), ["7", "10", "15", "20", "30"]);
        assert_eq!(labels(&Axis::ratios((0.9, 1.0), 100.0)), ["1×"]);
    }

    #[test]
    fn places() {
        let axis = Axis::logarithmic((1.3, 100.0 / 1.3), |_| String::new());
        assert_eq!([1.0, 10.0, 100.0].map(|value| axis.map(&value, (0, 200))), [0, 100, 200]);
        assert_eq!(Axis::rows(2).map(&row(0), (100, 0)), 25, "the first row is on top");
    }
}
