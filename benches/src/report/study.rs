//! What the tuning study found.

use super::plot;
use super::series::middle;
use crate::results::{Comparison, Ratio, Study};
use common::report::Percentiles;
use common::units::format_grouped;
use figures::numbers::{figure, percent, short_rate};
use figures::page::Page;
use figures::table::{Table, escaped};

/// Which percentile.
type Figure = fn(&Percentiles) -> f64;

/// Writes all of it.
///
/// # Errors
/// When a plot can't be drawn.
pub fn write(page: &mut Page, study: &Study) -> anyhow::Result<()> {
    let offered = short_rate(study.rate as f64);
    page.text(&format!(
        "Every run was offered {} events/s, the same ones (seed {}). Measured is the latency from due to \
         visible in Redis.",
        format_grouped(study.rate),
        study.seed
    ));
    let mut settings = Table::new(2, ["setting", ""]);
    study.settings.iter().for_each(|(name, words)| settings.row([escaped(name), escaped(words)]));
    page.table(&settings);
    if study.comparisons.is_empty() {
        return Ok(());
    }
    let floor = study.comparisons.iter().find(|comparison| comparison.baseline == comparison.tuned);
    page.section("Tuned beside baseline");
    let of = format!("latency from due to visible in Redis at {offered}, tuned ÷ baseline");
    let svg = plot::forest(("What tuning does to the latency", &of), &study.comparisons, floor)?;
    page.plot("study-tuning-ratios.svg", "Ratios of the latencies with their intervals", svg);
    page.table(&ratios(&study.comparisons, floor));
    page.text(
        "A ratio is the median of the pairs' ratios, with its 95 % interval by bootstrap. *Faster* and \
         *slower* stand only where that interval neither holds 1 nor meets the interval of a setting with \
         itself, the noise floor.",
    );
    page.section("Every pair");
    let of = format!("latency from due to visible in Redis at {offered}, logarithmic");
    let svg = plot::pairs(("Every pair of runs", &of), &study.comparisons)?;
    page.plot("study-tuning-pairs.svg", "Latency of every run, baseline beside tuned", svg);
    Ok(())
}

fn ratios(comparisons: &[Comparison], floor: Option<&Comparison>) -> Table {
    let head = ["comparison", "baseline", "tuned", "", "pairs", "baseline, ms", "tuned, ms", "ratio"];
    let mut table = Table::new(4, head.into_iter().chain(["95 % interval", "so it is"]));
    for comparison in comparisons {
        let itself = floor.is_some_and(|floor| std::ptr::eq(floor, comparison));
        let p50 = (comparison.p50, floor.map(|floor| floor.p50));
        let p99 = (comparison.p99, floor.map(|floor| floor.p99));
        let figures: [(_, Figure, _); 2] = [("p50", |run| run.p50, p50), ("p99", |run| run.p99, p99)];
        for (name, latency, (ratio, floor)) in figures {
            let typical = |side: usize| {
                let runs: Vec<f64> = comparison.pairs.iter().map(|pair| latency(&pair[side])).collect();
                middle(&runs, |run| run).map_or_else(String::new, figure)
            };
            table.row([
                escaped(&comparison.name),
                escaped(&comparison.baseline),
                escaped(&comparison.tuned),
                name.to_owned(),
                comparison.pairs.len().to_string(),
                typical(0),
                typical(1),
                figure(ratio.median),
                format!("{} – {}", figure(ratio.low), figure(ratio.high)),
                if itself { "the noise floor".to_owned() } else { verdict(ratio, floor) },
            ]);
        }
    }
    table
}

/// What an interval says beside chance.
fn verdict(Ratio { median, low, high }: Ratio, floor: Option<Ratio>) -> String {
    let (least, most) = floor.map_or((1.0, 1.0), |floor| (floor.low.min(1.0), floor.high.max(1.0)));
    if high < least {
        format!("faster by {}", percent(1.0 - median))
    } else if low > most {
        format!("slower by {}", percent(median - 1.0))
    } else {
        "not told from chance".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_chance_is_said() {
        let ratio = |low, high| Ratio { median: (low + high) / 2.0, low, high };
        let floor = Some(ratio(0.9, 1.05));
        assert_eq!(verdict(ratio(0.5, 0.7), floor), "faster by 40 %");
        assert_eq!(verdict(ratio(1.2, 1.4), floor), "slower by 30 %");
        assert_eq!(verdict(ratio(0.8, 0.95), floor), "not told from chance");
        assert_eq!(verdict(ratio(0.8, 0.95), None), "faster by 12 %");
        assert_eq!(verdict(ratio(0.9, 1.1), None), "not told from chance");
    }
}
