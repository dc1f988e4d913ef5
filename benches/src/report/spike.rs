//! What a spike does, and how soon it is over.

use super::latency;
use super::plot::{self, BOUND_MS};
use super::runs::{names, setting};
use super::series::excursion;
use crate::results::{Results, Run, RunName, Stage};
use figures::numbers::{figure, short, time};
use figures::page::Page;

/// Writes the section, if there is a spike.
///
/// # Errors
/// When a plot can't be drawn.
pub fn write(page: &mut Page, results: &Results) -> anyhow::Result<()> {
    let runs: Vec<&Run> = results.runs.iter().filter(|run| run.name == RunName::Spike).collect();
    if runs.is_empty() {
        return Ok(());
    }
    page.section("A spike");
    for (index, (name, run)) in names(&runs).into_iter().zip(&runs).enumerate() {
        page.heading(&format!("{name}, {}", setting(run)));
        page.text(&told(run));
        page.table(&latency::table(&run.latency, None));
        if run.samples.len() > 1 {
            let of = format!("{name}, {}", setting(run));
            let file = if index == 0 { "spike.svg".to_owned() } else { format!("spike-{}.svg", index + 1) };
            let svg = plot::spike(run, &of, excursion(&run.latency_over_time, Stage::Redis, BOUND_MS))?;
            page.plot(&file, "Events a second and latency to Redis over time, with a spike", svg);
        }
    }
    Ok(())
}

/// The worst of it, in words.
fn told(run: &Run) -> String {
    let mut told = Vec::new();
    if let Some(latency) = run.latency.get(&Stage::Redis) {
        told.push(format!("The latest event was visible in Redis {} after it was due.", time(latency.max)));
    }
    let measured = run.latency_over_time.iter().any(|second| second.stage == Stage::Redis);
    told.push(match excursion(&run.latency_over_time, Stage::Redis, BOUND_MS) {
        _ if !measured => String::new(),
        None => format!("In no second was the p99 to Redis {} or more.", time(BOUND_MS)),
        Some(late) => {
            let again = late.until.map_or_else(
                || "was not below that again before the run ended".to_owned(),
                |until| format!("was below that again **{} s** later", figure(until - late.from)),
            );
            format!(
                "The p99 to Redis of the worst second was {}. It reached {} {} s after the start and \
                 {again}.",
                time(late.worst),
                time(BOUND_MS),
                figure(late.from),
            )
        }
    });
    let lags = run.samples.iter().map(|sample| sample.due.saturating_sub(sample.file.min(sample.redis)));
    if let Some(lag) = lags.max() {
        told.push(format!("At most {} events were due and not yet in both sinks.", short(lag as f64)));
    }
    told.join(" ")
}
