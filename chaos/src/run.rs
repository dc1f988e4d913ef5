//! A run: the steady state, each fault in its turn and what it takes to be well again, and the account at the end.

use crate::arena::{Arena, servers};
use crate::audit::Account;
use crate::evidence::Evidence;
use crate::fault::{Fault, Round};
use crate::pipeline::Pipeline;
use crate::watch::{SINKS, Sample, Watch};
use anyhow::{Context, Result, bail, ensure};
use harness::Stack;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Until everything is through again after a fault: only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Faults in which a consumer may end with an error; in all others it has to go on by itself.
const MAY_END: [Fault; 3] = [Fault::SyncFails, Fault::DiskFull, Fault::WriteLimited];

/// What became of a fault. Times in s after the start of the run.
#[derive(Debug)]
pub struct Outcome {
    /// The fault.
    pub round: Round,
    /// Whom it befell, where that was by chance.
    pub befell: String,
    /// When it began.
    pub from: f64,
    /// When it was over, with what it took to end it: a server's start, for example.
    pub until: f64,
    /// When every event that was in the topic by then was in all sinks.
    pub well: f64,
    /// What consumers said that ended by themselves.
    pub ends: Vec<String>,
}

/// What a run has shown.
#[derive(Debug)]
pub struct Shown {
    /// What became of each fault.
    pub outcomes: Vec<Outcome>,
    /// How far everything was, all the time.
    pub samples: Vec<Sample>,
    /// The account.
    pub account: Account,
    /// Largest memory of a consumer that was seen, bytes.
    pub memory_peak: u64,
}

/// Makes a run in a folder, where everything stays if it fails.
///
/// # Errors
/// When servers or programs cannot be started, a fault cannot be made, or things are not well again in time.
pub fn run(rounds: &[Round], rate: u64, folder: &Path, tell: &dyn Fn(&str)) -> Result<Shown> {
    tell("starting three brokers, ZooKeeper, Redis with a replica and three Sentinels");
    let stack = servers(&folder.join("servers"))?;
    let programs = stack.folder().join("programs");
    fs::create_dir_all(&programs).with_context(|| format!("cannot make {}", programs.display()))?;
    let watch = Watch::new(&stack, &programs);
    thread::scope(|scope| {
        watch.run(scope);
        let shown = Arena::start(&stack, &programs, rate).and_then(|arena| {
            let run = Run { arena, watch: &watch, memory_peak: 0, tell };
            run.through(rounds, &stack)
        });
        watch.stop();
        shown
    })
}

struct Run<'r> {
    arena: Arena<'r>,
    watch: &'r Watch<'r>,
    memory_peak: u64,
    tell: &'r dyn Fn(&str),
}

impl Run<'_> {
    fn through(mut self, rounds: &[Round], stack: &Stack) -> Result<Shown> {
        self.until_well("the first events in all sinks")?;
        let mut outcomes = Vec::with_capacity(rounds.len());
        for (number, round) in rounds.iter().enumerate() {
            (self.tell)(&format!("{}/{} {round}", number + 1, rounds.len()));
            outcomes.push(self.round(round).with_context(|| format!("round {}, {round}", number + 1))?);
        }
        (self.tell)("the account");
        self.arena.end_producer()?;
        // Whatever the producer sent last is in the topic's ends by now or soon.
        let ends: u64 = stack.high_watermarks("logs")?.iter().map(|&end| end.unsigned_abs()).sum();
        self.wait("everything in all sinks", |sample| sample.sinks.iter().all(|&sink| sink >= ends))?;
        self.arena.pipelines.iter_mut().try_for_each(Pipeline::end)?;
        let account = Account::of(Evidence::gather(stack, &self.arena.pipelines, self.arena.producers())?)?;
        Ok(Shown { outcomes, samples: self.watch.samples(), account, memory_peak: self.memory_peak })
    }

    fn round(&mut self, round: &Round) -> Result<Outcome> {
        self.pass(round.after)?;
        let from = self.watch.now().at;
        let befell = self.arena.begin(round)?;
        self.pass(round.holds)?;
        self.arena.end(round)?;
        let until = self.watch.now().at;
        let well = self.until_well("all events in all sinks again")?;
        let ends: Vec<String> = self.arena.pipelines.iter_mut().flat_map(Pipeline::take_ends).collect();
        ensure!(ends.is_empty() || MAY_END.contains(&round.fault), "consumers ended: {}", ends.join("; "));
        Ok(Outcome { round: round.clone(), befell, from, until, well, ends })
    }

    /// Waits until all that is in the topic now is in all sinks, and something new, too; gives when.
    fn until_well(&mut self, what: &str) -> Result<f64> {
        let topic = self.watch.now().topic;
        self.wait(what, |sample| sample.sinks.iter().all(|&sink| sink > topic))
    }

    /// Lets time pass, which is what a fault is made of.
    fn pass(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look_after()?;
            thread::park_timeout(LOOK);
        }
        Ok(())
    }

    fn wait(&mut self, what: &str, met: impl Fn(&Sample) -> bool) -> Result<f64> {
        let begun = Instant::now();
        loop {
            self.look_after()?;
            let sample = self.watch.now();
            if met(&sample) {
                return Ok(sample.at);
            }
            if begun.elapsed() > PATIENCE {
                let sinks = SINKS
                    .iter()
                    .zip(sample.sinks)
                    .map(|((pipeline, sink), n)| format!("{pipeline} {sink} {n}"));
                bail!(
                    "waited {:.0} s in vain: {what}; of {} in the topic: {}",
                    PATIENCE.as_secs_f64(),
                    sample.topic,
                    sinks.collect::<Vec<_>>().join(", ")
                );
            }
            thread::park_timeout(LOOK);
        }
    }

    fn look_after(&mut self) -> Result<()> {
        self.arena.look_after()?;
        for pid in self.arena.pipelines.iter().flat_map(Pipeline::pids) {
            self.memory_peak = self.memory_peak.max(resident(pid));
        }
        Ok(())
    }
}

/// Bytes of a process in memory; none of one that has ended.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) << 10
}
