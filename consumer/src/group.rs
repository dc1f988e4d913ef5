//! This consumer's membership in the group.
//!
//! librdkafka tells of rebalances from within `poll`; here they only become events, and the pipeline answers
//! each with [`Group::assign`] or [`Group::unassign`] once its sinks are ready. Always cooperative: what is not
//! revoked goes on undisturbed.

use crate::sink::file::checkpoint::{Place, same_topic};
use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, unbounded};
use kafka::consume::{DataQueue, watch_topics};
use kafka::options::{KafkaOptions, in_short};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What happens to our share of the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// These are ours now.
    Assign(Vec<i32>),
    /// These are to be given up.
    Revoke(Vec<i32>),
}

/// A client that can't reach its brokers complains twenty times a second; so often it is passed on.
pub const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Turns librdkafka's callbacks into events.
pub struct Callbacks {
    rebalances: Sender<Rebalance>,
    complained: Mutex<Option<Instant>>,
    closing: AtomicBool,
}

impl ClientContext for Callbacks {
    // Before its log goes to the data queue. Whatever matters comes as an error, too.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, "Kafka client: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // What follows the complaint about the last of them, and says less.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            *complained = Some(Instant::now());
            warn!("Kafka: {}; trying on (is --brokers right?)", in_short(reason));
        } else {
            debug!("Kafka client: {reason} ({error})");
        }
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let assign = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            // All is settled already, and nothing is taken on; librdkafka only waits for the word.
            let answer = if assign {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = answer {
                debug!(%error, "answering the last rebalance");
            }
            return;
        }
        let rebalance = if assign { Rebalance::Assign(partitions) } else { Rebalance::Revoke(partitions) };
        // The receiver lives as long as the consumer.
        let _ = self.rebalances.send(rebalance);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            // Not fatal: what counts is the checkpoint; the next commit says the same and more.
            warn!(%error, "committing offsets");
        }
    }
}

/// The group's membership, and the queue of our partitions' messages.
pub struct Group {
    /// Messages.
    pub queue: DataQueue<Callbacks>,
    /// Rebalances that wait for an answer.
    pub rebalances: Receiver<Rebalance>,
    consumer: Arc<BaseConsumer<Callbacks>>,
    topic: String,
}

/// What Kafka knows of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// Identity of the topic, from brokers that have such.
    pub topic_id: Option<String>,
    /// The group's committed offset; none if it is one of a topic that is gone.
    pub committed: Option<i64>,
    /// The first offset there is.
    pub low: i64,
    /// The offset after the last.
    pub high: i64,
}

impl Group {
    /// Joins. `instance` makes the member a static one: whoever comes next with the same name takes its place
    /// at once, without waiting for the session of a dead one to run out.
    ///
    /// # Errors
    /// An impossible configuration.
    pub fn join(
        options: &KafkaOptions,
        group: &str,
        instance: Option<&str>,
        queue_bytes: usize,
        batch_events: usize,
        client_id: &str,
    ) -> anyhow::Result<Group> {
        let kilobytes = (queue_bytes >> 10).max(1024).to_string();
        let fetch_bytes = (queue_bytes / 4).max(1 << 20).to_string();
        let mut defaults = vec![
            ("group.id", group),
            ("client.id", client_id),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // Where to go on when an offset is not there is for us to say, not for librdkafka: see
            // `Pipeline::start_again`.
            ("auto.offset.reset", "error"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "2000"),
            ("queued.max.messages.kbytes", &kilobytes),
            ("queued.min.messages", "100000"),
            // What is there is fetched at once: little when there is little to do, and much when there is more.
            ("fetch.min.bytes", "1"),
            ("fetch.max.bytes", &fetch_bytes),
            ("fetch.message.max.bytes", "1048576"),
            ("fetch.wait.max.ms", "10"),
            ("fetch.queue.backoff.ms", "1"),
            ("topic.metadata.refresh.interval.ms", "30000"),
        ];
        if let Some(instance) = instance {
            defaults.push(("group.instance.id", instance));
        }
        let (sender, rebalances) = unbounded();
        let callbacks =
            Callbacks { rebalances: sender, complained: Mutex::default(), closing: AtomicBool::new(false) };
        let mut config = options.client_config(&defaults);
        watch_topics(&mut config);
        let consumer: BaseConsumer<Callbacks> = config
            .create_with_context(callbacks)
            .context("the Kafka client refuses its configuration (see --kafka)")?;
        let consumer = Arc::new(consumer);
        let queue = DataQueue::new(Arc::clone(&consumer), batch_events);
        consumer.subscribe(&[&options.topic]).context("subscribing to the topic")?;
        Ok(Group { queue, rebalances, consumer, topic: options.topic.clone() })
    }

    /// Serves the group's events without waiting: rebalances appear in `rebalances`.
    ///
    /// # Errors
    /// When this member can't go on (another one of the same instance name has taken its place, say).
    pub fn serve(&self) -> Result<(), KafkaError> {
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Err(KafkaError::MessageConsumptionFatal(code))
            }
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition))) => {
                warn!(topic = self.topic, "the topic does not exist yet: waiting for it");
                Ok(())
            }
            // Passing trouble, said already by `Callbacks::error`.
            Some(Err(_)) => Ok(()),
            // Messages go to the data queue; none arrives here.
            Some(Ok(message)) => {
                debug_assert!(false, "a message of {:?} outside of the data queue", message);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Asks Kafka about a partition.
    ///
    /// # Errors
    /// When the broker does not answer in time, or the topic is made anew meanwhile.
    pub fn offsets(&self, partition: i32) -> KafkaResult<PartitionOffsets> {
        let topic_id = || kafka::topic::topic_id(self.consumer.client(), &self.topic, ASK_TIMEOUT);
        let before = topic_id()?;
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        let committed = self.consumer.committed_offsets(list, ASK_TIMEOUT)?;
        let (low, high) = self.consumer.fetch_watermarks(&self.topic, partition, ASK_TIMEOUT)?;
        // A consumer that did not know yet that the topic was made anew may have committed what it had of the old
        // one.
        let ours = |id: &str| same_topic(before.as_deref(), Some(id).filter(|id| !id.is_empty()));
        let committed = committed.find_partition(&self.topic, partition);
        let committed = match committed.map(|element| (element.offset(), element.metadata().to_owned())) {
            Some((Offset::Offset(offset), topic_id)) if ours(&topic_id) => Some(offset),
            _ => None,
        };
        // The offsets must be of this topic, and not of one that was deleted in between.
        if topic_id()? != before {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicId));
        }
        Ok(PartitionOffsets { topic_id: before, committed, low, high })
    }

    /// The offset after a partition's last message, as of the last fetch.
    pub fn high_watermark(&self, partition: i32) -> Option<i64> {
        self.queue.cached_high_watermark(&self.topic, partition)
    }

    /// Begins to read partitions at the offsets given. None at all also answers a rebalance.
    ///
    /// # Errors
    /// What librdkafka says.
    pub fn assign(&self, starts: &[(i32, i64)]) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for &(partition, offset) in starts {
            self.queue.attach(&self.topic, partition)?;
            list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        }
        self.consumer.incremental_assign(&list).context("assigning partitions")
    }

    /// Gives partitions up.
    ///
    /// # Errors
    /// What librdkafka says.
    pub fn unassign(&self, partitions: &[i32]) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        self.consumer.incremental_unassign(&list).context("giving up partitions")?;
        for &partition in partitions {
            self.queue.detach(&self.topic, partition)?;
        }
        Ok(())
    }

    /// Commits positions (next offsets), each with its topic's identity beside it.
    ///
    /// # Errors
    /// With `wait`, what the broker says.
    pub fn commit(&self, positions: &[(i32, Place)], wait: bool) -> KafkaResult<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in positions {
            let mut element = list.add_partition(&self.topic, *partition);
            element.set_offset(Offset::Offset(next.offset))?;
            if let Some(topic_id) = &next.topic_id {
                element.set_metadata(topic_id);
            }
        }
        self.consumer.commit(&list, if wait { CommitMode::Sync } else { CommitMode::Async })
    }

    /// True when the group has given our partitions to others behind our back.
    pub fn assignment_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }
}

impl Drop for Group {
    /// Leaves the group. What was not settled before is settled by whoever reads on from the checkpoints.
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Relaxed);
        // Answers a rebalance that may still wait for its answer; closing would wait for it forever.
        let nothing = TopicPartitionList::new();
        let answers =
            [self.consumer.incremental_assign(&nothing), self.consumer.incremental_unassign(&nothing)];
        for error in answers.into_iter().filter_map(Result::err) {
            debug!(%error, "answering the last rebalance");
        }
        // The consumer closes, and waits for that, as its last handle is dropped, after the queue.
    }
}
