//! The thread that writes: blocks in, durable positions out.
//!
//! It writes whatever is queued, then syncs once for all of it: at the latest after the sync interval, at once
//! when there was nothing for that long, and every [`SYNC_BYTES`] under load.

use super::log_file::LogFile;
use crate::counts::{Counts, ServiceNames};
use crate::metrics::{Metrics, Sink, SinkLabel, Stage, StageLabel};
use crate::sink::dead_letter::Acknowledged;
use crate::sink::file::checkpoint::{Place, Position};
use common::event::now_micros;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes written before a sync is due whatever the time.
const SYNC_BYTES: usize = 4 << 20;

/// Which of the open files.
pub type FileId = usize;

/// Lines for one file, and what is true of it once they are durable.
#[derive(Debug, Default)]
pub struct Block {
    /// The file.
    pub file: FileId,
    /// The worker that filled it, and gets it back.
    pub worker: usize,
    /// Whole lines.
    pub lines: Vec<u8>,
    /// Of every partition that moved on.
    pub progress: Vec<Progress>,
    /// Due times of the events, µs since the epoch.
    pub dues: Vec<u64>,
    /// Events in it.
    pub events: u64,
    /// Number of the last rejected event before its end: the broker must have it first.
    pub rejected: u64,
    /// When its first event came.
    pub since: Option<Instant>,
}

/// A partition's position, and counts of all its events in the file up to there.
#[derive(Debug)]
pub struct Progress {
    /// The partition.
    pub partition: i32,
    /// Everything below is in the file.
    pub next: i64,
    /// Over the file's whole life.
    pub totals: Counts,
}

/// What the writer is asked.
#[derive(Debug)]
pub enum Job {
    /// Takes a file over.
    Open(FileId, Box<LogFile>),
    /// A partition is ours from here on.
    TakeOn(FileId, i32, Place),
    /// Writes.
    Write(Block),
    /// Makes all durable and lets the file go, as a worker wants.
    Close(FileId, usize),
}

/// What the writer tells a worker.
#[derive(Debug)]
pub enum Done {
    /// A block is durable; its memory may be used again.
    Durable(Block),
    /// A file is closed and unlocked.
    Closed,
    /// Nothing more can be written.
    Failed(String),
}

/// What is durable in the files now, by partition: from here a Redis without data is filled.
#[derive(Debug, Clone, Default)]
pub struct Durable(Arc<Mutex<BTreeMap<i32, Position>>>);

impl Durable {
    /// Notes a position.
    pub fn set(&self, partition: i32, position: Position) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, position);
    }

    /// A partition is read from here on: what follows on a crash, too, since the same is found again.
    pub fn take_on(&self, partition: i32, start: &Place) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(partition).or_default().take_on(start);
    }

    /// The position of a partition.
    pub fn get(&self, partition: i32) -> Option<Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).cloned()
    }
}

/// The writing thread's state.
pub struct Writer {
    /// Jobs from the workers.
    pub jobs: Receiver<Job>,
    /// Answers, by worker.
    pub done: Vec<Sender<Done>>,
    /// What Redis may be told.
    pub durable: Durable,
    /// Rejected events that the broker has.
    pub acknowledged: Acknowledged,
    /// Names of the services in totals.
    pub names: ServiceNames,
    /// How long an event may wait for its sync.
    pub sync_interval: Duration,
    /// Where figures go.
    pub metrics: Metrics,
}

impl Writer {
    /// Works until the last worker drops its end; then all is durable.
    pub fn run(self) {
        let mut state =
            State { files: BTreeMap::new(), unsynced: Vec::new(), bytes: 0, last_sync: Instant::now() };
        if let Err((path, error)) = self.work(&mut state) {
            for worker in 0..self.done.len() {
                self.tell(worker, Done::Failed(format!("{path}: {error}")));
            }
        }
    }

    fn tell(&self, worker: usize, done: Done) {
        // A worker that is gone needs no answer.
        let _ = self.done[worker].send(done);
    }

    fn work(&self, state: &mut State) -> Result<(), (String, io::Error)> {
        loop {
            let wait = if state.unsynced.is_empty() {
                Duration::from_secs(1)
            } else {
                self.sync_interval.saturating_sub(state.last_sync.elapsed())
            };
            match self.jobs.recv_timeout(wait) {
                Ok(Job::Open(id, file)) => drop(state.files.insert(id, *file)),
                Ok(Job::TakeOn(id, partition, start)) => self.take_on(state, id, partition, &start)?,
                Ok(Job::Write(block)) => {
                    let file = state.open_file(block.file);
                    file.append(&block.lines).map_err(|error| at(file, error))?;
                    state.bytes += block.lines.len();
                    state.unsynced.push(block);
                    let rested = state.last_sync.elapsed() >= self.sync_interval && self.jobs.is_empty();
                    if rested || state.bytes >= SYNC_BYTES {
                        self.sync(state)?;
                    }
                }
                Ok(Job::Close(id, worker)) => {
                    self.sync(state)?;
                    let closed = state.files.remove(&id);
                    closed.into_iter().try_for_each(end)?;
                    self.tell(worker, Done::Closed);
                }
                Err(RecvTimeoutError::Timeout) => self.sync(state)?,
                Err(RecvTimeoutError::Disconnected) => {
                    self.sync(state)?;
                    return std::mem::take(&mut state.files).into_values().try_for_each(end);
                }
            }
        }
    }

    /// A partition is ours. Reading it elsewhere than the checkpoint says is a decision, which a crash must not undo.
    fn take_on(
        &self,
        state: &mut State,
        id: FileId,
        partition: i32,
        start: &Place,
    ) -> Result<(), (String, io::Error)> {
        let position = state.open_file(id).position(partition);
        let elsewhere = position.is_some_and(|position| position.next != start.offset);
        if elsewhere {
            // What was appended counts with the next checkpoint, so the positions that go with it must be in that, too.
            self.sync(state)?;
        }
        let file = state.open_file(id);
        file.take_on(partition, start);
        if elsewhere {
            file.write_checkpoint().map_err(|error| at(file, error))?;
        }
        Ok(())
    }

    /// Bytes → sync → checkpoint → sync, of every file that has something new; then looks after the files.
    fn sync(&self, state: &mut State) -> Result<(), (String, io::Error)> {
        let started = Instant::now();
        let rejected = state.unsynced.iter().map(|block| block.rejected).max();
        for (id, file) in &mut state.files {
            let mut blocks = state.unsynced.iter().filter(|block| block.file == *id).peekable();
            if blocks.peek().is_none() {
                file.look_after().map_err(|error| at(file, error))?;
                continue;
            }
            file.sync().map_err(|error| at(file, error))?;
            self.acknowledged.wait_for(rejected.unwrap_or(0));
            for progress in blocks.flat_map(|block| &block.progress) {
                file.advance(progress.partition, progress.next, &progress.totals, &self.names);
            }
            file.write_checkpoint().map_err(|error| at(file, error))?;
            file.look_after().map_err(|error| at(file, error))?;
            file.rotate_if_due().map_err(|error| at(file, error))?;
        }
        if state.unsynced.is_empty() {
            return Ok(());
        }
        state.last_sync = Instant::now();
        self.metrics.sync_seconds.observe(started.elapsed().as_secs_f64());
        let now = now_micros();
        let synced = self.metrics.latency.get_or_create(&StageLabel { stage: Stage::synced }).clone();
        let (mut events, mut bytes) = (0, 0);
        for block in state.unsynced.drain(..) {
            synced.record(now, &block.dues);
            events += block.events;
            bytes += block.lines.len() as u64;
            for progress in &block.progress {
                let position =
                    state.files.get(&block.file).and_then(|file| file.position(progress.partition));
                if let Some(position) = position {
                    self.durable.set(progress.partition, position.clone());
                }
            }
            self.tell(block.worker, Done::Durable(block));
        }
        state.bytes = 0;
        let label = SinkLabel { sink: Sink::file };
        self.metrics.events_out.get_or_create(&label).inc_by(events);
        self.metrics.bytes_out.get_or_create(&label).inc_by(bytes);
        Ok(())
    }
}

struct State {
    files: BTreeMap<FileId, LogFile>,
    unsynced: Vec<Block>,
    bytes: usize,
    last_sync: Instant,
}

impl State {
    fn open_file(&mut self, id: FileId) -> &mut LogFile {
        self.files.get_mut(&id).expect("a file is used between open and close")
    }
}

fn end(mut file: LogFile) -> Result<(), (String, io::Error)> {
    file.end().map_err(|error| at(&file, error))
}

fn at(file: &LogFile, error: io::Error) -> (String, io::Error) {
    (file.path().display().to_string(), error)
}
