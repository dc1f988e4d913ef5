//! What a long run showed, and whether anything grew.

use super::plot;
use super::series::middle;
use crate::results::{Held, Soak, Stage, Standing};
use common::units::{format_grouped, format_size};
use figures::numbers::{duration, short_rate, time};
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
    shown: Shown,
}

/// How a figure is written.
type Shown = fn(f64) -> String;

/// A figure of what a process holds.
type FigureOf = fn(&Held) -> u64;

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
/// A runtime's blocking threads come and go.
const THREADS: f64 = 2.0;
/// Lag may move by so many seconds' worth of events.
const LAG: f64 = 0.1;

/// Programs whose memory, descriptors and threads must not grow; of Kafka and ZooKeeper, the JVM decides.
const PROGRAMS: [&str; 3] = ["consumer", "producer", "redis"];

/// With fewer samples in a fifth of the run nothing is said.
const FEWEST: usize = 5;

/// Compares the last fifth of a run with the second one; the first is for warming up. None where there is too little to
/// compare: what was not seen did not stay flat.
pub fn grown(soak: &Soak) -> Option<Vec<Grown>> {
    let fifth = soak.samples.len() / 5;
    let compare = |what: String, figure: &dyn Fn(&Standing) -> Option<f64>, allowed: f64, shown| {
        let median = |samples: &[Standing]| {
            let figures: Vec<f64> = samples.iter().filter_map(figure).collect();
            middle(&figures, |figure| figure).filter(|_| figures.len() >= FEWEST)
        };
        let early = median(soak.samples.get(fifth..2 * fifth)?)?;
        let late = median(soak.samples.get(4 * fifth..5 * fifth)?)?;
        Some(Grown { what, early, late, allowed: allowed.max(early / 20.0), shown })
    };
    let size: Shown = |bytes| format_size(bytes as u64);
    let count: Shown = |count| format_grouped(count as u64);
    let lag = LAG * soak.rate as f64;
    let behind = |in_sink: fn(&Standing) -> u64| {
        move |sample: &Standing| Some(sample.due.saturating_sub(in_sink(sample)) as f64)
    };
    let unread = |sample: &Standing| Some(sample.unread as f64);
    let mut grown = vec![
        compare("events due that are not synced".to_owned(), &behind(|sample| sample.file), lag, count),
        compare("events due that are not in Redis".to_owned(), &behind(|sample| sample.redis), lag, count),
        compare("events in Kafka that are not read".to_owned(), &unread, lag, count),
    ];
    let of_programs: [(&str, FigureOf, f64, Shown); 3] = [
        ("memory", |held| held.memory, MEMORY, size),
        ("descriptors", |held| held.descriptors, DESCRIPTORS, count),
        ("threads", |held| held.threads, THREADS, count),
    ];
    for program in PROGRAMS {
        for (what, figure, allowed, shown) in of_programs {
            let figure = |sample: &Standing| sample.held.get(program).map(|held| figure(held) as f64);
            grown.push(compare(format!("{what}, {program}"), &figure, allowed, shown));
        }
    }
    grown.into_iter().collect()
}

/// The usual latency of a stage: the medians of all intervals' p50 and p99, ms.
fn usual(soak: &Soak, stage: Stage) -> Option<(f64, f64)> {
    let intervals: Vec<_> = soak.latency_over_time.iter().filter(|at| at.stage == stage).collect();
    Some((middle(&intervals, |at| at.p50)?.p50, middle(&intervals, |at| at.p99)?.p99))
}

/// Writes all of it.
///
/// # Errors
/// When the plot can't be drawn.
pub fn write(page: &mut Page, soak: &Soak) -> anyhow::Result<()> {
    let lasting = soak.samples.last().map_or(0.0, |sample| sample.at);
    page.text(&format!(
        "{} events/s were offered; within {} **{} events** came through, {}, each one verified to be in the \
         files once and in its partition's order, as many acknowledged to the producer, and as many counted \
         in Redis. Kafka, ZooKeeper, Redis, producer, consumer and the audit shared the machine.",
        format_grouped(soak.rate),
        duration(lasting),
        format_grouped(soak.events),
        format_size(soak.bytes)
    ));
    if let (Some(redis), Some(synced)) = (usual(soak, Stage::Redis), usual(soak, Stage::Synced)) {
        page.text(&format!(
            "From due to visible in Redis p50 was {} and p99 {}, to synced {} and {}: medians over the intervals \
             that the plot shows.",
            time(redis.0),
            time(redis.1),
            time(synced.0),
            time(synced.1)
        ));
    }
    let mut table = Table::new(1, ["", "early", "at the end", "so it is"]);
    for grown in grown(soak).unwrap_or_default() {
        let verdict = if grown.is_flat() { "flat" } else { "**not flat**" };
        let (early, late) = ((grown.shown)(grown.early), (grown.shown)(grown.late));
        table.row([grown.what, early, late, verdict.to_owned()]);
    }
    page.table(&table);
    page.text(
        "*Early* is the median of the second fifth of the run, *at the end* that of the last fifth; without \
         five samples in each nothing is said. Flat is what grew by no more than a twentieth or, if that is \
         more, 16 MiB of memory, 4 descriptors, 2 threads, or the events of 0.1 s. Events that are due and not \
         in Kafka yet count as lag, too: the producer's. What Kafka and ZooKeeper hold is up to their JVMs: \
         shown, not judged.",
    );
    let of = format!("{} for {}", short_rate(soak.rate as f64), duration(lasting));
    let of_what = "Rate, lag, latency, CPU, memory and descriptors over time";
    page.plot("soak.svg", of_what, plot::soak(soak, &of)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    /// A run in which the consumer's memory and descriptors, and the lag of Redis, are these.
    fn soak(memory: impl Fn(u64) -> u64, descriptors: impl Fn(u64) -> u64, lag: impl Fn(u64) -> u64) -> Soak {
        let mut soak = fixture::soak();
        for (n, sample) in (0..).zip(&mut soak.samples) {
            sample.redis = sample.due - lag(n).min(sample.due);
            let held = sample.held.get_mut("consumer").unwrap();
            (held.memory, held.descriptors) = (memory(n), descriptors(n));
        }
        soak
    }

    fn growing(soak: &Soak) -> Vec<String> {
        grown(soak).unwrap().into_iter().filter(|grown| !grown.is_flat()).map(|grown| grown.what).collect()
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

        let mut unread = fixture::soak();
        (0..).zip(&mut unread.samples).for_each(|(n, sample)| sample.unread = n * 3);
        assert_eq!(growing(&unread), ["events in Kafka that are not read"]);
        let mut threads = fixture::soak();
        for sample in &mut threads.samples[50..] {
            sample.held.get_mut("producer").unwrap().threads += 3;
        }
        assert_eq!(growing(&threads), ["threads, producer"]);
    }

    #[test]
    fn what_was_not_seen_is_not_flat() {
        let mut short = fixture::soak();
        short.samples.truncate(24);
        assert!(grown(&short).is_none());
        short.samples.clear();
        assert!(grown(&short).is_none());
        let mut gone = fixture::soak();
        for sample in &mut gone.samples[80..] {
            sample.held.remove("redis");
        }
        assert!(grown(&gone).is_none());
    }
}
