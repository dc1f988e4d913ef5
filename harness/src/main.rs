//! `harness`: the same servers to play with, and the demo. `make up`, `make down`, `make demo`.

mod demo;
mod keep;

use anyhow::{Context, Result};
use clap::Parser;
use common::shutdown::Shutdown;
use harness::{Stack, StackOptions};
use std::process::ExitCode;
use std::time::Duration;

/// Real ZooKeeper, Kafka and Redis on this machine, without Docker.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Start servers that stay up, with the topics logs and logs.rejected
    Up(keep::Place),
    /// Stop the servers that `up` started; their data stays
    Down(keep::Place),
    /// Run servers on free ports in the foreground until Ctrl-C, then forget their data
    RunStack,
    /// Run the whole pipeline on servers of its own: load, a real log file, and the verdict of verify
    Demo,
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Up(place) => keep::up(&place).map(|()| ExitCode::SUCCESS),
        Command::Down(place) => keep::down(&place).map(|()| ExitCode::SUCCESS),
        Command::RunStack => run_stack().map(|()| ExitCode::SUCCESS),
        Command::Demo => demo::run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run_stack() -> Result<()> {
    let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
    println!("starting");
    let stack = Stack::start(StackOptions::default())?;
    keep::create_topics(&stack)?;
    for (name, pid) in stack.pids() {
        println!("{name} {pid}");
    }
    println!("{}", keep::addresses(&stack.bootstrap(), &stack.redis_url(), stack.zookeeper_port()));
    println!("ready: Ctrl-C ends it");
    while !shutdown.requested() {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Ok(())
}
