//! Believable results of every kind, for tests.

use crate::results::*;
use common::report::Percentiles;
use figures::machine::Machine;
use std::collections::BTreeMap;

/// Results in which every section of the report has something to say.
pub fn results() -> Results {
    let mut runs = vec![run(RunName::EndToEnd, setting(4, 1, 166.0, None), 20_000_000, 969_000.0)];
    runs.push(run(RunName::Backlog, setting(4, 1, 166.0, None), 20_000_000, 2_240_000.0));
    runs.push(steady(10_000, 1.0));
    runs.push(steady(500_000, 3.5));
    runs.push(spike());
    for (bytes, rate) in [(100.0, 1.1e6), (166.0, 969e3), (512.0, 520e3), (2048.0, 171e3), (8192.0, 45e3)] {
        runs.push(run(RunName::BySize, setting(4, 1, bytes, None), 5_000_000, rate));
        runs.push(run(RunName::BySize, setting(4, 1, bytes, None), 5_000_000, rate * 1.06));
    }
    for (partitions, rate) in [(1, 720e3), (2, 910e3), (4, 969e3), (8, 955e3), (16, 902e3)] {
        runs.push(run(RunName::ByPartitions, setting(partitions, 1, 166.0, None), 5_000_000, rate));
    }
    for (consumers, rate) in [(1, 2.24e6), (2, 2.31e6), (4, 2.12e6)] {
        runs.push(run(RunName::ByConsumers, setting(4, consumers, 166.0, None), 5_000_000, rate));
    }
    for (workers, rate) in [(1, 2.24e6), (2, 2.3e6)] {
        let setting = Setting { workers, ..setting(4, 1, 166.0, None) };
        runs.push(run(RunName::ByWorkers, setting, 5_000_000, rate));
    }
    Results {
        machine: machine(),
        command: "make bench".into(),
        started: "2026-11-22T07:12:00Z".into(),
        seconds: 1450.0,
        runs,
        consumers: consumers(),
        producers: producers(),
        max_rates: vec![
            MaxRate {
                slo: "lag does not grow".into(),
                rate: Some(900_000),
                tried: vec![(800_000, true), (900_000, true), (1_000_000, false)],
            },
            MaxRate { slo: "p99<100ms".into(), rate: None, tried: vec![(100_000, false)] },
        ],
        limits: vec![
            limit(LimitJob::EndToEnd, 1_091_000.0),
            limit(LimitJob::Backlog, 1_457_000.0),
            limit(LimitJob::Produce, 1_500_000.0),
            Limit { latency: latency(0.7), ..limit(LimitJob::Steady, 10_002.0) },
        ],
    }
}

/// A hundred seconds at 1,000 events/s in which nothing grows.
pub fn soak() -> Soak {
    let sample = |n: u64| {
        let held = |memory: u64| Held {
            memory: memory << 20,
            descriptors: 20,
            threads: 9,
            cpu_seconds: n as f64 * 0.25,
        };
        let programs =
            ["consumer", "producer", "kafka", "redis", "zookeeper"].into_iter().zip([180, 94, 900, 86, 70]);
        let held = programs.map(|(name, memory)| (name.to_owned(), held(memory))).collect();
        let due = n * 1_000;
        Standing { at: n as f64, due, file: due - due.min(20), redis: due, unread: n % 7, held }
    };
    let second = |n: u32| {
        let at = |stage, p99| LatencyAt { at: f64::from(n), stage, p50: p99 / 2.0, p99 };
        [at(Stage::Redis, 12.0), at(Stage::Synced, 40.0)]
    };
    Soak {
        machine: machine(),
        command: "bench soak --rate 1000 --for 100s".into(),
        started: "2026-11-22T08:00:00Z".into(),
        seconds: 108.0,
        rate: 1_000,
        events: 100_000,
        bytes: 16_900_000,
        samples: (0..100).map(sample).collect(),
        latency_over_time: (0..100).flat_map(second).collect(),
    }
}

/// A study with a noise floor and three comparisons.
pub fn study() -> Study {
    let setting = |name: &str, words: &str| (name.to_owned(), words.to_owned());
    Study {
        machine: machine(),
        command: "bench tuning".into(),
        started: "2026-11-22T09:00:00+01:00".into(),
        seconds: 3700.0,
        rate: 500_000,
        seed: 7,
        settings: BTreeMap::from([
            setting("baseline", "4 partitions, linger 5 ms"),
            setting("partitions", "8 partitions, linger 5 ms"),
            setting("batching", "4 partitions, linger 1 ms"),
            setting("tuned", "8 partitions, linger 1 ms"),
        ]),
        comparisons: vec![
            comparison("A/A", ("baseline", "baseline"), 1.01, 0.97),
            comparison("partitions alone", ("baseline", "partitions"), 0.96, 1.1),
            comparison("batching alone", ("baseline", "batching"), 0.62, 0.7),
            comparison("both", ("baseline", "tuned"), 0.55, 0.6),
        ],
    }
}

fn machine() -> Machine {
    let versions = [("Kafka", "3.9.1"), ("Redis", "7.0.15"), ("Java", "17.0.13"), ("Sluice", "0.1.0")];
    Machine {
        processor: "AMD EPYC 9B14".into(),
        cores: 2,
        memory: 24 << 30,
        kernel: "Linux 6.1.0".into(),
        file_system: "ext4".into(),
        versions: versions.map(|(name, version)| (name.into(), version.into())).into(),
    }
}

fn setting(partitions: u16, consumers: u16, event_bytes: f64, rate: Option<u64>) -> Setting {
    Setting { partitions, consumers, workers: 1, event_bytes, rate }
}

fn by_process<V>(figures: impl IntoIterator<Item = (&'static str, V)>) -> BTreeMap<String, V> {
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
}

fn run(name: RunName, setting: Setting, events: u64, events_per_second: f64) -> Run {
    let seconds = events as f64 / events_per_second;
    let mut cpu = vec![("consumer", 0.54), ("kafka", 0.45), ("redis", 0.32), ("zookeeper", 0.004)];
    let mut memory = vec![("consumer", 159 << 20), ("kafka", 1400 << 20), ("redis", 21 << 20)];
    if name.is_from_backlog() {
        cpu[1].1 = 0.06;
    } else {
        cpu.push(("producer", 0.65));
        memory.push(("producer", 88 << 20));
    }
    Run {
        name,
        setting,
        events,
        seconds,
        events_per_second,
        cpu_micros: by_process(cpu),
        memory_peak: by_process(memory),
        latency: BTreeMap::new(),
        samples: samples(seconds, |at| events_per_second * (1.0 + 0.1 * (at * 1.3).sin())),
        latency_over_time: Vec::new(),
        consumer: ConsumerFigures {
            file_bytes: (events as f64 * 167.0) as u64,
            redis_bytes: (events as f64 * 21.0) as u64,
            syncs: 84,
            sync_ms: 12.5,
            batch_events: 8123.0,
            redis_detached: 2,
        },
    }
}

/// Twenty counts a second of a rate that changes; Redis a little behind the file, which comes in lumps.
fn samples(seconds: f64, rate: impl Fn(f64) -> f64) -> Vec<Sample> {
    let mut count = 0.0;
    let count_at = |tick: u32| {
        let at = f64::from(tick) / 20.0;
        count += rate(at) / 20.0;
        Sample {
            at,
            due: (count * 1.01) as u64,
            file: (count / 50_000.0).floor() as u64 * 50_000,
            redis: (count * 0.995) as u64,
        }
    };
    (0..=(seconds * 20.0) as u32).map(count_at).collect()
}

fn latency(factor: f64) -> BTreeMap<Stage, Percentiles> {
    let stages =
        [(Stage::Acknowledged, 4.0), (Stage::Fetched, 6.0), (Stage::Redis, 9.0), (Stage::Synced, 31.0)];
    stages.map(|(stage, p50)| (stage, percentiles(p50 * factor))).into()
}

fn percentiles(p50: f64) -> Percentiles {
    Percentiles { n: 250_000, p50, p90: p50 * 1.8, p99: p50 * 3.1, p999: p50 * 6.0, max: p50 * 14.0 }
}

fn steady(rate: u64, factor: f64) -> Run {
    let events = rate * 30;
    let mut run = run(RunName::Steady, setting(4, 1, 166.0, Some(rate)), events, rate as f64);
    run.latency = latency(factor);
    // At a low rate batches are small, and each costs.
    run.cpu_micros.values_mut().for_each(|micros| *micros *= 1.0 + 60_000.0 / rate as f64);
    run
}

/// Five times the rate for five seconds from the twentieth on; what can't be done then is done after it.
fn spike() -> Run {
    let mut run = run(RunName::Spike, setting(4, 1, 166.0, Some(300_000)), 20_000_000, 333_000.0);
    let through = |at: f64| if (20.0..29.0).contains(&at) { 1_000_000.0 } else { 300_000.0 };
    run.samples = samples(60.0, through);
    let late = |at: f64| match at {
        at if at < 20.0 => 22.0 + at,
        at if at < 25.0 => 60.0 + (at - 20.0) * 480.0,
        at if at < 29.0 => 2100.0 - (at - 25.0) * 500.0,
        at => 24.0 + at % 7.0,
    };
    let second = |second: u32| f64::from(second) + 0.5;
    let at = |at: f64| LatencyAt { at, stage: Stage::Redis, p50: late(at) / 2.0, p99: late(at) };
    run.latency_over_time = (3..60).map(second).map(at).collect();
    run.latency = latency(19.0);
    run
}

fn limit(job: LimitJob, events_per_second: f64) -> Limit {
    Limit { job, events_per_second, latency: BTreeMap::new() }
}

fn contender(name: &str, job: &str, guarantee: &str, (rate, cpu): (f64, f64), memory: u64) -> Contender {
    let outcome = Outcome::Ran {
        version: "1.2.3".into(),
        events: 5_000_000,
        seconds: 5_000_000.0 / rate,
        events_per_second: rate,
        cpu_micros: cpu,
        memory_peak: memory << 20,
    };
    Contender { name: name.into(), job: job.into(), guarantee: guarantee.into(), outcome }
}

fn consumers() -> Vec<Contender> {
    let at_least = "at least once, offsets stored after the sinks";
    vec![
        contender("rsyslog", "file only", at_least, (310_000.0, 2.9), 40),
        contender("Sluice", "file + Redis", "exactly once into the file", (2_240_000.0, 0.5), 164),
        contender("Vector", "file + Redis", at_least, (95_000.0, 14.2), 130),
        contender("Fluent Bit", "file only", "none | <best effort>", (140_000.0, 6.1), 61),
        Contender {
            name: "Logstash".into(),
            job: "file + Redis".into(),
            guarantee: at_least.into(),
            outcome: Outcome::Skipped("no package of it here".into()),
        },
    ]
}

fn producers() -> Vec<Contender> {
    vec![
        contender("Sluice", "produce", "idempotent, acks=all", (1_310_000.0, 0.65), 88),
        contender("kafka-producer-perf-test", "produce", "acks=all", (1_050_000.0, 1.21), 410),
        contender("kcat", "produce", "acks=all", (700_000.0, 1.1), 60),
    ]
}

fn comparison(name: &str, (baseline, tuned): (&str, &str), p50: f64, p99: f64) -> Comparison {
    let pair = |index: i32| {
        let drift = 1.0 + 0.05 * f64::from(index - 3);
        let first = percentiles(18.0 * drift);
        let mut second = percentiles(18.0 * drift * p50 * (1.0 + 0.02 * f64::from(index % 3 - 1)));
        second.p99 = first.p99 * p99;
        [first, second]
    };
    let ratio = |median: f64, spread: f64| Ratio { median, low: median / spread, high: median * spread };
    Comparison {
        name: name.into(),
        baseline: baseline.into(),
        tuned: tuned.into(),
        pairs: (0..8).map(pair).collect(),
        p50: ratio(p50, 1.06),
        p99: ratio(p99, 1.12),
    }
}
