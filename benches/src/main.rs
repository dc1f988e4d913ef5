//! `bench`, or `make bench`: events a second through the whole stack, CPU per event by process, memory; printed, not
//! judged.
//!
//! Throughput = unique events, verified and durable in both sinks ÷ (first due → last durable in both). CPU is
//! what each process was charged in that time (`/proc/PID/stat`), memory its peak (`VmHWM`).

use anyhow::{Context, ensure};
use clap::Parser;
use common::report::ProducerReport;
use common::units::{format_count, format_size, parse_count};
use harness::ports::free_port;
use harness::{Program, Signal, Stack, StackOptions, http, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longer than any run takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(600);

/// Between two looks at the consumer's metrics: few enough not to be measured themselves.
const LOOK: Duration = Duration::from_millis(50);

/// Clock ticks a second in `/proc/PID/stat`: fixed at 100 by the kernel's interface to user space (proc(5)).
const TICKS: f64 = 100.0;

/// Measure throughput, CPU by process and memory, on real servers that it starts for itself
///
/// Every run is verified, event by event. Ten million events take about a minute and a half; with fewer than some
/// million the figures are mostly those of the start.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Args {
    /// Events of each run
    #[arg(long, default_value = "10M", value_parser = parse_events)]
    events: u64,

    /// Partitions of the topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    partitions: u16,
}

fn parse_events(text: &str) -> Result<u64, String> {
    parse_count(text)
        .and_then(|count| if count > 0 { Ok(count) } else { Err("must be at least 1".to_owned()) })
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    println!("end to end: producer and consumer at once, as fast as they can");
    measure(args, Order::AtOnce)?;
    println!("\nbacklog: everything is in Kafka before the consumer starts");
    measure(args, Order::ProducerFirst)
}

/// When the consumer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    AtOnce,
    ProducerFirst,
}

struct Run {
    stack: Stack,
    folder: PathBuf,
    metrics: SocketAddr,
}

fn measure(args: &Args, order: Order) -> anyhow::Result<()> {
    let stack = Stack::start(StackOptions { kafka_heap: "1g".into(), ..StackOptions::default() })?;
    stack.create_topic("logs", args.partitions.into())?;
    let folder = stack.folder().join("bench");
    let run = Run { stack, folder, metrics: SocketAddr::from(([127, 0, 0, 1], free_port()?)) };

    let mut early = None;
    if order == Order::AtOnce {
        early = Some(run.consumer()?);
    }
    let mut producer = run.producer(args.events)?;
    if order == Order::ProducerFirst {
        finish(&mut producer)?;
    }
    let before = cpu(&run.stack.pids());
    let started = Instant::now();
    let mut consumer = match early {
        Some(consumer) => consumer,
        None => run.consumer()?,
    };
    while !(run.has(args.events, "file") && run.has(args.events, "redis")) {
        ensure!(started.elapsed() < PATIENCE, "not all events arrived: {}", consumer.stderr());
        std::thread::park_timeout(LOOK);
    }
    let finished = chrono::Utc::now();
    let mut seconds = started.elapsed().as_secs_f64();
    let mut used = cpu(&run.stack.pids());
    for (name, ticks) in &mut used {
        *ticks -= before.get(name).copied().unwrap_or(0.0);
    }
    used.insert("consumer".into(), seconds_of(consumer.pid()));
    let peak = memory_peak(consumer.pid());
    if order == Order::AtOnce {
        used.insert("producer".into(), seconds_of(producer.pid()));
        finish(&mut producer)?;
        let report = run.report()?;
        let first_due = chrono::DateTime::parse_from_rfc3339(&report.started)?;
        seconds = (finished - first_due.to_utc()).as_seconds_f64();
    }
    run.verified(&mut consumer)?;

    let events = args.events as f64;
    println!(
        "  {} events/s  ({} events in {seconds:.2} s, verified)",
        format_count(events / seconds),
        args.events
    );
    let total: f64 = used.values().sum();
    for (name, cpu) in &used {
        println!("  {:<12} {:.3} µs CPU an event", name, cpu / events * 1e6);
    }
    println!(
        "  {:<12} {:.3} µs CPU an event, {:.0} % of a core",
        "all",
        total / events * 1e6,
        total / seconds * 100.0
    );
    println!("  consumer's peak resident memory {}", peak.map_or("unknown".into(), format_size));
    Ok(())
}

impl Run {
    /// Whether a sink has all events by the consumer's own word; `verify` sees later whether that is true.
    fn has(&self, events: u64, sink: &str) -> bool {
        let series = format!("sluice_events_out_total{{sink=\"{sink}\"}}");
        http::metric(self.metrics, &series).is_some_and(|count| count as u64 >= events)
    }

    fn consumer(&self) -> anyhow::Result<Program> {
        let (brokers, redis) = (self.stack.bootstrap(), self.stack.redis_url());
        let metrics = self.metrics.to_string();
        let arguments = ["--brokers", &brokers, "--redis-url", &redis, "--metrics-addr", &metrics];
        let consumer = Program::start("consumer", arguments, &[], &self.folder)?;
        wait_until("the consumer to be ready", PATIENCE, || http::get(self.metrics, "/readyz"))?;
        Ok(consumer)
    }

    fn producer(&self, events: u64) -> anyhow::Result<Program> {
        let (brokers, count) = (self.stack.bootstrap(), events.to_string());
        let arguments =
            ["--brokers", &brokers, "--rate", "max", "--count", &count, "--report", "report.json"];
        Program::start("producer", arguments, &[], &self.folder)
    }

    fn report(&self) -> anyhow::Result<ProducerReport> {
        let text = fs::read_to_string(self.folder.join("report.json")).context("no report")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Ends the consumer and has its file verified.
    fn verified(&self, consumer: &mut Program) -> anyhow::Result<()> {
        consumer.signal(Signal::TERM)?;
        ensure!(consumer.wait(PATIENCE)?.success(), "{}", consumer.stderr());
        let arguments = ["verify", "logs.txt", "--report", "report.json"];
        let mut verify = Program::start("consumer", arguments, &[], &self.folder)?;
        ensure!(verify.wait(PATIENCE)?.success(), "{}{}", verify.stdout(), verify.stderr());
        Ok(())
    }
}

fn finish(producer: &mut Program) -> anyhow::Result<()> {
    ensure!(producer.wait(PATIENCE)?.success(), "{}{}", producer.stdout(), producer.stderr());
    Ok(())
}

/// CPU seconds of each process so far.
fn cpu(processes: &[(String, u32)]) -> BTreeMap<String, f64> {
    processes.iter().map(|(name, pid)| (name.clone(), seconds_of(*pid))).collect()
}

/// User and system time of a process: fields 14 and 15, counted from behind the name in brackets.
fn seconds_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / TICKS
}

fn memory_peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}
