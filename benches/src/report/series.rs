//! What the report computes: rates out of counts, the worst time of a run, the middle of several.

use crate::results::{LatencyAt, Stage};

/// Finest step of a curve over time, s; samples are taken several times a second.
const FINEST: f64 = 0.25;

/// Most points of a curve: a plot has no room for more.
const MOST_POINTS: f64 = 400.0;

/// A rate is the mean of about this long, s.
const WINDOW: f64 = 1.0;

/// Points of a curve, as `(s after the start, value)`.
pub type Curve = Vec<(f64, f64)>;

/// Events a second, smoothed over about a second, of counts at moments in rising order. It keeps the total:
/// the rates, each times its step, add up to the last count less the first.
pub fn rates(counts: &[(f64, u64)]) -> Curve {
    let (Some(first), Some(last)) = (counts.first(), counts.last()) else { return Vec::new() };
    let length = last.0 - first.0;
    if length <= 0.0 {
        return Vec::new();
    }
    let cells = (length / FINEST.max(length / MOST_POINTS)).ceil();
    let step = length / cells;
    let mut before = first.1 as f64;
    let mut per_cell = Vec::with_capacity(cells as usize);
    for cell in 1..=cells as usize {
        let reached = count_at(counts, first.0 + cell as f64 * step);
        per_cell.push((reached - before) / step);
        before = reached;
    }
    let smooth = smoothed(&per_cell, (WINDOW / step / 2.0).round() as usize);
    smooth.into_iter().enumerate().map(|(cell, rate)| (first.0 + (cell as f64 + 0.5) * step, rate)).collect()
}

/// Count at a moment, on the straight line between its neighbours.
fn count_at(counts: &[(f64, u64)], at: f64) -> f64 {
    let next = counts.partition_point(|&(moment, _)| moment < at);
    match (counts[..next].last(), counts.get(next)) {
        (Some(&(from, low)), Some(&(to, high))) if to > from => {
            low as f64 + (high as f64 - low as f64) * (at - from) / (to - from)
        }
        (_, Some(&(_, count))) | (Some(&(_, count)), None) => count as f64,
        (None, None) => 0.0,
    }
}

/// Mean of each value and `reach` neighbours on either side. The ends are mirrors: so none of the sum is lost
/// there.
pub fn smoothed(values: &[f64], reach: usize) -> Vec<f64> {
    let (length, reach) = (values.len() as i64, reach as i64);
    let mirrored = |index: i64| {
        let index = index.rem_euclid(2 * length);
        values[if index < length { index } else { 2 * length - 1 - index } as usize]
    };
    (0..length)
        .map(|middle| (middle - reach..=middle + reach).map(mirrored).sum::<f64>() / (2 * reach + 1) as f64)
        .collect()
}

/// A time during which a latency was too high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Excursion {
    /// Highest 99th percentile of a second, ms.
    pub worst: f64,
    /// First second at or above the bound, s after the start.
    pub from: f64,
    /// First second below it again; none when the run ended before.
    pub until: Option<f64>,
}

/// The time around the highest 99th percentile of a stage, if that was ever `bound` ms or more.
pub fn excursion(latency: &[LatencyAt], stage: Stage, bound: f64) -> Option<Excursion> {
    let mut seconds: Vec<&LatencyAt> = latency.iter().filter(|at| at.stage == stage).collect();
    seconds.sort_by(|a, b| a.at.total_cmp(&b.at));
    let worst = (0..seconds.len()).max_by(|&a, &b| seconds[a].p99.total_cmp(&seconds[b].p99))?;
    if seconds[worst].p99 < bound {
        return None;
    }
    let below = |at: &&&LatencyAt| at.p99 < bound;
    let began = seconds[..worst].iter().rposition(|at| below(&at)).map_or(0, |last| last + 1);
    let ended = seconds[worst..].iter().find(below);
    Some(Excursion {
        worst: seconds[worst].p99,
        from: seconds[began].at,
        until: ended.map(|second| second.at),
    })
}

/// The one in the middle by a figure; of an even number the lower one of the two. None of none.
pub fn middle<T: Copy>(items: &[T], figure: impl Fn(T) -> f64) -> Option<T> {
    let mut sorted = items.to_vec();
    sorted.sort_by(|&a, &b| figure(a).total_cmp(&figure(b)));
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// Lowest and highest of some figures that are above zero; none of none.
pub fn bounds(figures: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    figures.into_iter().filter(|figure| figure.is_finite() && *figure > 0.0).fold(None, |bounds, figure| {
        match bounds {
            Some((low, high)) => Some((figure.min(low), figure.max(high))),
            None => Some((figure, figure)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_the_total() {
        for reach in [0, 1, 2, 7, 40] {
            let values: Vec<f64> = (0..23).map(|i| f64::from(i * 7919 % 101)).collect();
            let smooth = smoothed(&values, reach);
            let (total, kept): (f64, f64) = (values.iter().sum(), smooth.iter().sum());
            assert!((total - kept).abs() < 1e-6, "{reach}: {total} {kept}");
        }
    }

    #[test]
    fn rates_keep_the_total_and_know_a_steady_one() {
        let counts: Vec<(f64, u64)> =
            (0..200_u32).map(|i| (f64::from(i) * 0.05 + 1.0, u64::from(i * i % 977 + i * 5000))).collect();
        let counts: Vec<(f64, u64)> = counts.into_iter().filter(|c| c.0 < 3.0 || c.0 > 3.4).collect();
        let curve = rates(&counts);
        let step = curve[1].0 - curve[0].0;
        let total: f64 = curve.iter().map(|(_, rate)| rate * step).sum();
        let all = (counts[counts.len() - 1].1 - counts[0].1) as f64;
        assert!((total / all - 1.0).abs() < 1e-9, "{total} {all}");

        let steady: Vec<(f64, u64)> = (0..100).map(|i| (f64::from(i) * 0.1, i as u64 * 1000)).collect();
        assert!(rates(&steady).iter().all(|(_, rate)| (rate - 10_000.0).abs() < 1e-6));
        assert!(rates(&steady[..1]).is_empty());
    }

    fn latency(p99: &[f64]) -> Vec<LatencyAt> {
        let second = |(at, &p99)| LatencyAt { at: at as f64, stage: Stage::Redis, p50: p99 / 2.0, p99 };
        p99.iter().enumerate().map(second).collect()
    }

    #[test]
    fn how_long_it_was_too_high() {
        let quiet = latency(&[9.0, 12.0, 99.9]);
        assert_eq!(excursion(&quiet, Stage::Redis, 100.0), None);

        // The slow first second is another time than the one around the worst.
        let spike = latency(&[150.0, 9.0, 100.0, 900.0, 300.0, 20.0, 130.0]);
        let found = excursion(&spike, Stage::Redis, 100.0).unwrap();
        assert_eq!(found, Excursion { worst: 900.0, from: 2.0, until: Some(5.0) });
        assert_eq!(excursion(&spike, Stage::Synced, 100.0), None);

        let endless = excursion(&latency(&[9.0, 500.0, 700.0]), Stage::Redis, 100.0).unwrap();
        assert_eq!((endless.from, endless.until), (1.0, None));
    }

    #[test]
    fn the_middle_one() {
        assert_eq!(middle(&[3.0, 1.0, 2.0], |x| x), Some(2.0));
        assert_eq!(middle(&[4.0, 1.0, 2.0, 3.0], |x| x), Some(2.0));
        assert_eq!(middle(&[], |x: f64| x), None);
        assert_eq!(bounds([0.0, 3.0, 1.0]), Some((1.0, 3.0)));
    }
}
