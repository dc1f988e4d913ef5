//! How far everything is, seen from outside: the topic's ends, the files' lines, Redis' counters.

use crate::pipeline::files;
use anyhow::Result;
use harness::Stack;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(200);

/// One question to a server.
const EXCHANGE: Duration = Duration::from_secs(1);

/// The sinks that are watched: file and Redis of each pipeline, in the order of [`SINKS`].
pub const SINKS: [(&str, &str); 4] =
    [("single", "file"), ("single", "Redis"), ("shared", "file"), ("shared", "Redis")];

/// Events there were at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// s after the start.
    pub at: f64,
    /// In the topic.
    pub topic: u64,
    /// In each of [`SINKS`].
    pub sinks: [u64; 4],
}

/// What threads of its own see.
#[derive(Debug)]
pub struct Watch<'s> {
    stack: &'s Stack,
    folder: PathBuf,
    begun: Instant,
    topic: AtomicU64,
    /// Events of topics of that name that are gone.
    before: AtomicU64,
    sinks: [AtomicU64; 4],
    /// By pipeline: what neither of its sinks will ever have.
    skipped: [AtomicU64; 2],
    samples: Mutex<Vec<Sample>>,
    over: AtomicBool,
}

impl<'s> Watch<'s> {
    /// Of the pipelines whose folders are in `folder`.
    pub fn new(stack: &'s Stack, folder: &Path) -> Watch<'s> {
        Watch {
            stack,
            folder: folder.to_owned(),
            begun: Instant::now(),
            topic: AtomicU64::new(0),
            before: AtomicU64::new(0),
            sinks: Default::default(),
            skipped: Default::default(),
            samples: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// Watches until [`stop`](Watch::stop).
    pub fn run<'a>(&'a self, scope: &'a thread::Scope<'a, '_>) {
        scope.spawn(move || self.repeat(|| self.look_at_topic()));
        for (index, (pipeline, _)) in SINKS.into_iter().enumerate().step_by(2) {
            let mut files = HashMap::new();
            scope.spawn(move || {
                self.repeat(|| {
                    let lines = count_lines(&self.folder.join(pipeline), &mut files);
                    self.sinks[index].store(lines, Ordering::Relaxed);
                });
            });
            scope.spawn(move || {
                self.repeat(|| {
                    if let Ok(counted) = self.counted(pipeline) {
                        self.sinks[index + 1].store(counted, Ordering::Relaxed);
                    }
                });
            });
        }
        scope.spawn(move || {
            self.repeat(|| {
                let sample = self.now();
                self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            });
        });
    }

    /// Ends the threads.
    pub fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// How far everything is. What Kafka deleted unread counts as if the sinks had it.
    pub fn now(&self) -> Sample {
        let sink = |index: usize| {
            self.sinks[index].load(Ordering::Relaxed) + self.skipped[index / 2].load(Ordering::Relaxed)
        };
        Sample {
            at: self.begun.elapsed().as_secs_f64(),
            topic: self.topic.load(Ordering::Relaxed),
            sinks: std::array::from_fn(sink),
        }
    }

    /// The topic is another one, and so many events were in those before. To be said when no broker knows these any
    /// more.
    pub fn set_before(&self, events: u64) {
        self.before.store(events, Ordering::Relaxed);
    }

    /// So many events a pipeline will never have, since Kafka deleted them unread.
    pub fn set_skipped(&self, pipeline: usize, events: u64) {
        self.skipped[pipeline].store(events, Ordering::Relaxed);
    }

    /// All samples so far.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn repeat(&self, mut look: impl FnMut()) {
        while !self.over.load(Ordering::Relaxed) {
            look();
            thread::park_timeout(SAMPLE);
        }
    }

    /// A broker that does not answer leaves the last count of its partitions.
    fn look_at_topic(&self) {
        let ends = || -> Result<u64> {
            let config = [("bootstrap.servers".to_owned(), self.stack.bootstrap())];
            let client: BaseConsumer = ClientConfig::from_iter(config).create()?;
            loop {
                let metadata = client.fetch_metadata(Some("logs"), EXCHANGE)?;
                let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
                // First this: the ends may be those of a younger topic, never of an older one.
                let mut sum = self.before.load(Ordering::Relaxed);
                for partition in 0..i32::try_from(partitions)? {
                    sum += u64::try_from(client.fetch_watermarks("logs", partition, EXCHANGE)?.1)?;
                }
                self.topic.fetch_max(sum, Ordering::Relaxed);
                if self.over.load(Ordering::Relaxed) {
                    return Ok(sum);
                }
                thread::park_timeout(SAMPLE);
            }
        };
        // Tried again with a new client.
        ends().ok();
    }

    fn counted(&self, prefix: &str) -> Result<u64> {
        let mut redis = self.stack.redis()?;
        let levels: HashMap<String, u64> =
            redis::cmd("HGETALL").arg(format!("{prefix}:levels")).query(&mut redis)?;
        Ok(levels.values().sum())
    }
}

/// Lines in all `.txt` of a folder. Of a file that has grown only the new part is read.
fn count_lines(folder: &Path, known: &mut HashMap<PathBuf, (u64, u64)>) -> u64 {
    let mut sum = 0;
    // No folder yet: no lines.
    for path in files(folder).unwrap_or_default() {
        let (length, lines) = known.entry(path.clone()).or_default();
        let new = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if new < *length {
            (*length, *lines) = (0, 0);
        }
        let mut part = Vec::new();
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(*length))?;
            file.take(new - *length).read_to_end(&mut part)
        });
        // Gone in this moment: it is under another name by the next.
        if read.is_ok() {
            *length += part.len() as u64;
            *lines += part.iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        sum += *lines;
    }
    sum
}
