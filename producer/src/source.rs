//! Where events come from.

pub(crate) mod ship;
mod simulate;

pub use simulate::{DEFAULT_SERVICES, Scene, Simulator};

use crate::batch::Batch;
use crate::clock::Clock;
use crate::config::{Impossible, Work};
use crate::pace::Pace;
use chrono::{DateTime, Utc};
use ship::{Counters, Ship, ShippedLine};
use std::time::Duration;

/// Most events of a simulated batch: what stays in a processor's cache.
const BATCH: usize = 1_000;

/// A source of events, numbered from 1 without gaps.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made up, on a schedule.
    Simulate {
        /// When.
        pace: Pace,
        /// What.
        simulator: Box<Simulator>,
        /// Due times of a batch, kept for their memory.
        dues: Vec<u64>,
    },
    /// Lines of files.
    Ship {
        /// The files.
        ship: Box<Ship>,
        /// Events of a batch, kept for their memory.
        lines: Vec<ShippedLine>,
        /// Identity of the run.
        producer: String,
        /// Give each event its service as key.
        keyed: bool,
        /// The last number given.
        last_seq: u64,
    },
}

/// How it stands after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There may be more at once.
    More,
    /// Nothing for now.
    Idle,
    /// Nothing any more.
    End,
}

impl Source {
    /// Gets ready; the schedule starts with the clock.
    ///
    /// # Errors
    /// [`Impossible`] when a file cannot be shipped.
    pub(crate) fn open(work: &Work, producer: &str, keyed: bool) -> Result<Source, Impossible> {
        match work {
            Work::Simulate { schedule, scene } => Ok(Source::Simulate {
                pace: Pace::new(*schedule, 0),
                simulator: Box::new(Simulator::new(scene)),
                dues: Vec::new(),
            }),
            Work::Ship(args) => Ok(Source::Ship {
                ship: Box::new(Ship::open(args, producer).map_err(|error| Impossible(format!("{error:#}")))?),
                lines: Vec::new(),
                producer: producer.to_owned(),
                keyed,
                last_seq: 0,
            }),
        }
    }

    /// The schedule starts now, and not while a broker was waited for.
    pub(crate) fn start(&mut self, clock: Clock) {
        match self {
            Source::Simulate { pace, .. } => pace.start(clock.started()),
            Source::Ship { .. } => {}
        }
    }

    /// Replaces what is in `batch` by the events that are there at `now`, µs since the epoch.
    pub(crate) fn next_batch(&mut self, now: u64, batch: &mut Batch) -> State {
        batch.clear();
        match self {
            Source::Simulate { pace, simulator, dues } => {
                pace.take(now, BATCH, dues);
                simulator.render(dues, batch);
                match dues.len() {
                    _ if pace.is_done() => State::End,
                    BATCH => State::More,
                    _ => State::Idle,
                }
            }
            Source::Ship { ship, lines, .. } => {
                let state = match ship.next_batch(time(now), lines) {
                    ship::State::More => State::More,
                    ship::State::Idle => State::Idle,
                    ship::State::End => State::End,
                };
                self.number_lines(batch);
                state
            }
        }
    }

    /// Ends early: replaces what is in `batch` by the events that were begun.
    pub(crate) fn finish(&mut self, now: u64, batch: &mut Batch) {
        batch.clear();
        match self {
            Source::Simulate { .. } => {}
            Source::Ship { ship, lines, .. } => {
                ship.finish(time(now), lines);
                self.number_lines(batch);
            }
        }
    }

    fn number_lines(&mut self, batch: &mut Batch) {
        let Source::Ship { lines, producer, keyed, last_seq, .. } = self else {
            return;
        };
        for line in lines.drain(..) {
            let seq = if line.has_identity() {
                0
            } else {
                *last_seq += 1;
                *last_seq
            };
            let key = line.service().filter(|_| *keyed).map(str::to_owned);
            batch.push(seq, key.as_deref().map(str::as_bytes), |bytes| line.encode(producer, seq, bytes));
        }
    }

    /// Waits until there may be something new, if that takes long: true when it has waited. The steps of a
    /// schedule are so short that one waits for acknowledgements meanwhile.
    pub(crate) fn wait(&mut self, at_most: Duration) -> bool {
        match self {
            Source::Simulate { .. } => false,
            Source::Ship { ship, .. } => {
                ship.wait(at_most);
                true
            }
        }
    }

    /// To be called while no batch is asked for.
    pub(crate) fn look(&mut self) {
        match self {
            Source::Simulate { .. } => {}
            Source::Ship { ship, .. } => ship.look(),
        }
    }

    /// Events in all, if that is known.
    pub(crate) fn total(&self) -> Option<u64> {
        match self {
            Source::Simulate { pace, .. } => pace.total(),
            Source::Ship { .. } => None,
        }
    }

    /// Events that are due and not taken yet.
    pub(crate) fn behind(&self, now: u64) -> u64 {
        match self {
            Source::Simulate { pace, .. } => pace.behind(now),
            Source::Ship { .. } => 0,
        }
    }

    /// What was read, of files.
    pub(crate) fn counters(&self) -> Option<Counters> {
        match self {
            Source::Simulate { .. } => None,
            Source::Ship { ship, .. } => Some(ship.counters()),
        }
    }
}

fn time(micros: u64) -> DateTime<Utc> {
    i64::try_from(micros).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_default()
}
