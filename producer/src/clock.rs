//! The one clock of a run.

use common::event::now_micros;
use std::time::Instant;

/// µs since the epoch, which never go back: the wall clock is read once, the rest is elapsed time. So a clock
/// that is set during the run bends neither the schedule nor a latency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_micros: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Clock {
        Clock { started: Instant::now(), started_micros: now_micros() }
    }

    /// When it started, µs since the epoch.
    pub(crate) fn started(&self) -> u64 {
        self.started_micros
    }

    /// Now, µs since the epoch.
    pub(crate) fn now(&self) -> u64 {
        self.started_micros + self.started.elapsed().as_micros() as u64
    }
}
