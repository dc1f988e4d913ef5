//! A run: the steady state, each fault in its turn and what it takes to be well again, and the account at the end.

use crate::arena::{Arena, servers};
use crate::audit::Account;
use crate::evidence::Evidence;
use crate::fault::{Fault, Round};
use crate::pipeline::Pipeline;
use crate::watch::{SINKS, Sample, Watch};
use anyhow::{Context, Result, bail, ensure};
use harness::Stack;
use harness::usage::usage;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Until everything is through again after a fault: only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Until everything is read once no more comes.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

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
    /// Largest memory of a consumer, bytes.
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
            let run = Run { arena, watch: &watch, memory_peak: 0, counts_skipped: false, tell };
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
    /// Whether consumers are asked what Kafka did not give them.
    counts_skipped: bool,
    tell: &'r dyn Fn(&str),
}

impl Run<'_> {
    fn through(mut self, rounds: &[Round], stack: &Stack) -> Result<Shown> {
        self.until_well("the first events in all sinks")?;
        let mut outcomes = Vec::with_capacity(rounds.len());
        for (number, round) in rounds.iter().enumerate() {
            (self.tell)(&format!("{}/{} {round}", number + 1, rounds.len()));
            outcomes
                .push(self.round(round, stack).with_context(|| format!("round {}, {round}", number + 1))?);
        }
        (self.tell)("the account");
        // What is missing then is missing for good, and the account says more of it.
        let missing = self.quiet(stack).err();
        let Run { mut arena, watch, memory_peak, .. } = self;
        arena.pipelines.iter_mut().try_for_each(Pipeline::end)?;
        let history = std::mem::take(&mut arena.history);
        let mut account =
            Account::of(&Evidence::gather(stack, history, &arena.pipelines, arena.producers())?)?;
        account.wrong.extend(missing.map(|error| format!("{error:#}")));
        Ok(Shown { outcomes, samples: watch.samples(), account, memory_peak })
    }

    fn round(&mut self, round: &Round, stack: &Stack) -> Result<Outcome> {
        self.pass(round.after)?;
        if round.fault.wants_quiet() {
            self.quiet(stack)?;
        }
        let from = self.watch.now().at;
        let begun = self.arena.begin(round)?;
        self.watch.set_before(self.arena.history.events_before());
        self.pass(round.holds)?;
        let befell = begun.befell.clone();
        begun.end(&mut self.arena)?;
        let until = self.watch.now().at;
        self.counts_skipped = round.fault == Fault::RecordsDeleted;
        let well = self.until_well("all events in all sinks again")?;
        self.counts_skipped = false;
        let ends: Vec<String> = self.arena.pipelines.iter_mut().flat_map(Pipeline::take_ends).collect();
        ensure!(ends.is_empty() || round.fault.may_end_a_consumer(), "consumers ended: {}", ends.join("; "));
        Ok(Outcome { round: round.clone(), befell, from, until, well, ends })
    }

    /// Ends the producer in order, and waits until everything is read.
    fn quiet(&mut self, stack: &Stack) -> Result<()> {
        self.arena.end_producer()?;
        // Whatever the producer sent last is in the topic's ends by now or soon.
        let ends: u64 = stack.high_watermarks("logs")?.iter().map(|&end| end.unsigned_abs()).sum();
        let ends = ends + self.arena.history.events_before();
        let read = |sample: &Sample| sample.sinks.iter().all(|&sink| sink >= ends);
        self.wait("everything in all sinks", QUIET_WITHIN, read)?;
        Ok(())
    }

    /// Waits until all that is in the topic now is in all sinks, and something new, too; gives when.
    fn until_well(&mut self, what: &str) -> Result<f64> {
        let topic = self.watch.now().topic;
        self.wait(what, PATIENCE, |sample| sample.sinks.iter().all(|&sink| sink > topic))
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

    fn wait(&mut self, what: &str, patience: Duration, met: impl Fn(&Sample) -> bool) -> Result<f64> {
        let begun = Instant::now();
        loop {
            self.look_after()?;
            let sample = self.watch.now();
            if met(&sample) {
                return Ok(sample.at);
            }
            if begun.elapsed() > patience {
                let sinks = SINKS
                    .iter()
                    .zip(sample.sinks)
                    .map(|((pipeline, sink), n)| format!("{pipeline} {sink} {n}"));
                bail!(
                    "waited {:.0} s in vain: {what}; of {} in the topic: {}",
                    patience.as_secs_f64(),
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
            self.memory_peak = self.memory_peak.max(usage(pid).memory_peak);
        }
        if self.counts_skipped {
            for (index, pipeline) in self.arena.pipelines.iter_mut().enumerate() {
                pipeline.look_at_skipped();
                self.watch.set_skipped(index, pipeline.skipped());
            }
        }
        Ok(())
    }
}
