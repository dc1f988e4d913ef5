//! Other programs at the same jobs, on the same servers, in the same run.
//!
//! Every consumer drains the same backlog into a file and, if it can, a list in Redis. It is looked at from
//! outside, many times a second: an event is done once it is in both. Time and CPU run from the first event
//! done to the last; what starts up until then is nobody's fault. Every producer fills a topic of its own,
//! and what counts is what the broker has of it. A program that can't be run here is skipped with the reason.

mod arena;
mod connect;
mod consumers;
mod java;
mod limit;
mod lines;
mod look;
mod producers;
mod python;
mod rsyslog;
mod sluice;

pub use limit::{Limits, limits};

use anyhow::{Result, ensure};
use clap::Args;
use common::units::{format_count, format_size, parse_count};
use std::path::PathBuf;

use crate::results::{Contender, Outcome};
use arena::Arena;
use look::Window;

/// Flags of `bench peers`.
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// Events of the backlog, and of each producer
    #[arg(long, default_value = "3M", value_parser = parse_count)]
    events: u64,

    /// Only the contenders whose name holds this, in capitals or not
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,

    /// Cargo project of bare programs, to be run on the same jobs; they want Kafka on port 9092 and Redis on
    /// 6379
    #[arg(long, value_name = "FOLDER")]
    limit_programs: Option<PathBuf>,
}

/// What [`contest`] gives.
#[derive(Debug, Default)]
pub struct Contest {
    /// Those that drained the backlog; Sluice first.
    pub consumers: Vec<Contender>,
    /// Those that filled a topic; Sluice first.
    pub producers: Vec<Contender>,
}

/// Starts servers, fills a topic with `events`, and lets every contender whose name holds `only` do its job,
/// one after the other; `said` is told of each when it is done.
///
/// # Errors
/// When no name holds `only`, the servers don't start or the topic can't be filled. What fails of a contender is
/// its outcome.
pub fn contest(events: u64, only: &str, mut said: impl FnMut(&Contender)) -> Result<Contest> {
    let wanted = |peer: &&Peer| peer.name.to_lowercase().contains(&only.to_lowercase());
    ensure!(
        consumers::PEERS.iter().chain(&producers::PEERS).any(|peer| wanted(&peer)),
        "no contender's name holds '{only}'"
    );
    let arena = Arena::start(events)?;
    let mut run = |peer: &Peer| {
        let contender = peer.contend(&arena);
        said(&contender);
        contender
    };
    Ok(Contest {
        consumers: consumers::PEERS.iter().filter(wanted).map(&mut run).collect(),
        producers: producers::PEERS.iter().filter(wanted).map(&mut run).collect(),
    })
}

/// `bench peers`: runs all and prints a line each.
///
/// # Errors
/// As [`contest`].
pub fn print(args: &PeersArgs) -> Result<()> {
    let Contest { consumers, producers } =
        contest(args.events, &args.only, |contender| println!("{}", line(contender)))?;
    println!("{} consumers and {} producers", consumers.len(), producers.len());
    if let Some(programs) = &args.limit_programs {
        let Limits { limits, skipped } = limits(programs, args.events);
        for limit in limits {
            println!("bare programs  {:?}  {} events/s", limit.job, format_count(limit.events_per_second));
            for (stage, latency) in limit.latency {
                println!("  {stage:?}: p50 {} p99 {} max {} ms", latency.p50, latency.p99, latency.max);
            }
        }
        for reason in skipped {
            println!("bare programs  skipped: {reason}");
        }
    }
    Ok(())
}

/// Some lines for a terminal.
pub fn line(contender: &Contender) -> String {
    let Contender { name, job, guarantee, outcome } = contender;
    match outcome {
        Outcome::Ran { version, events, seconds, events_per_second, cpu_micros, memory_peak } => format!(
            "{name} {version}  {job}  {} events/s  {cpu_micros:.2} µs CPU an event  {}  \
             ({events} in {seconds:.2} s)\n  {guarantee}",
            format_count(*events_per_second),
            format_size(*memory_peak),
        ),
        Outcome::Skipped(reason) => format!("{name}  {job}  skipped: {reason}"),
    }
}

/// A program that does a job, and how to have it do it.
struct Peer {
    name: &'static str,
    job: &'static str,
    guarantee: &'static str,
    run: fn(&Arena) -> Result<Ran>,
}

/// What came of a [`Peer`] that ran.
struct Ran {
    version: String,
    window: Window,
}

impl Peer {
    fn contend(&self, arena: &Arena) -> Contender {
        let outcome = match (self.run)(arena) {
            Ok(Ran { version, window }) => Outcome::Ran {
                version,
                events: window.done,
                seconds: window.seconds,
                events_per_second: window.done as f64 / window.seconds,
                cpu_micros: window.cpu_seconds / window.done as f64 * 1e6,
                memory_peak: window.memory_peak,
            },
            Err(error) => Outcome::Skipped(format!("{error:#}")),
        };
        Contender { name: self.name.into(), job: self.job.into(), guarantee: self.guarantee.into(), outcome }
    }
}
