//! The stopwatch: a program watched from outside, from the first event it has done to the last.

use anyhow::{Result, ensure};
use harness::Program;
use std::time::{Duration, Instant};

use super::arena::last_words;
use harness::usage::{Usage, usage};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Until the first event must be done; a virtual machine has started up by then.
const FIRST_WITHIN: Duration = Duration::from_secs(60);

/// From the first event done until the watch ends: what is slower is measured on what it got done.
const LIMIT: Duration = Duration::from_secs(30);

/// How much of its work a program has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Events in at least one of its sinks.
    pub(super) begun: u64,
    /// Events in all of them.
    pub(super) done: u64,
}

impl Done {
    /// Of a program with one sink.
    pub(super) fn of(done: u64) -> Done {
        Done { begun: done, done }
    }
}

/// From the last look at which nothing had been done to the first at which everything was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Events done.
    pub(super) done: u64,
    /// How long it took, s.
    pub(super) seconds: f64,
    /// CPU of the program in that time, s.
    pub(super) cpu_seconds: f64,
    /// Largest resident memory, bytes.
    pub(super) memory_peak: u64,
}

/// Watches a program until it has done `goal` events, time is up, or it ends by itself.
///
/// # Errors
/// When it ends with a failure, or has done nothing after a minute.
pub(super) fn watch(
    program: &mut Program,
    goal: u64,
    mut look: impl FnMut(&Program) -> Result<Done>,
) -> Result<Window> {
    let started = Instant::now();
    let mut stopwatch = Stopwatch::new(started, usage(program.pid()));
    loop {
        let ended = !program.is_running()?;
        let done = look(program)?;
        let now = Instant::now();
        stopwatch.see(now, done, usage(program.pid()));
        if done.done >= goal || now - stopwatch.first.0 > LIMIT {
            break;
        }
        if ended {
            ensure!(program.wait(Duration::ZERO)?.success(), "it failed: {}", last_words(program));
            break;
        }
        ensure!(
            done.begun > 0 || now - started < FIRST_WITHIN,
            "nothing was done within {FIRST_WITHIN:?}: {}",
            last_words(program)
        );
        std::thread::park_timeout(LOOK);
    }
    ensure!(stopwatch.done > 0, "nothing was done: {}", last_words(program));
    Ok(stopwatch.window())
}

/// The two looks that count, and how much was done between them.
#[derive(Debug)]
struct Stopwatch {
    first: (Instant, Usage),
    last: (Instant, Usage),
    done: u64,
    memory_peak: u64,
}

impl Stopwatch {
    fn new(now: Instant, usage: Usage) -> Stopwatch {
        Stopwatch { first: (now, usage), last: (now, usage), done: 0, memory_peak: 0 }
    }

    fn see(&mut self, now: Instant, done: Done, usage: Usage) {
        // Of a program that has just ended the kernel knows no memory any more.
        self.memory_peak = self.memory_peak.max(usage.memory_peak);
        if done.begun == 0 {
            self.first = (now, usage);
        }
        if done.done > self.done {
            self.done = done.done;
            // Nothing can be read of a program that has ended: then what was read last counts.
            let usage = if usage == Usage::default() { self.last.1 } else { usage };
            self.last = (now, usage);
        }
    }

    fn window(&self) -> Window {
        let ((from, before), (to, after)) = (self.first, self.last);
        Window {
            done: self.done,
            seconds: (to - from).as_secs_f64(),
            cpu_seconds: (after.cpu_seconds - before.cpu_seconds).max(0.0),
            memory_peak: self.memory_peak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_from_the_first_event_begun_to_the_last_done() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let used = |cpu_seconds| Usage { cpu_seconds, memory_peak: 7 };
        let mut stopwatch = Stopwatch::new(start, used(0.0));
        stopwatch.see(at(1000), Done { begun: 0, done: 0 }, used(1.0));
        stopwatch.see(at(1020), Done { begun: 9, done: 0 }, used(1.5));
        stopwatch.see(at(1040), Done { begun: 9, done: 6 }, used(2.0));
        stopwatch.see(at(2000), Done { begun: 12, done: 12 }, used(3.0));
        stopwatch.see(at(9000), Done { begun: 12, done: 12 }, used(4.0));
        let window = stopwatch.window();
        assert_eq!((window.done, window.seconds, window.cpu_seconds), (12, 1.0, 2.0));
        assert_eq!(window.memory_peak, 7);
    }
}
