//! `consumer`: fans every log event out to Redis and to an append-only file, exactly once.

mod backoff;
mod config;
mod counts;
mod group;
mod health;
mod http;
mod latency_log;
mod ledger;
mod memory;
mod metrics;
mod pipeline;
mod probe;
mod quiet;
mod rejected;
mod run;
mod sink;
mod status;
mod verify;
mod watchdog;

use clap::{CommandFactory, Parser, Subcommand};
use common::decode::harmless;
use common::terminal::{self, say_error};
use common::{crash, telemetry};
use std::process::ExitCode;
use tracing::error;

/// What this crate's own benches measure; the rest stays private, so that the compiler sees what nobody uses.
pub mod hot {
    pub use crate::counts::ServiceNames;
    pub use crate::metrics::latency::Latency;
    pub use crate::sink::file::disk::DiskFile;
    pub use crate::sink::redis::request::{Keys, Request};
}

const EXAMPLES: &str = "\
Examples:
  consumer                                       logs.txt and Redis, all on this machine
  consumer --brokers kafka:29092 --redis-url redis://redis:6379 --file /data/logs.txt
  consumer --file '/data/logs-{partition}.txt'   several consumers share the partitions and the folder
  consumer --file-format text --no-redis         a plain text file for people, nothing else
  consumer verify logs.txt --report run.json     was anything lost or doubled?
  consumer rejected list                         what could not be understood, and its way back
  curl -s 127.0.0.1:9600/metrics                 figures for Prometheus

A second consumer on the same file stands by and takes over when the first one ends. \
Brokers, the topic and Redis are waited for as long as it takes; the log and /readyz say what is missing.

Exit codes: 0 ended as asked, or verify found nothing lost or doubled; 1 failed, or verify found something; \
2 impossible configuration; 130 ended at once by a second signal.";

/// Fans every log event from Kafka out to Redis and to an append-only file, exactly once
#[derive(Debug, Parser)]
#[command(name = "consumer", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: config::Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads log files and says what was lost, doubled or reordered
    Verify(verify::Args),
    /// Shows what could not be understood, and brings it back once it can be
    #[command(subcommand)]
    Rejected(rejected::Action),
    /// Asks a running consumer whether it is alive; for health checks
    Health(probe::Args),
}

/// The program: reads its command line, runs, and says how to end.
pub fn main() -> ExitCode {
    let Cli { command, flags } = terminal::parse();
    let result = match command {
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Rejected(action)) => {
            action.check().unwrap_or_else(|problem| impossible(problem));
            rejected::run(&action)
        }
        Some(Command::Health(args)) => probe::run(&args),
        None => {
            telemetry::init(flags.log_format);
            crash::on_panic();
            let config = flags.validate().unwrap_or_else(|problem| impossible(problem));
            return match run::run(config) {
                Ok(()) => ExitCode::SUCCESS,
                Err(problem) => {
                    error!("{problem:#}");
                    ExitCode::FAILURE
                }
            };
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            say_error(&problem);
            ExitCode::FAILURE
        }
    }
}

/// Ends as clap does for what it finds itself.
fn impossible(problem: String) -> ! {
    Cli::command().error(clap::error::ErrorKind::ValueValidation, harmless(&problem)).exit()
}
