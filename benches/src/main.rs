//! `bench`: what Sluice makes of a machine, measured on real servers, every event verified.

mod latency;
mod max_rate;
mod peers;
mod print;
mod progress;
mod report;
mod results;
mod run;
mod sinks;
mod study;
mod suite;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use common::event::format_timestamp;
use common::units::{format_grouped, parse_count, parse_duration, parse_rate};
use max_rate::Slo;
use peers::{Contest, PeersArgs};
use progress::Progress;
use report::Grown;
use results::{Results, RunName};
use run::{Bench, Plan};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use suite::Extent;

const EXAMPLES: &str = "\
Examples:
  bench run end-to-end                       a minute as fast as possible
  bench run backlog --count 20M              consumers that find everything in Kafka
  bench run steady --rate 500k               latency at a rate
  bench run steady --rate 10k --producer='--kafka linger.ms=0' --consumer='--sync-interval 5ms'
  bench run end-to-end --times 5             the same five times, on the same servers";

/// Measure throughput, latency, CPU and memory on real servers that it starts for itself
///
/// Every run is verified: an event that is lost or doubled fails it. Nothing else should run on the machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything, into a report with plots: results.json, report.md
    All(AllArgs),
    /// One run, its figures printed
    Run(RunArgs),
    /// The highest rate that is kept up with
    MaxRate(MaxRateArgs),
    /// What partitions and batching do to the latency: study-tuning.json, study-tuning.md
    StudyTuning(StudyArgs),
    /// A long run at a steady rate, and whether anything grows meanwhile: soak.json, soak.md
    Soak(SoakArgs),
    /// What a Redis that goes away costs the file, and how fast it is caught up
    Outage {
        /// Events of each backlog
        #[arg(long, default_value = "10M", value_parser = parse_count)]
        count: u64,

        /// Pairs of a run with Redis and one without
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        pairs: u16,
    },
    /// Others at the same jobs, and Sluice among them: consumers that drain a backlog, producers that fill a topic
    Peers(PeersArgs),
    /// Reports and plots anew from results.json, study-tuning.json and soak.json
    Report {
        /// Where they are
        #[arg(default_value = "benches/results")]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct AllArgs {
    /// Only a look: some minutes, without curves and peers
    #[arg(long)]
    quick: bool,

    /// Where the report goes
    #[arg(long, default_value = "benches/results", value_name = "FOLDER")]
    out: PathBuf,

    /// Bare programs that mark the limit of the machine (produce, consume, latency_produce, latency_consume), to be
    /// run beside Sluice
    #[arg(long, value_name = "FOLDER")]
    limit_programs: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct MaxRateArgs {
    /// Events a second to begin with
    #[arg(long, default_value = "500k", value_parser = parse_rate)]
    from: u64,

    /// What must be kept beside that the lag does not grow: p99<100ms, from due to visible in Redis
    #[arg(long)]
    slo: Option<Slo>,
}

#[derive(Debug, Args)]
struct StudyArgs {
    /// Events a second; every setting must keep up with it
    #[arg(long, default_value = "10k", value_parser = parse_rate)]
    rate: u64,

    /// Of the events
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Pairs of each comparison
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(i64::from(study::FEWEST_PAIRS)..))]
    pairs: u16,

    /// Where the report goes
    #[arg(long, default_value = "benches/results", value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct SoakArgs {
    /// Events a second
    #[arg(long, default_value = "500k", value_parser = parse_rate)]
    rate: u64,

    /// For how long
    #[arg(long = "for", default_value = "30m", value_parser = parse_duration, value_name = "DURATION")]
    lasting: Duration,

    /// Where the report goes
    #[arg(long, default_value = "benches/results", value_name = "FOLDER")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Which
    what: What,

    /// Events a second; for 'steady' and 'spike'
    #[arg(long, default_value = "500k", value_parser = parse_rate)]
    rate: u64,

    /// For how long the producer sends
    #[arg(long, default_value = "60s", value_parser = parse_duration, conflicts_with = "count")]
    duration: Duration,

    /// How many events it sends, in place of a duration; always for 'backlog', where it is 10M unless given
    #[arg(long, value_parser = parse_count)]
    count: Option<u64>,

    /// Partitions of the topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    partitions: u16,

    /// Consumers that share them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    consumers: u16,

    /// Workers of each consumer
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,

    /// More flags for the producer
    #[arg(long, default_value = "", allow_hyphen_values = true, value_name = "FLAGS")]
    producer: String,

    /// More flags for each consumer
    #[arg(long, default_value = "", allow_hyphen_values = true, value_name = "FLAGS")]
    consumer: String,

    /// How often
    #[arg(long, default_value_t = 1)]
    times: u16,
}

/// A run to be made by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Producer and consumer at once, as fast as they can
    EndToEnd,
    /// Everything is in Kafka before the consumer starts
    Backlog,
    /// At a steady rate
    Steady,
    /// At a tenth of the rate, with a spike of 10 s to all of it
    Spike,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::All(args) => all(&args),
        Command::Run(args) => run_once(&args),
        Command::MaxRate(args) => max_rate(&args),
        Command::StudyTuning(args) => study_tuning(&args),
        Command::Soak(args) => soak(&args),
        Command::Outage { count, pairs } => start().and_then(|mut bench| {
            bench.progress.more(usize::from(pairs) * 2);
            run::outage::pairs(&mut bench, count, pairs)
        }),
        Command::Peers(args) => peers::print(&args),
        Command::Report { folder } => report::render(&folder),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<Bench> {
    let progress = Progress::new(1);
    progress.step("starting ZooKeeper, Kafka and Redis");
    Bench::start(progress)
}

/// Events that each contender gets: some seconds of the fastest.
const PEERS_EVENTS: u64 = 5_000_000;

/// Events that each bare program gets.
const LIMIT_EVENTS: u64 = 20_000_000;

fn all(args: &AllArgs) -> Result<()> {
    let (started, clock) = (chrono::Utc::now(), Instant::now());
    let mut bench = start()?;
    let machine = figures::machine::describe(bench.stack.folder())?;
    let extent = if args.quick { Extent::Quick } else { Extent::Full };
    let runs = suite::runs(&mut bench, extent)?;
    let max_rates = match extent {
        Extent::Full => suite::max_rates(&mut bench, 500_000)?,
        Extent::Quick => Vec::new(),
    };
    drop(bench);
    let (mut contest, mut limits) = (Contest::default(), Vec::new());
    if extent == Extent::Full {
        contest = peers::contest(PEERS_EVENTS, "", |contender| println!("{}", peers::line(contender)))?;
        if let Some(programs) = &args.limit_programs {
            let found = peers::limits(programs, LIMIT_EVENTS);
            found.skipped.iter().for_each(|reason| println!("bare programs skipped: {reason}"));
            limits = found.limits;
        }
    }
    let results = Results {
        machine,
        command: args.command(),
        started: format_timestamp(started),
        seconds: clock.elapsed().as_secs_f64(),
        runs,
        consumers: contest.consumers,
        producers: contest.producers,
        max_rates,
        limits,
    };
    write_json(&results, &args.out, "results.json")?;
    report::write(&results, &args.out)?;
    println!("{}", args.out.join("report.md").display());
    Ok(())
}

impl AllArgs {
    /// What gives the same again.
    fn command(&self) -> String {
        match (self.quick, &self.limit_programs) {
            (true, _) => "make bench-quick".to_owned(),
            (false, None) => "make bench".to_owned(),
            (false, Some(_)) => "target/release/bench all --limit-programs FOLDER".to_owned(),
        }
    }
}

fn max_rate(args: &MaxRateArgs) -> Result<()> {
    let mut bench = start()?;
    let found = max_rate::search(&mut bench, args.from, args.slo)?;
    let rate = found.rate.map_or("none that was tried".to_owned(), |rate| format!("{rate}/s"));
    bench.progress.line(&format!("{}: {rate}", found.slo));
    Ok(())
}

fn study_tuning(args: &StudyArgs) -> Result<()> {
    let mut bench = start()?;
    let command =
        format!("bench study-tuning --rate {} --seed {} --pairs {}", args.rate, args.seed, args.pairs);
    let study = study::run(&mut bench, args.rate, args.seed, args.pairs, command)?;
    drop(bench);
    write_json(&study, &args.out, "study-tuning.json")?;
    report::write_study(&study, &args.out)?;
    println!("{}", args.out.join("study-tuning.md").display());
    Ok(())
}

fn soak(args: &SoakArgs) -> Result<()> {
    let mut bench = start()?;
    bench.progress.more(1);
    let lasting = figures::numbers::duration(args.lasting.as_secs_f64());
    bench.progress.step(&format!("{} events/s for {lasting}", format_grouped(args.rate)));
    let soak = run::soak::run(&mut bench, args.rate, args.lasting)?;
    drop(bench);
    write_json(&soak, &args.out, "soak.json")?;
    report::write_soak(&soak, &args.out)?;
    println!("{}", args.out.join("soak.md").display());
    let grown = report::grown(&soak).context("too little was seen to tell whether anything grows")?;
    grown.iter().for_each(|grown| println!("{grown}"));
    ensure!(grown.iter().all(Grown::is_flat), "not everything stayed flat");
    Ok(())
}

fn write_json(value: &impl serde::Serialize, folder: &Path, name: &str) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(name);
    let text = serde_json::to_string_pretty(value)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn run_once(args: &RunArgs) -> Result<()> {
    let mut bench = start()?;
    bench.progress.more(args.times.into());
    let plan = args.plan();
    for _ in 0..args.times {
        bench.progress.step(&plan.to_string());
        let run = bench.run(&plan)?;
        bench.progress.line(&print::run(&run));
    }
    Ok(())
}

impl RunArgs {
    fn plan(&self) -> Plan {
        let much = match (self.count, self.what) {
            (Some(count), _) => format!("--count {count}"),
            (None, What::Backlog) => "--count 10M".to_owned(),
            (None, _) => format!("--duration {}ms", self.duration.as_millis()),
        };
        let plan = match self.what {
            What::EndToEnd => Plan::flat_out(RunName::EndToEnd, &much),
            What::Backlog => Plan::flat_out(RunName::Backlog, &much),
            What::Steady => Plan::steady(self.rate, &much),
            What::Spike => Plan::spike(self.rate / 10, 10),
        };
        plan.on_partitions(self.partitions)
            .with_consumers(self.consumers)
            .with_workers(self.workers)
            .with_producer_flags(&self.producer)
            .with_consumer_flags(&self.consumer)
    }
}
