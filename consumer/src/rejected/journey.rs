//! The way back of rejected events: transactions of events and their receipts.

use super::Which;
use super::reader::Rejected;
use crate::sink::dead_letter::source::{REPLAYED, Source};
use anyhow::{Context, anyhow, bail};
use chrono::Utc;
use common::decode::harmless;
use common::event::format_timestamp;
use kafka::topic::create_it;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A transaction is committed once it has so many events, or bytes.
const MOST_EVENTS: u64 = 5_000;
const MOST_BYTES: usize = 16 << 20;
/// For one step of a transaction.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// For a commit, which may take several attempts.
const COMMIT_TIME: Duration = Duration::from_secs(60);
/// A transaction that is left open holds up who reads the topic, until the broker has enough of it.
const TRANSACTION_TIMEOUT_MS: &str = "60000";
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What was not taken first, in words: the error of the commit says only that there was something.
#[derive(Default)]
struct FirstRefused(OnceLock<String>);

impl ClientContext for FirstRefused {}

impl ProducerContext for FirstRefused {
    type DeliveryOpaque = Box<Source>;

    fn delivery(&self, result: &DeliveryResult<'_>, source: Box<Source>) {
        if let Err((error, _)) = result {
            self.0.get_or_init(|| refusal(&source, error));
        }
    }
}

fn refusal(source: &Source, error: &KafkaError) -> String {
    let advice = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            ": raise the topic's max.message.bytes, or lower --max-event-bytes to leave such events out"
        }
        _ => "",
    };
    format!("{source}: {error}{advice}")
}

/// Brings events back, as long as nothing goes wrong.
pub struct Journey {
    producer: ThreadedProducer<FirstRefused>,
    topic: String,
    partitions: i32,
    rejected_topic: String,
    /// Events and bytes of the transaction that is open.
    open: Option<(u64, usize)>,
    committed: u64,
}

impl Journey {
    /// Begins. From now on no other journey into this topic can commit.
    ///
    /// # Errors
    /// When Kafka can't be reached, or the topic isn't there.
    pub fn start(which: &Which) -> anyhow::Result<Journey> {
        let (topic, rejected_topic) = (which.kafka.topic.clone(), which.rejected_topic.clone());
        let id = format!("sluice-rejected-{rejected_topic}-{topic}");
        let config = which.kafka.client_config(&[
            ("transactional.id", &id),
            ("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
            ("message.max.bytes", "10000000"),
            ("linger.ms", "5"),
        ]);
        let producer: ThreadedProducer<FirstRefused> = config
            .create_with_context(FirstRefused::default())
            .context("the Kafka client refuses its configuration (see --kafka)")?;
        let metadata = producer.client().fetch_metadata(Some(&topic), ASK_TIMEOUT)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if partitions == 0 {
            bail!("topic '{topic}' does not exist: {}", create_it(&which.kafka.brokers, &topic));
        }
        producer.init_transactions(STEP_TIMEOUT).context("beginning transactions")?;
        let partitions = i32::try_from(partitions)?;
        Ok(Journey { producer, topic, partitions, rejected_topic, open: None, committed: 0 })
    }

    /// Events that are back for good.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Sends an event, and commits if that was enough for a transaction.
    ///
    /// # Errors
    /// When the topic does not take it, or one before it.
    pub fn send(&mut self, rejected: &Rejected<'_>, payload: &[u8]) -> anyhow::Result<()> {
        let (events, bytes) = match self.open {
            Some(open) => open,
            None => {
                self.producer.begin_transaction()?;
                (0, 0)
            }
        };
        self.open = Some((events + 1, bytes + payload.len()));
        let source = &rejected.source;
        let mut event: BaseRecord<'_, [u8], [u8], Box<Source>> =
            BaseRecord::with_opaque_to(&self.topic, Box::new(source.clone())).payload(payload);
        // A key of which only the beginning is kept is none.
        event.key = rejected.key.filter(|_| rejected.cut_from.is_none());
        event.partition = Some(source.partition).filter(|&partition| partition < self.partitions);
        let now = format_timestamp(Utc::now());
        let headers = source.headers().insert(Header { key: REPLAYED, value: Some(&now) });
        let receipt: BaseRecord<'_, [u8], [u8], Box<Source>> =
            BaseRecord::with_opaque_to(&self.rejected_topic, Box::new(source.clone())).headers(headers);
        for record in [event, receipt] {
            self.producer.send(record).map_err(|(error, _)| anyhow!(refusal(source, &error)))?;
        }
        if self.open.is_some_and(|(events, bytes)| events >= MOST_EVENTS || bytes >= MOST_BYTES) {
            self.commit()?;
        }
        Ok(())
    }

    /// Commits what is under way.
    ///
    /// # Errors
    /// When an event of it was not taken, and is named then; or Kafka is away.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        let Some((events, _)) = self.open else { return Ok(()) };
        let deadline = Instant::now() + COMMIT_TIME;
        while let Err(error) = self.producer.commit_transaction(STEP_TIMEOUT) {
            let again = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !again || Instant::now() >= deadline {
                return Err(match self.producer.context().0.get() {
                    Some(refusal) => anyhow!(refusal.clone()),
                    None => anyhow!(error).context("committing a transaction"),
                });
            }
        }
        self.open = None;
        self.committed += events;
        Ok(())
    }

    /// Takes back what is not committed.
    pub fn abort(&self) {
        if self.open.is_some()
            && let Err(error) = self.producer.abort_transaction(STEP_TIMEOUT)
        {
            // The broker does it by itself, at the transaction's timeout.
            let error = error.to_string();
            eprintln!("warning: the last transaction is still open: {}", harmless(&error));
        }
    }
}
