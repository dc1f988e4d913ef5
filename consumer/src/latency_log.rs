//! Latencies over time, in a file that the tools for HdrHistogram read: a line a second and stage, in µs.

use crate::metrics::latency::{Latency, empty};
use crate::metrics::{Metrics, Stage, StageLabel};
use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::fs::File;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const INTERVAL: Duration = Duration::from_secs(1);

/// The thread that writes the log.
pub struct LatencyLog {
    stop: Sender<()>,
    writer: JoinHandle<anyhow::Result<()>>,
}

impl LatencyLog {
    /// Creates the file, over an older one, and starts writing.
    ///
    /// # Errors
    /// When the file can't be created.
    pub fn start(path: &Path, metrics: Metrics) -> anyhow::Result<LatencyLog> {
        let file = File::create(path)
            .with_context(|| format!("--latency-log {} can't be written", path.display()))?;
        let (stop, stopped) = bounded(0);
        let writer = std::thread::Builder::new()
            .name("latency".into())
            .spawn(move || write(file, &metrics, &stopped).context("writing --latency-log"))?;
        Ok(LatencyLog { stop, writer })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the log could not be written.
    pub fn finish(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.writer.join().expect("a panic ends the program")
    }
}

fn write(mut file: File, metrics: &Metrics, stopped: &Receiver<()>) -> anyhow::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latency in µs from when an event was due; tags: fetched, redis, synced")
        .begin_log_with(&mut file, &mut serializer)?;
    let mut stages = Stage::ALL.map(|(stage, name)| {
        let latency = metrics.latency.get_or_create(&StageLabel { stage }).clone();
        (Tag::new(name).expect("a name without spaces and commas"), latency, empty())
    });
    let mut since = SystemTime::now();
    loop {
        let over = stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
        let now = SystemTime::now();
        let start = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        for (tag, latency, written) in &mut stages {
            let news = news(latency, written);
            if !news.is_empty() {
                let length = now.duration_since(since).unwrap_or_default();
                log.write_histogram(&news, start, length, Some(*tag)).map_err(|e| anyhow!("{e:?}"))?;
            }
        }
        if over {
            return Ok(());
        }
        since = now;
    }
}

/// What was recorded since the last time; `written` is what had been by then.
fn news(latency: &Latency, written: &mut Histogram<u64>) -> Histogram<u64> {
    let so_far = latency.so_far();
    let mut news = so_far.clone();
    news.subtract(&*written).expect("counts only grow");
    *written = so_far;
    news
}
