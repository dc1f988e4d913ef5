//! Reading the topic of the rejected from its beginning to its end.

use super::Which;
use crate::sink::dead_letter::source::{KEY_BYTES, PAYLOAD_BYTES, REASON, REPLAYED, Source, header};
use anyhow::{Context, bail};
use common::shutdown::Shutdown;
use indicatif::{ProgressBar, ProgressStyle};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a message, or word of a partition's end, for so long, reading has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// For transactions that are open: longer than those of a replay that was killed stay so.
const OPEN_TIME: Duration = Duration::from_secs(90);
/// An open transaction is said after so long.
const SAY_OPEN_AFTER: Duration = Duration::from_secs(1);

/// One rejected event, or whatever else stands in the topic.
pub enum Record<'m> {
    /// An event.
    Rejected(Rejected<'m>),
    /// An event was brought back.
    Receipt(Source),
    /// Nothing that a consumer wrote.
    Foreign,
}

/// An event as it is kept.
pub struct Rejected<'m> {
    /// Where it stood.
    pub source: Source,
    /// Why it was refused.
    pub reason: &'m str,
    /// Its bytes, or the beginning of them.
    pub payload: Option<&'m [u8]>,
    /// Its key, or the beginning.
    pub key: Option<&'m [u8]>,
    /// Length of the whole payload or key, of which only the beginning is kept.
    pub cut_from: Option<&'m str>,
}

/// A client that reads the topic, what committed transactions wrote only.
pub struct Reader {
    consumer: BaseConsumer,
    /// Sees what transactions wrote that are still open, too.
    all: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Reader {
    /// Connects; no such topic is an empty one, since it is made with the first rejected event.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn connect(which: &Which) -> anyhow::Result<Reader> {
        let topic = which.rejected_topic.clone();
        let consumer: BaseConsumer = which
            .kafka
            .client_config(&[
                // Needed by the client; no offset is committed.
                ("group.id", "sluice-rejected"),
                ("enable.auto.commit", "false"),
                ("enable.partition.eof", "true"),
                ("isolation.level", "read_committed"),
            ])
            .create()
            .context("the Kafka client refuses its configuration (see --kafka)")?;
        let all = which.kafka.client_config(&[("isolation.level", "read_uncommitted")]).create()?;
        let metadata = consumer.fetch_metadata(Some(&topic), ASK_TIMEOUT);
        let metadata = metadata.with_context(|| {
            format!("no broker answers at {}: is it up, and --brokers right?", which.kafka.brokers)
        })?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        Ok(Reader { consumer, all, topic, partitions: i32::try_from(partitions)? })
    }

    /// Gives each record to `take`, until the end that each partition has when it is reached, or an error, or a request
    /// to end.
    ///
    /// # Errors
    /// Of `take`, or when the topic can't be read.
    pub fn each(
        &self,
        what: &'static str,
        shutdown: &Shutdown,
        mut take: impl FnMut(Record<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let progress = self.progress_bar(what)?;
        let mut assignment = TopicPartitionList::new();
        let mut unread: BTreeSet<i32> = (0..self.partitions).collect();
        for &partition in &unread {
            assignment.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        self.consumer.assign(&assignment)?;
        let mut last = Instant::now();
        while !unread.is_empty() && !shutdown.requested() {
            match self.consumer.poll(LOOK_AROUND) {
                Some(Ok(message)) => {
                    progress.inc(1);
                    take(record(&message))?;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                }
                // Of a connection, which the client makes again.
                Some(Err(_)) | None => {
                    if last.elapsed() > PATIENCE {
                        bail!("topic '{}' can't be read: no broker answers", self.topic);
                    }
                    continue;
                }
            }
            last = Instant::now();
        }
        progress.finish_and_clear();
        Ok(())
    }

    /// Waits until no transaction is open that began before now: nothing behind it is given to readers, also not the
    /// receipts of others, as of who brought events of another topic back.
    fn await_settled(&self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let end = |client: &BaseConsumer, partition| -> anyhow::Result<i64> {
            Ok(client.fetch_watermarks(&self.topic, partition, ASK_TIMEOUT)?.1)
        };
        let (started, mut said) = (Instant::now(), false);
        for partition in 0..self.partitions {
            let written = end(&self.all, partition)?;
            while end(&self.consumer, partition)? < written && !shutdown.requested() {
                if started.elapsed() > OPEN_TIME {
                    bail!("a transaction in topic '{}' stays open, and hides what is behind it", self.topic);
                }
                if !said && started.elapsed() > SAY_OPEN_AFTER {
                    said = true;
                    eprintln!("waiting for a transaction in topic '{}' that is still open", self.topic);
                }
                std::thread::park_timeout(LOOK_AROUND);
            }
        }
        Ok(())
    }

    /// What was brought back already.
    ///
    /// # Errors
    /// When the topic can't be read, or a transaction in it stays open.
    pub fn receipts(&self, shutdown: &Shutdown) -> anyhow::Result<Sources> {
        self.await_settled(shutdown)?;
        let mut replayed = Sources::default();
        self.each("what was brought back", shutdown, |record| {
            if let Record::Receipt(source) = record {
                replayed.insert(&source);
            }
            Ok(())
        })?;
        Ok(replayed)
    }

    fn progress_bar(&self, what: &'static str) -> anyhow::Result<ProgressBar> {
        if !std::io::stderr().is_terminal() {
            return Ok(ProgressBar::hidden());
        }
        let mut records = 0;
        for partition in 0..self.partitions {
            let (low, high) = self.consumer.fetch_watermarks(&self.topic, partition, ASK_TIMEOUT)?;
            records += u64::try_from(high - low).unwrap_or(0);
        }
        let style = ProgressStyle::with_template("{msg} {human_pos}/{human_len} {wide_bar} {eta}")
            .expect("the template is constant and valid");
        Ok(ProgressBar::new(records).with_style(style).with_message(what))
    }
}

fn record<'m>(message: &'m BorrowedMessage<'_>) -> Record<'m> {
    let Some(headers) = message.headers() else { return Record::Foreign };
    let Some(source) = Source::read(headers) else { return Record::Foreign };
    if header(headers, REPLAYED).is_some() {
        return Record::Receipt(source);
    }
    let Some(reason) = header(headers, REASON) else { return Record::Foreign };
    Record::Rejected(Rejected {
        source,
        reason,
        payload: message.payload(),
        key: message.key(),
        cut_from: header(headers, PAYLOAD_BYTES).or_else(|| header(headers, KEY_BYTES)),
    })
}

/// Sources, in little memory.
#[derive(Debug, Default)]
pub struct Sources(BTreeMap<(String, Option<String>, i32), RoaringTreemap>);

impl Sources {
    /// Adds one; false if it was there.
    pub fn insert(&mut self, source: &Source) -> bool {
        let Source { topic, topic_id, partition, offset } = source;
        let offsets = self.0.entry((topic.clone(), topic_id.clone(), *partition)).or_default();
        offsets.insert(u64::try_from(*offset).unwrap_or(0))
    }

    /// Whether it is there.
    pub fn contains(&self, source: &Source) -> bool {
        let Source { topic, topic_id, partition, offset } = source;
        let offsets = self.0.get(&(topic.clone(), topic_id.clone(), *partition));
        offsets.is_some_and(|offsets| offsets.contains(u64::try_from(*offset).unwrap_or(0)))
    }
}
