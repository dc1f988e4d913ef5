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

#[cfg(test)]
mod tests {
    use super::*;
    use common::level::Level;

    const SYNC_INTERVAL: Duration = Duration::from_secs(4);

    fn sink(folder: &tempfile::TempDir) -> FileSink {
        let config = FileConfig {
            layout: Layout::Single(folder.path().join("logs.txt")),
            topic: "logs".into(),
            holder: "a test".into(),
            rotation: Rotation::default(),
            sync_interval: SYNC_INTERVAL,
            memory: 1 << 20,
        };
        let file = FileSink::open(&config, 0).unwrap();
        let mut sink =
            FileSink::start(config, ServiceNames::default(), Acknowledged::default(), Metrics::new().0)
                .unwrap();
        sink.adopt(0, file);
        sink.take_on(0, Place { offset: 0, topic_id: None });
        sink
    }

    /// One more event, offered to the writer. True if it took what there was.
    fn push(sink: &mut FileSink, next: i64) -> bool {
        sink.block(0).push(b"{}", None);
        flush(sink, next)
    }

    fn flush(sink: &mut FileSink, next: i64) -> bool {
        let mut totals = Counts::default();
        totals.add(Level::Info, None);
        let before = sink.in_flight.len();
        sink.flush(false, 0, |_| vec![Progress::new(0, next, &totals)]);
        sink.in_flight.len() > before
    }

    /// Given a writer with something to sync, then what comes meanwhile is handed over before that sync is due, and
    /// not an event at a time.
    #[test]
    fn what_comes_before_a_sync_is_synced_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(&folder);
        let started = Instant::now();
        assert!(push(&mut sink, 1), "an idle writer takes all at once");
        let began = Instant::now();
        assert!(!push(&mut sink, 2), "a busy one doesn't");
        while !flush(&mut sink, 2) {
            assert!(started.elapsed() < SYNC_INTERVAL, "it would have waited for the next sync");
            std::thread::yield_now();
        }
        assert!(began.elapsed() >= SYNC_INTERVAL / FRACTION);
        sink.stop();
        assert_eq!(std::fs::read(folder.path().join("logs.txt")).unwrap(), b"{}\n{}\n");
    }
}
