//! What a test needs of Kafka: topics, hand-made messages, and everything a topic holds.

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Stack, wait_until};

/// One question to a broker.
const EXCHANGE: Duration = Duration::from_secs(10);

/// A whole operation: a topic created, messages written or read.
const OPERATION: Duration = Duration::from_secs(60);

/// A message as it lies in a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Partition, from 0.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
    /// Key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Payload; none for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers in their order; none and empty values are both empty here.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// Value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// Payload as text, broken UTF-8 replaced; empty for a tombstone.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.payload.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Stack {
    /// Creates a topic with default replication, and returns when each partition has a leader and all its
    /// replicas. A topic that is there already is accepted if it has as many partitions.
    ///
    /// # Errors
    /// When the broker refuses, or the topic is not whole within a minute.
    pub fn create_topic(&self, name: &str, partitions: usize) -> Result<()> {
        // -1: the broker's default.replication.factor.
        self.create(name, partitions, TopicReplication::Fixed(-1))
    }

    /// Makes a topic without copies, each partition on the broker whose index stands at its place.
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic).
    pub fn create_topic_led_by(&self, name: &str, leaders: &[usize]) -> Result<()> {
        let ids = leaders.iter().map(|&index| i32::try_from(index + 1));
        let ids: Vec<i32> = ids.collect::<Result<_, _>>()?;
        let replicas: Vec<&[i32]> = ids.chunks(1).collect();
        self.create(name, leaders.len(), TopicReplication::Variable(&replicas))
    }

    fn create(&self, name: &str, partitions: usize, replication: TopicReplication<'_>) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = config(&self.bootstrap()).create()?;
        let count = i32::try_from(partitions).context("too many partitions")?;
        let topic = NewTopic::new(name, count, replication);
        let results = block_on(admin.create_topics([&topic], &options()))?
            .with_context(|| format!("cannot create topic {name}"))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => bail!("cannot create topic {name}: {code}"),
            }
        }
        let probe = probe(&self.bootstrap())?;
        let found = wait_until(&format!("leaders of topic {name}"), OPERATION, || {
            let metadata = probe.fetch_metadata(Some(name), EXCHANGE).ok()?;
            let topic = metadata.topics().first()?;
            let whole = topic.error().is_none()
                && topic.partitions().iter().all(|p| p.leader() >= 0 && p.isr().len() == p.replicas().len());
            (whole && !topic.partitions().is_empty()).then(|| topic.partitions().len())
        })?;
        ensure!(found == partitions, "topic {name} has {found} partitions, not {partitions}");
        Ok(())
    }

    /// Has the broker keep about so many bytes of each partition, in segments of a quarter of that.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn limit_topic(&self, name: &str, bytes: u64) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = config(&self.bootstrap()).create()?;
        let (retention, segment) = (bytes.to_string(), (bytes / 4).to_string());
        let limits = AlterConfig::new(ResourceSpecifier::Topic(name))
            .set("retention.bytes", &retention)
            .set("segment.bytes", &segment);
        for result in block_on(admin.alter_configs([&limits], &options()))?? {
            result.map_err(|(_, code)| code).with_context(|| format!("cannot limit topic {name}"))?;
        }
        Ok(())
    }

    /// Gives a topic more partitions, so that it has so many.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn add_partitions(&self, name: &str, partitions: usize) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = config(&self.bootstrap()).create()?;
        for result in block_on(admin.create_partitions([&NewPartitions::new(name, partitions)], &options()))??
        {
            result.map_err(|(_, code)| anyhow!("cannot add partitions to topic {name}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes a topic; returns when one of its name can be created.
    ///
    /// # Errors
    /// When the broker refuses, or still has it after a minute.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = config(&self.bootstrap()).create()?;
        for result in block_on(admin.delete_topics(&[name], &options()))?? {
            result.map_err(|(_, code)| anyhow!("cannot delete topic {name}: {code}"))?;
        }
        let another = NewTopic::new(name, 1, TopicReplication::Fixed(-1));
        wait_until(&format!("topic {name} to be gone"), OPERATION, || {
            let answer = block_on(admin.create_topics([&another], &options().validate_only(true)));
            matches!(answer, Ok(Ok(results)) if results.iter().all(Result::is_ok))
        })
    }

    /// Deletes everything below these offsets, one of each partition, as retention would.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_records(&self, topic: &str, offsets: &[i64]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = config(&self.bootstrap()).create()?;
        let mut before = TopicPartitionList::new();
        for (partition, &offset) in (0..).zip(offsets) {
            before.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        }
        for partition in block_on(admin.delete_records(&before, &options()))??.elements() {
            partition.error().with_context(|| format!("cannot delete records of {topic}"))?;
        }
        Ok(())
    }

    /// The offset after the last message of each partition: how much was ever written.
    ///
    /// # Errors
    /// When the topic is unknown or the broker does not answer.
    pub fn high_watermarks(&self, topic: &str) -> Result<Vec<i64>> {
        Ok(watermarks(&probe(&self.bootstrap())?, topic)?.into_iter().map(|(_, high)| high).collect())
    }

    /// Every message the topic holds now, partition by partition in the order of offsets.
    ///
    /// # Errors
    /// When the topic is unknown, or not read to its end within a minute.
    pub fn consume_all(&self, topic: &str) -> Result<Vec<Record>> {
        let consumer = probe(&self.bootstrap())?;
        let marks = watermarks(&consumer, topic)?;
        let mut assignment = TopicPartitionList::new();
        let mut missing: Vec<bool> = marks.iter().map(|(low, high)| low < high).collect();
        for partition in (0..marks.len()).filter(|&partition| missing[partition]) {
            assignment.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let deadline = Instant::now() + OPERATION;
        let mut records = Vec::new();
        while missing.contains(&true) {
            ensure!(Instant::now() < deadline, "topic {topic} was not read to its end within {OPERATION:?}");
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let message = match message {
                Ok(message) => message,
                // Behind the last message there may be markers of transactions.
                Err(KafkaError::PartitionEOF(partition)) => {
                    missing[usize::try_from(partition).context("a partition below 0")?] = false;
                    continue;
                }
                // Errors of a connection are passing here: the deadline decides.
                Err(_) => continue,
            };
            let partition = usize::try_from(message.partition()).context("a partition below 0")?;
            missing[partition] = message.offset() + 1 < marks[partition].1;
            records.push(record(&message));
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Writes hand-made payloads, to `partition` or, without one, where Kafka's partitioner puts them;
    /// returns when all are acknowledged, in their order if they share a partition.
    ///
    /// # Errors
    /// When one is refused or not acknowledged within a minute; it says how many.
    pub fn produce<P: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<()> {
        let producer: BaseProducer<Failures> = config(&self.bootstrap())
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "4194304")
            .set("linger.ms", "5")
            .create_with_context(Failures::default())?;
        let deadline = Instant::now() + OPERATION;
        for payload in payloads {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(payload.as_ref());
            record.key = key;
            record.partition = partition;
            while let Err((error, unsent)) = producer.send(record) {
                let full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                ensure!(full && Instant::now() < deadline, "cannot write to topic {topic}: {error}");
                producer.poll(Duration::from_millis(10));
                record = unsent;
            }
        }
        producer.flush(OPERATION).with_context(|| format!("topic {topic}: not all acknowledged"))?;
        producer.context().check().with_context(|| format!("cannot write to topic {topic}"))
    }
}

/// Remembers what the broker refused.
#[derive(Default)]
struct Failures(Mutex<Vec<KafkaError>>);

impl Failures {
    fn check(&self) -> Result<()> {
        let errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match errors.first() {
            None => Ok(()),
            Some(first) => Err(anyhow!("{} messages refused, the first: {first}", errors.len())),
        }
    }
}

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(error.clone());
        }
    }
}

/// Deadlines of a request to the controller.
fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(OPERATION)).operation_timeout(Some(OPERATION))
}

/// Waits for an answer without a runtime of the caller's.
fn block_on<T>(answer: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?.block_on(answer))
}

/// A client that only asks; it joins no group and commits nothing.
pub(crate) fn probe(bootstrap: &str) -> Result<BaseConsumer> {
    let mut config = config(bootstrap);
    config.set("group.id", "harness").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config.create().context("cannot make a Kafka client")
}

/// The partitions that have a leader, as `topic-partition`; none until all `brokers` know each other.
pub(crate) fn led(probe: &BaseConsumer, brokers: usize) -> Option<HashSet<String>> {
    let metadata = probe.fetch_metadata(None, Duration::from_secs(1)).ok()?;
    let led = metadata.topics().iter().flat_map(|topic| {
        let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0);
        led.map(|partition| format!("{}-{}", topic.name(), partition.id()))
    });
    (metadata.brokers().len() == brokers).then(|| led.collect())
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // A broker that was restarted is found again at once, not after librdkafka's ten seconds.
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// First and next offset of each partition.
fn watermarks(probe: &BaseConsumer, topic: &str) -> Result<Vec<(i64, i64)>> {
    let metadata = probe.fetch_metadata(Some(topic), EXCHANGE).context("the broker does not answer")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    ensure!(partitions > 0, "no topic {topic}");
    (0..partitions)
        .map(|partition| {
            let partition = i32::try_from(partition)?;
            let answer = || match probe.fetch_watermarks(topic, partition, EXCHANGE) {
                // From a leader that is new, until the others have asked it for what it has.
                Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OffsetNotAvailable)) => None,
                answer => Some(answer),
            };
            wait_until("the leader to know its end", EXCHANGE, answer)?
                .with_context(|| format!("no watermarks of {topic}/{partition}"))
        })
        .collect()
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect(),
    }
}
