//! What a long run showed, and whether anything grew.

use super::plot;
use super::series::middle;
use crate::results::{Soak, Standing};
use common::units::{format_grouped, format_size};
use figures::numbers::{duration, short_rate};
use figures::page::Page;
use figures::table::Table;

/// A figure of a run early on and at its end.
#[derive(Debug, Clone)]
pub struct Grown {
    /// Which.
    pub what: String,
    /// Median of the second fifth of the run.
    pub early: f64,
    /// Median of the last fifth.
    pub late: f64,
    /// May be so much more.
    allowed: f64,
    shown: fn(f64) -> String,
}

impl Grown {
    /// Whether it did not grow beyond what is allowed.
    pub fn is_flat(&self) -> bool {
        self.late - self.early <= self.allowed
    }
}

impl std::fmt::Display for Grown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Grown { what, early, late, shown, .. } = self;
        let word = if self.is_flat() { "flat" } else { "NOT FLAT" };
        write!(f, "{word:<9} {what}: {}, then {}", shown(*early), shown(*late))
    }
}

/// Memory may move by so many bytes, which is what an allocator keeps or gives back, or a twentieth.
const MEMORY: f64 = (16 << 20) as f64;
/// Connections come and go by so many descriptors.
const DESCRIPTORS: f64 = 4.0;
/// Lag may move by so many seconds' worth of events.
const LAG: f64 = 0.1;

/// Programs whose memory and descriptors must not grow; of the broker, the JVM decides.
const PROGRAMS: [&str; 3] = ["consumer", "producer", "redis"];

/// Compares the last fifth of a run with the second one; the first is for warming up.
pub fn grown(soak: &Soak) -> Vec<Grown> {
    let compare = |what: String, figure: &dyn Fn(&Standing) -> f64, allowed: f64, shown| {
        let fifth = soak.samples.len() / 5;
        let median = |samples: &[Standing]| {
            let figures: Vec<f64> = samples.iter().map(figure).collect();
            middle(&figures, |figure| figure).unwrap_or(0.0)
        };
        let early = median(soak.samples.get(fifth..2 * fifth).unwrap_or_default());
        let late = median(soak.samples.get(4 * fifth..5 * fifth).unwrap_or_default());
        Grown { what, early, late, allowed: allowed.max(early / 20.0), shown }
    };
    let size: fn(f64) -> String = |bytes| format_size(bytes as u64);
    let count: fn(f64) -> String = |count| format_grouped(count as u64);
    let lag = LAG * soak.rate as f64;
    let behind = |in_sink: fn(&Standing) -> u64| {
        move |sample: &Standing| sample.due.saturating_sub(in_sink(sample)) as f64
    };
    let mut grown = vec![
        compare("events due that are not synced".to_owned(), &behind(|sample| sample.file), lag, count),
        compare("events due that are not in Redis".to_owned(), &behind(|sample| sample.redis), lag, count),
    ];
    for program in PROGRAMS {
        let held = |sample: &Standing| sample.held.get(program).copied().unwrap_or_default();
        let memory = |sample: &Standing| held(sample).memory as f64;
        grown.push(compare(format!("memory, {program}"), &memory, MEMORY, size));
        let descriptors = |sample: &Standing| held(sample).descriptors as f64;
        grown.push(compare(format!("descriptors, {program}"), &descriptors, DESCRIPTORS, count));
    }
    grown
}

/// Writes all of it.
///
/// # Errors
/// When the plot can't be drawn.
pub fn write(page: &mut Page, soak: &Soak) -> anyhow::Result<()> {
    let lasting = soak.samples.last().map_or(0.0, |sample| sample.at);
    page.text(&format!(
        "{} events/s were offered for {}: **{} events**, {}, each one verified to be in the files once and in \
         its partition's order, and as many counted in Redis. Kafka, ZooKeeper, Redis, producer, consumer and \
         the audit shared the machine.",
        format_grouped(soak.rate),
        duration(lasting),
        format_grouped(soak.events),
        format_size(soak.bytes)
    ));
    let mut table = Table::new(1, ["", "early", "at the end", "so it is"]);
    for grown in grown(soak) {
        let verdict = if grown.is_flat() { "flat" } else { "**not flat**" };
        let (early, late) = ((grown.shown)(grown.early), (grown.shown)(grown.late));
        table.row([grown.what, early, late, verdict.to_owned()]);
    }
    page.table(&table);
    page.text(
        "*Early* is the median of the second fifth of the run, *at the end* that of the last fifth. Flat is \
         what grew by no more than a twentieth or, if that is more, 16 MiB of memory, 4 descriptors, or the \
         events of 0.1 s.",
    );
    let of = format!("{} for {}", short_rate(soak.rate as f64), duration(lasting));
    page.plot("soak.svg", "Rate, lag, latency, memory and descriptors over time", plot::soak(soak, &of)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Held;
    use figures::machine::Machine;
    use std::collections::BTreeMap;

    /// A run in which the consumer's memory and descriptors, and the lag of Redis, are these.
    fn soak(memory: impl Fn(u64) -> u64, descriptors: impl Fn(u64) -> u64, lag: impl Fn(u64) -> u64) -> Soak {
        let sample = |n: u64| {
            let held = Held { memory: memory(n), descriptors: descriptors(n) };
            let due = n * 1_000;
            let held = BTreeMap::from([("consumer".to_owned(), held)]);
            Standing { at: n as f64, due, file: due, redis: due - lag(n).min(due), held }
        };
        Soak {
            machine: Machine::default(),
            command: String::new(),
            started: String::new(),
            seconds: 100.0,
            rate: 1_000,
            events: 100_000,
            bytes: 1,
            samples: (0..100).map(sample).collect(),
            latency_over_time: Vec::new(),
        }
    }

    fn growing(soak: &Soak) -> Vec<String> {
        grown(soak).into_iter().filter(|grown| !grown.is_flat()).map(|grown| grown.what).collect()
    }

    #[test]
    fn what_grows_is_seen() {
        let steady = |_| 100 << 20;
        assert!(growing(&soak(steady, |n| 20 + n % 3, |n| n % 50)).is_empty());
        let leak = |n| (100 << 20) + n * (500 << 10);
        assert_eq!(growing(&soak(leak, |_| 20, |_| 0)), ["memory, consumer"]);
        let step = |n| if n < 70 { 20 } else { 26 };
        assert_eq!(growing(&soak(steady, step, |_| 0)), ["descriptors, consumer"]);
        assert_eq!(growing(&soak(steady, |_| 20, |n| n * 3)), ["events due that are not in Redis"]);
        let warms_up = |n| if n < 15 { 10 << 20 } else { 100 << 20 };
        assert!(growing(&soak(warms_up, |_| 20, |_| 0)).is_empty());
    }
}
