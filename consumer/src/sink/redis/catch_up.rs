//! Reading what Redis has missed straight from Kafka, apart from the group: a client of its own that takes no
//! part in rebalances, on the partitions that this consumer has.
//!
//! An offset means nothing in a topic that was made anew. So the topic's identity is looked at once something was
//! fetched (what is fetched before that is of the same topic, or the identity is another one by then), and from
//! then on any change is seen.

use super::request::{Keys, Request};
use crate::counts::Services;
use crate::quiet::Quiet;
use crate::sink::file::checkpoint::{Place, same_topic};
use common::decode::decode_within;
use common::event::now_micros;
use kafka::consume::{AtMost, DataQueue, Item, watch_topics};
use kafka::options::KafkaOptions;
use kafka::topic::topic_id;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const BATCH: AtMost = AtMost { messages: 5_000, bytes: 2 << 20 };
const WAIT: Duration = Duration::from_millis(50);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const MADE_ANEW: KafkaError = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicId);

/// A client that reads from given offsets.
pub struct CatchUp {
    queue: DataQueue<Quiet>,
    consumer: Arc<BaseConsumer<Quiet>>,
    topic: String,
    max_event_bytes: usize,
    partitions: BTreeMap<i32, Reading>,
    /// Places whose topic is still to be compared with the one that is read.
    unchecked: Option<Vec<Place>>,
}

/// How far reading is in one partition.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The next offset that counts.
    next: i64,
    /// Below this, events are put into the lists only: their counts are known.
    lists_only_below: i64,
    /// Everything below this was read, for the lists or for all.
    read_to: i64,
}

/// Where to begin in a partition.
#[derive(Debug, Clone)]
pub struct From {
    /// The partition.
    pub partition: i32,
    /// The first offset that Redis does not have.
    pub next: Place,
    /// So many events before `next` are wanted for the lists.
    pub refill: i64,
}

impl CatchUp {
    /// Begins to read.
    ///
    /// # Errors
    /// What librdkafka says of the configuration.
    pub fn start(
        options: &KafkaOptions,
        max_event_bytes: usize,
        from: &[From],
    ) -> Result<CatchUp, KafkaError> {
        let mut config = options.client_config(&[
            // librdkafka wants a name to assign partitions by hand; nothing is ever committed under it.
            ("group.id", "sluice-catch-up"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
            // A second client must not need a second share of memory.
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "8192"),
            ("fetch.max.bytes", "4194304"),
            ("fetch.message.max.bytes", "1048576"),
            ("fetch.wait.max.ms", "20"),
            ("fetch.queue.backoff.ms", "2"),
        ]);
        watch_topics(&mut config);
        let consumer: Arc<BaseConsumer<Quiet>> = Arc::new(config.create_with_context(Quiet)?);
        let queue = DataQueue::new(Arc::clone(&consumer), BATCH);
        let mut assignment = TopicPartitionList::new();
        let mut partitions = BTreeMap::new();
        for &From { partition, next: Place { offset: next, .. }, refill } in from {
            queue
                .attach(&options.topic, partition)
                .map_err(|error| KafkaError::Subscription(error.to_string()))?;
            let start = (next - refill).max(0);
            assignment.add_partition_offset(&options.topic, partition, Offset::Offset(start))?;
            partitions.insert(partition, Reading { next, lists_only_below: next, read_to: start });
        }
        consumer.assign(&assignment)?;
        let unchecked = Some(from.iter().map(|from| from.next.clone()).collect());
        let topic = options.topic.clone();
        Ok(CatchUp { queue, consumer, topic, max_event_bytes, partitions, unchecked })
    }

    /// Reads one batch into `request`; it may stay empty. Nothing at or beyond `limits` is taken, where a
    /// partition has one: what was read beyond is thrown away, so once limits were given, this reader is of no
    /// use for anything else.
    ///
    /// Gives the number of offsets that Kafka no longer had.
    ///
    /// # Errors
    /// When the client can't go on, or the topic is not the one that Redis' positions are of.
    pub fn read(
        &mut self,
        request: &mut Request,
        keys: &Keys,
        services: &mut Services,
        limits: Option<&BTreeMap<i32, i64>>,
    ) -> Result<i64, KafkaError> {
        request.clear();
        request.begin(now_micros());
        // Serves the client's own events; errors here are passing ones that librdkafka recovers from.
        if let Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) = self.consumer.poll(Duration::ZERO)
        {
            return Err(error);
        }
        let before: BTreeMap<i32, i64> =
            self.partitions.iter().map(|(&p, reading)| (p, reading.next)).collect();
        let mut skipped = 0;
        let batch = self.queue.consume(WAIT);
        if batch.topic_made_anew() {
            return Err(MADE_ANEW);
        }
        if !batch.is_empty()
            && let Some(places) = &self.unchecked
        {
            let topic_id = topic_id(self.consumer.client(), &self.topic, ASK_TIMEOUT)?;
            if !places.iter().all(|place| same_topic(place.topic_id.as_deref(), topic_id.as_deref())) {
                return Err(MADE_ANEW);
            }
            self.unchecked = None;
        }
        for item in batch.iter() {
            match item {
                Item::Message(message) => {
                    let Some(reading) = self.partitions.get_mut(&message.partition) else {
                        continue;
                    };
                    let limit = limits.and_then(|limits| limits.get(&message.partition).copied());
                    if limit.is_some_and(|limit| message.offset >= limit) {
                        reading.next = reading.next.max(limit.unwrap_or(0));
                        continue;
                    }
                    reading.read_to = message.offset + 1;
                    let lists_only = message.offset < reading.lists_only_below;
                    if message.offset < reading.next && !lists_only {
                        continue;
                    }
                    if !lists_only {
                        skipped += message.offset - reading.next;
                        reading.next = message.offset + 1;
                    }
                    let payload = message.payload.unwrap_or_default();
                    let Ok(event) = decode_within(payload, self.max_event_bytes) else { continue };
                    if lists_only {
                        request.push_to_lists(payload, event.level);
                    } else {
                        let service = event.service.as_deref().map(|name| services.id(name));
                        request.push(payload, event.level, service, event.timestamp, event.due, keys);
                    }
                }
                Item::Error { partition, offset, code: RDKafkaErrorCode::PartitionEOF } => {
                    if let Some(reading) = self.partitions.get_mut(&partition) {
                        reading.read_to = offset;
                        // Everything below the end was read; what is missing up to there will never come (the
                        // markers of transactions have offsets, too).
                        let limit = limits.and_then(|limits| limits.get(&partition).copied());
                        reading.next = reading.next.max(limit.unwrap_or(offset).min(offset));
                    }
                }
                Item::Error { partition, code, .. } => {
                    tracing::warn!(partition, %code, "catching up");
                }
            }
        }
        drop(batch);
        for (&partition, reading) in &self.partitions {
            if reading.next > before[&partition] {
                request.moved(partition, before[&partition], reading.next);
            }
        }
        Ok(skipped)
    }

    /// True once the lists were filled up to where counting begins.
    pub fn past_refill(&self) -> bool {
        self.partitions.values().all(|reading| reading.read_to >= reading.lists_only_below)
    }
}
