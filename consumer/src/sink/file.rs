//! The file sink: lines gathered into blocks, one block write and one sync for many events.
//!
//! ```text
//! pipeline ──push──→ block a file ──Job::Write──→ writer thread ──Done::Durable──→ ledger
//!                       ↑ free blocks ─────────────────┘
//! ```

pub mod checkpoint;
pub mod disk;
pub mod lock;
pub mod log_file;
pub mod writer;

use crate::counts::{Counts, ServiceNames};
use crate::metrics::Metrics;
use crate::sink::dead_letter::Acknowledged;
use checkpoint::Place;
use crossbeam_channel::{Receiver, Sender, unbounded};
use log_file::{FileError, LogFile, Rotation};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use writer::{Block, Done, Durable, FileId, Job, Progress, Writer};

/// A block is handed to the writer once it has this many bytes (fewer if there are many files), sooner when the
/// writer is idle.
const BLOCK_BYTES: usize = 1 << 20;

/// Which file a partition's events go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One file for all.
    Single(PathBuf),
    /// A file each; the path holds `{partition}`.
    PerPartition(String),
}

impl Layout {
    /// The file of a partition.
    pub fn path(&self, partition: i32) -> PathBuf {
        match self {
            Layout::Single(path) => path.clone(),
            Layout::PerPartition(template) => {
                PathBuf::from(template.replace("{partition}", &partition.to_string()))
            }
        }
    }

    fn file_id(&self, partition: i32) -> FileId {
        match self {
            Layout::Single(_) => 0,
            Layout::PerPartition(_) => FileId::try_from(partition).expect("partitions are not negative"),
        }
    }
}

/// What the file sink needs to know.
#[derive(Debug, Clone)]
pub struct FileConfig {
    /// Which files.
    pub layout: Layout,
    /// Topic whose events they hold.
    pub topic: String,
    /// How this consumer signs its locks.
    pub holder: String,
    /// When files are put aside.
    pub rotation: Rotation,
    /// How long an event may wait for its sync.
    pub sync_interval: Duration,
    /// Bytes of lines under way to the disk, at the most.
    pub memory: usize,
}

/// The pipeline's end of the file sink.
pub struct FileSink {
    config: FileConfig,
    open: BTreeMap<FileId, Block>,
    free: Vec<Block>,
    in_flight_bytes: usize,
    /// When the first event came, of each block on its way.
    in_flight: VecDeque<Option<Instant>>,
    closing: usize,
    jobs: Sender<Job>,
    done: Receiver<Done>,
    durable: Durable,
    writer: JoinHandle<()>,
}

impl FileSink {
    /// Starts the writer.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        config: FileConfig,
        names: ServiceNames,
        acknowledged: Acknowledged,
        metrics: Metrics,
    ) -> std::io::Result<FileSink> {
        let (jobs, jobs_in) = unbounded();
        let (done_out, done) = unbounded();
        let durable = Durable::default();
        let writer = Writer {
            jobs: jobs_in,
            done: done_out,
            durable: durable.clone(),
            acknowledged,
            names,
            sync_interval: config.sync_interval,
            metrics,
        };
        let writer = std::thread::Builder::new().name("file".into()).spawn(move || writer.run())?;
        Ok(FileSink {
            config,
            open: BTreeMap::new(),
            free: Vec::new(),
            in_flight_bytes: 0,
            in_flight: VecDeque::new(),
            closing: 0,
            jobs,
            done,
            durable,
            writer,
        })
    }

    /// Locks and opens the file of a partition; with a single file, before any partition is known.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(config: &FileConfig, partition: i32) -> Result<LogFile, FileError> {
        LogFile::open(&config.layout.path(partition), &config.topic, &config.holder, config.rotation)
    }

    /// Takes over an open file.
    pub fn adopt(&mut self, partition: i32, file: LogFile) {
        let id = self.config.layout.file_id(partition);
        for (partition, position) in file.positions() {
            self.durable.set(partition, position.clone());
        }
        self.open.insert(id, Block { file: id, ..Block::default() });
        self.send(Job::Open(id, Box::new(file)));
    }

    /// Opens the file of a partition unless it is open.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn ensure_open(&mut self, partition: i32) -> Result<(), FileError> {
        if !self.open.contains_key(&self.config.layout.file_id(partition)) {
            let file = Self::open(&self.config, partition)?;
            self.adopt(partition, file);
        }
        Ok(())
    }

    /// What is durable, for whoever asks.
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Says that a partition is ours from `start` on.
    pub fn take_on(&mut self, partition: i32, start: Place) {
        self.durable.take_on(partition, &start);
        self.send(Job::TakeOn(self.config.layout.file_id(partition), partition, start));
    }

    /// The block that a partition's lines go into.
    pub fn block(&mut self, partition: i32) -> &mut Block {
        self.open
            .get_mut(&self.config.layout.file_id(partition))
            .expect("the file of an assigned partition is open")
    }

    /// True while the writer can be given more.
    pub fn has_room(&self) -> bool {
        self.in_flight_bytes < self.config.memory
    }

    /// Hands the blocks to the writer that are full, or (if the writer is idle, or `all`) have anything.
    /// `progress` gives and clears what moved on in a file since its last block; it may be empty.
    pub fn flush(&mut self, all: bool, rejected: u64, mut progress: impl FnMut(FileId) -> Vec<Progress>) {
        let any = all || self.in_flight.is_empty();
        let full_at = BLOCK_BYTES.min(self.config.memory / self.open.len().max(1));
        for (&id, block) in &mut self.open {
            if block.lines.len() < full_at && !any {
                continue;
            }
            let progress = progress(id);
            if progress.is_empty() {
                continue;
            }
            let mut fresh = self.free.pop().unwrap_or_default();
            fresh.file = id;
            let mut full = std::mem::replace(block, fresh);
            full.progress = progress;
            full.rejected = rejected;
            self.in_flight_bytes += full.lines.len();
            self.in_flight.push_back(full.since);
            // As in `send`.
            let _ = self.jobs.send(Job::Write(full));
        }
    }

    /// Closes the file of a partition that is no longer ours; a single file stays open.
    pub fn close(&mut self, partition: i32) {
        let id = self.config.layout.file_id(partition);
        if matches!(self.config.layout, Layout::PerPartition(_)) && self.open.remove(&id).is_some() {
            self.closing += 1;
            self.send(Job::Close(id));
        }
    }

    /// The writer says that it closed a file.
    pub fn closed(&mut self) {
        self.closing -= 1;
    }

    /// True while a file is still to be closed.
    pub fn is_closing(&self) -> bool {
        self.closing > 0
    }

    /// When the oldest event came that is not durable yet.
    pub fn oldest_unsynced(&self) -> Option<Instant> {
        let open = self.open.values().filter_map(|block| block.since);
        open.chain(self.in_flight.iter().flatten().copied()).min()
    }

    /// The file of a partition.
    pub fn file_id(&self, partition: i32) -> FileId {
        self.config.layout.file_id(partition)
    }

    /// Where the writer's answers arrive.
    pub fn done(&self) -> &Receiver<Done> {
        &self.done
    }

    /// Takes a block's memory back.
    pub fn recycle(&mut self, mut block: Block) {
        self.in_flight_bytes -= block.lines.len();
        self.in_flight.pop_front();
        block.lines.clear();
        block.progress.clear();
        block.dues.clear();
        block.events = 0;
        block.since = None;
        if self.free.len() * BLOCK_BYTES < self.config.memory {
            self.free.push(block);
        }
    }

    /// Ends the writer once it has made everything durable and let go of its files.
    pub fn stop(self) {
        drop(self.jobs);
        // A panic of the writer was told as its own message; there is nothing left to do about it here.
        let _ = self.writer.join();
    }

    fn send(&self, job: Job) {
        // A writer that has ended has said why: that is waiting in `done`.
        let _ = self.jobs.send(job);
    }
}

impl Block {
    /// Adds one line.
    pub fn push(&mut self, line: &[u8], due: Option<u64>) {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        self.dues.extend(due);
        self.events += 1;
        if self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }
}

impl Progress {
    /// Of a partition, with a copy of its totals.
    pub fn new(partition: i32, next: i64, totals: &Counts) -> Progress {
        Progress { partition, next, totals: totals.clone() }
    }
}
