//! The file sink: lines gathered into blocks, one block write and one sync for many events.
//!
//! ```text
//! worker ──push──→ block a file ──Job::Write──→ writer thread ──Done::Durable──→ ledger
//!                     ↑ free blocks ─────────────────┘
//! ```
//!
//! The workers of a process share the writer, and a single file; each has its own blocks.

pub mod checkpoint;
pub mod disk;
pub mod lock;
pub mod log_file;
mod moved;
mod owners;
pub mod writer;

use crate::counts::{Counts, ServiceNames};
use crate::metrics::Metrics;
use crate::sink::dead_letter::Acknowledged;
use checkpoint::{Links, Place};
use crossbeam_channel::{Receiver, Sender, unbounded};
use lock::LockError;
use log_file::{FileError, LogFile, Rotation};
use owners::Owners;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use writer::{Block, Done, Durable, FileId, Job, Progress, Writer};

/// A block is handed to the writer once it has this many bytes (fewer if there are many files), sooner when the
/// writer is idle, or [`FRACTION`] says so.
const BLOCK_BYTES: usize = 1 << 20;

/// A block is handed over at the latest this fraction of the sync interval after its first event: what the writer
/// has before its next sync is synced with it, the rest waits for the one after.
const FRACTION: u32 = 4;

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

    /// Whether `path` is one of the files, or stands beside one for its checkpoint or its lock.
    pub fn has(&self, path: &Path) -> bool {
        // `./logs.txt` is `logs.txt`.
        let whole = |path: &Path| {
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
        };
        let path = whole(path);
        let beside = [".checkpoint", ".lock"].into_iter().filter_map(|end| path.strip_suffix(end));
        let mut of = beside.chain([path.as_str()]);
        match self {
            Layout::Single(file) => of.any(|path| path == whole(file)),
            Layout::PerPartition(template) => {
                let template = whole(Path::new(template));
                let before = template.split("{partition}").next().unwrap_or_default();
                let after = template.rsplit("{partition}").next().unwrap_or_default();
                of.any(|path| path.starts_with(before) && path.ends_with(after))
            }
        }
    }

    /// Whether the file may be a symbolic link.
    fn links(&self) -> Links {
        match self {
            Layout::Single(_) => Links::Follow,
            Layout::PerPartition(_) => Links::Refuse,
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
    /// Bytes of a worker's lines under way to the disk, at the most.
    pub memory: usize,
}

/// A worker's end of the file sink.
pub struct FileSink {
    config: FileConfig,
    worker: usize,
    owners: Owners,
    open: BTreeMap<FileId, Block>,
    /// Random names of those files, by which commits name them.
    names: BTreeMap<FileId, String>,
    free: Vec<Block>,
    in_flight_bytes: usize,
    /// When the first event came, of each block on its way.
    in_flight: VecDeque<Option<Instant>>,
    closing: usize,
    jobs: Sender<Job>,
    done: Receiver<Done>,
    durable: Durable,
}

impl FileSink {
    /// Starts the writer, with the single file if that is the layout, for so many workers. The writer ends once it
    /// has made everything durable that the last of them left behind, and let go of its files.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        config: &FileConfig,
        workers: usize,
        single: Option<LogFile>,
        names: ServiceNames,
        acknowledged: Acknowledged,
        metrics: Metrics,
    ) -> std::io::Result<(Vec<FileSink>, JoinHandle<()>)> {
        let (jobs, jobs_in) = unbounded();
        let (done, done_in): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded()).unzip();
        let (durable, owners) = (Durable::default(), Owners::default());
        let writer = Writer {
            jobs: jobs_in,
            done,
            durable: durable.clone(),
            acknowledged,
            names,
            sync_interval: config.sync_interval,
            metrics,
        };
        let writer = std::thread::Builder::new().name("file".into()).spawn(move || writer.run())?;
        let sink = |(worker, done)| FileSink {
            config: config.clone(),
            worker,
            owners: owners.clone(),
            open: BTreeMap::new(),
            names: BTreeMap::new(),
            free: Vec::new(),
            in_flight_bytes: 0,
            in_flight: VecDeque::new(),
            closing: 0,
            jobs: jobs.clone(),
            done,
            durable: durable.clone(),
        };
        let mut sinks: Vec<FileSink> = done_in.into_iter().enumerate().map(sink).collect();
        if let Some(file) = single {
            for sink in &mut sinks {
                sink.names.insert(0, file.id().to_owned());
                sink.open.insert(0, sink.fresh_block(0));
            }
            sinks[0].hand_over(0, file);
        }
        Ok((sinks, writer))
    }

    /// Locks and opens the file of a partition; with a single file, before any partition is known.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(config: &FileConfig, partition: i32) -> Result<LogFile, FileError> {
        let FileConfig { layout, topic, holder, rotation, .. } = config;
        LogFile::open(&layout.path(partition), layout.links(), topic, holder, *rotation)
    }

    /// Makes the file of a partition ours to write it into: opened, unless it is open, and of no other worker.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn ensure_open(&mut self, partition: i32) -> Result<(), FileError> {
        if let Layout::Single(_) = self.config.layout {
            let claim = self.owners.claim(partition, self.worker);
            return claim.map_err(|holder| LockError::Held(holder).into());
        }
        let id = self.config.layout.file_id(partition);
        if !self.open.contains_key(&id) {
            let file = Self::open(&self.config, partition)?;
            self.names.insert(id, file.id().to_owned());
            self.hand_over(id, file);
            self.open.insert(id, self.fresh_block(id));
        }
        Ok(())
    }

    /// Gives an open file to the writer.
    fn hand_over(&self, id: FileId, file: LogFile) {
        // A checkpoint that was renamed with its file may name partitions that have files of their own by now.
        let ours = |partition| self.config.layout.file_id(partition) == id;
        for (partition, position) in file.positions().filter(|&(partition, _)| ours(partition)) {
            self.durable.set(partition, position.clone());
        }
        self.send(Job::Open(id, Box::new(file)));
    }

    fn fresh_block(&self, id: FileId) -> Block {
        Block { file: id, worker: self.worker, ..Block::default() }
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

    /// Hands the blocks to the writer that are full or have waited, or (if the writer is idle, or `all`) have anything.
    /// `progress` gives and clears what moved on in a file since its last block; it may be empty.
    pub fn flush(&mut self, all: bool, rejected: u64, mut progress: impl FnMut(FileId) -> Vec<Progress>) {
        let any = all || self.in_flight.is_empty();
        let full_at = BLOCK_BYTES.min(self.config.memory / self.open.len().max(1));
        let wait = self.config.sync_interval / FRACTION;
        for (&id, block) in &mut self.open {
            let full = block.lines.len() >= full_at;
            if !any && !full && block.since.is_none_or(|since| since.elapsed() < wait) {
                continue;
            }
            let progress = progress(id);
            if progress.is_empty() {
                continue;
            }
            let fresh = Block { file: id, worker: self.worker, ..self.free.pop().unwrap_or_default() };
            let mut full = std::mem::replace(block, fresh);
            full.progress = progress;
            full.rejected = rejected;
            self.in_flight_bytes += full.lines.len();
            self.in_flight.push_back(full.since);
            // As in `send`.
            let _ = self.jobs.send(Job::Write(full));
        }
    }

    /// Closes the file of a partition that is no longer ours and has nothing under way; a single file stays open,
    /// for whichever worker has the partition next.
    pub fn close(&mut self, partition: i32) {
        if let Layout::Single(_) = self.config.layout {
            self.owners.release(partition, self.worker);
            return;
        }
        let id = self.config.layout.file_id(partition);
        if self.open.remove(&id).is_some() {
            self.names.remove(&id);
            self.closing += 1;
            self.send(Job::Close(id, self.worker));
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

    /// Random name of the file of a partition, while that is open.
    pub fn name(&self, partition: i32) -> Option<&str> {
        self.names.get(&self.config.layout.file_id(partition)).map(String::as_str)
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

#[cfg(test)]
mod tests;
