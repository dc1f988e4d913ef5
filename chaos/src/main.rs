//! `chaos`: faults by a seed, on real servers, with every event accounted for.

mod arena;
mod audit;
mod clock;
mod evidence;
mod fault;
mod pipeline;
mod report;
mod run;
mod watch;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use common::units::{format_grouped, parse_count};
use fault::{Fault, schedule};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  chaos                                      each fault once, in an order by chance
  chaos --seed 7 --rounds 100                a night's worth, and the same again with the same seed
  chaos --only redis-killed,network-down     these two
  chaos --list                               what can go wrong";

/// Do to the whole pipeline what a bad night does, and account for every event
///
/// Three brokers, ZooKeeper, Redis with a replica and Sentinels, a producer and two groups of consumers run on this
/// machine while one fault after the other befalls them. After each, everything must be well again without help; in
/// the end the files must hold what the topic holds, each event once, and Redis must have counted as many.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    /// Decides the order of the faults, how long each holds and whom it befalls [default: another one each run]
    #[arg(long)]
    seed: Option<u64>,

    /// How many faults [default: each once]
    #[arg(long)]
    rounds: Option<usize>,

    /// Events a second; four times as many in a spike every half minute
    #[arg(long, default_value = "2k", value_parser = parse_count)]
    rate: u64,

    /// Only these
    #[arg(long, value_enum, value_delimiter = ',', hide_possible_values = true, value_name = "FAULT,…")]
    only: Vec<Fault>,

    /// Where the report goes, and what was there of a run that failed
    #[arg(long, default_value = "target/chaos", value_name = "FOLDER")]
    out: PathBuf,

    /// Say what can go wrong, and do nothing
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for fault in Fault::value_variants() {
            println!("{:20} {}", fault.name(), fault.what());
        }
        return ExitCode::SUCCESS;
    }
    match make(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make(cli: &Cli) -> Result<()> {
    let faults = if cli.only.is_empty() { Fault::value_variants() } else { &cli.only };
    let seed = cli.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let rounds = schedule(seed, cli.rounds.unwrap_or(faults.len()), faults);
    let command = command(cli, seed, rounds.len());
    println!("{command}");
    fs::create_dir_all(&cli.out).with_context(|| format!("cannot make {}", cli.out.display()))?;
    let servers = cli.out.join("servers");
    if servers.exists() {
        fs::remove_dir_all(&servers).with_context(|| format!("cannot remove {}", servers.display()))?;
    }
    let started = chrono::Utc::now();
    let shown = run::run(&rounds, cli.rate, &cli.out, &|what| println!("{what}"))
        .with_context(|| format!("{command}; what is left of it is in {}", cli.out.display()))?;
    report::write(&shown, &command, started, &cli.out)?;
    for wrong in &shown.account.wrong {
        println!("{wrong}");
    }
    println!("{}", cli.out.join("chaos.md").display());
    ensure!(shown.account.wrong.is_empty(), "not every event is where it ought to be, once; {command}");
    println!("{} events, each once in the files and in Redis", format_grouped(shown.account.events));
    fs::remove_dir_all(&servers).with_context(|| format!("cannot remove {}", servers.display()))
}

/// What gives the same again.
fn command(cli: &Cli, seed: u64, rounds: usize) -> String {
    let mut command = format!("chaos --seed {seed} --rounds {rounds} --rate {}", cli.rate);
    if !cli.only.is_empty() {
        let names: Vec<String> = cli.only.iter().map(|fault| fault.name()).collect();
        command += &format!(" --only {}", names.join(","));
    }
    command
}
