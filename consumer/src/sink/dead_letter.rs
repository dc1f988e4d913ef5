//! Rejected events go to a topic of their own, with their original bytes and where they came from.
//!
//! ```text
//! pipeline ──send()──→ thread with a producer ──→ topic logs.rejected
//!     └ block of the file: "needs n"   └ acknowledged ──→ Acknowledged::wait_for(n) before the checkpoint
//! ```
//!
//! A checkpoint may pass a rejected event only once the broker has it, so none is lost by a crash; one may be
//! there twice after a crash or a change of the client (same `partition` and `offset` in its headers). What can't
//! be sent is tried again until it can; what is too large for the topic is cut until it is not, and then a header
//! `payload_bytes` (or `key_bytes`) says how long the whole is that stands in the source topic.

pub mod source;

use crate::backoff::Backoff;
use crate::metrics::{Metrics, ReasonLabel, TargetLabel};
use crate::quiet::Quiet;
use anyhow::Context;
use common::decode::Reject;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use kafka::options::KafkaOptions;
use kafka::topic::says_gone;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use source::{KEY_BYTES, PAYLOAD_BYTES, REASON, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// Rejected bytes under way before the pipeline takes no more events.
const MAX_OUTSTANDING_BYTES: usize = 16 << 20;
/// What an event costs on its way beside its bytes.
const OVERHEAD_BYTES: usize = 256;
/// Between two looks at what librdkafka has to say, while there is nothing to send.
const IDLE_WAIT: Duration = Duration::from_millis(500);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Room for what headers add to the largest message that the source topic may hold.
const TOPIC_MAX_MESSAGE_BYTES: &str = "2097152";

/// An event that was refused.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Its bytes as they came.
    pub payload: Option<Vec<u8>>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Where it stood.
    pub source: Source,
    /// Why it was refused.
    pub reason: Reject,
}

impl Rejected {
    fn bytes(&self) -> usize {
        length(&self.payload) + length(&self.key) + OVERHEAD_BYTES
    }
}

fn length(bytes: &Option<Vec<u8>>) -> usize {
    bytes.as_ref().map_or(0, Vec::len)
}

/// The way into the topic of the rejected, for any worker; cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    queue: Sender<Letter>,
    acknowledged: Acknowledged,
    metrics: Metrics,
}

struct Letter {
    number: u64,
    rejected: Rejected,
}

impl DeadLetters {
    /// Starts the sending thread; nothing is connected before the first rejected event.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(options: KafkaOptions, topic: String, metrics: Metrics) -> std::io::Result<DeadLetters> {
        let (queue, letters) = unbounded();
        let acknowledged = Acknowledged::default();
        let thread = Thread { options, topic, acknowledged: acknowledged.clone(), metrics: metrics.clone() };
        std::thread::Builder::new().name("dead-letter".into()).spawn(move || thread.run(&letters))?;
        Ok(DeadLetters { queue, acknowledged, metrics })
    }

    /// True while more can be handed over; one batch may go beyond it.
    pub fn has_room(&self) -> bool {
        self.acknowledged.lock().bytes < MAX_OUTSTANDING_BYTES
    }

    /// Hands over one rejected event.
    pub fn send(&self, rejected: Rejected) {
        let reason = ReasonLabel { reason: rejected.reason.as_str() };
        self.metrics.rejected.get_or_create(&reason).inc();
        let number = self.acknowledged.admit(rejected.bytes());
        self.queue.send(Letter { number, rejected }).expect("the thread runs as long as we send");
    }

    /// Number of the last event handed over, by whichever worker.
    pub fn sent(&self) -> u64 {
        self.acknowledged.lock().admitted
    }

    /// For waiting until the broker has them.
    pub fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.clone()
    }
}

/// How many rejected events the broker has, without a gap.
#[derive(Debug, Clone, Default)]
pub struct Acknowledged(Arc<(Mutex<Outstanding>, Condvar)>);

#[derive(Debug, Default)]
struct Outstanding {
    admitted: u64,
    through: u64,
    ahead: BTreeSet<u64>,
    bytes: usize,
    /// When the last was acknowledged, or the first that waits was admitted.
    waiting_since: Option<Instant>,
}

impl Acknowledged {
    /// Waits until the broker has all up to `number`.
    pub fn wait_for(&self, number: u64) {
        let waited = self.0.1.wait_while(self.lock(), |outstanding| outstanding.through < number);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// For how long some have waited and the broker took none.
    pub fn stuck_for(&self) -> Option<Duration> {
        self.lock().waiting_since.map(|since| since.elapsed())
    }

    /// Gives the next one its number.
    fn admit(&self, bytes: usize) -> u64 {
        let mut outstanding = self.lock();
        outstanding.waiting_since.get_or_insert_with(Instant::now);
        outstanding.bytes += bytes;
        outstanding.admitted += 1;
        outstanding.admitted
    }

    fn lock(&self) -> MutexGuard<'_, Outstanding> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledge(&self, number: u64, bytes: usize) {
        let mut guard = self.lock();
        guard.bytes -= bytes;
        guard.ahead.insert(number);
        while guard.ahead.first() == Some(&(guard.through + 1)) {
            guard.ahead.pop_first();
            guard.through += 1;
        }
        guard.waiting_since = (guard.through < guard.admitted).then(Instant::now);
        self.0.1.notify_all();
    }
}

/// Collects deliveries of the producer.
#[derive(Default)]
struct Deliveries(Mutex<Vec<(u64, Option<RDKafkaErrorCode>)>>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let error = result
            .as_ref()
            .err()
            .map(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number as u64, error));
    }
}

/// A letter that the broker does not have yet.
struct Waiting {
    rejected: Rejected,
    /// So much of its payload, and of its key, is sent: all of it, unless the topic does not take that.
    keep_bytes: usize,
}

impl From<Rejected> for Waiting {
    fn from(rejected: Rejected) -> Waiting {
        Waiting { rejected, keep_bytes: usize::MAX }
    }
}

impl Waiting {
    /// Halves it: sooner or later the topic takes it.
    fn shorten(&mut self) {
        let longest = length(&self.rejected.payload).max(length(&self.rejected.key));
        self.keep_bytes = self.keep_bytes.min(longest) / 2;
    }

    /// What is sent of a payload or key, and the length of the whole if that is more.
    fn kept<'b>(&self, bytes: Option<&'b [u8]>) -> (Option<&'b [u8]>, Option<usize>) {
        let cut = bytes.filter(|bytes| bytes.len() > self.keep_bytes);
        (cut.map(|bytes| &bytes[..self.keep_bytes]).or(bytes), cut.map(<[u8]>::len))
    }
}

/// What follows when a producer is done.
enum Next {
    End,
    NewProducer,
}

struct Thread {
    options: KafkaOptions,
    topic: String,
    acknowledged: Acknowledged,
    metrics: Metrics,
}

impl Thread {
    fn run(self, letters: &Receiver<Letter>) {
        // Nothing is connected until the first letter comes.
        let Ok(first) = letters.recv() else { return };
        info!(topic = self.topic, "first rejected event: its bytes and the reason are kept in the topic");
        let mut waiting = BTreeMap::from([(first.number, Waiting::from(first.rejected))]);
        let mut backoff = Backoff::default();
        while let Next::NewProducer = self.work(letters, &mut waiting, &mut backoff) {
            error!(topic = self.topic, "the Kafka client for rejected events can't go on: making another");
            self.count_retry();
        }
    }

    /// Sends what waits and what comes, until there is nothing more, or the producer can't go on.
    fn work(
        &self,
        letters: &Receiver<Letter>,
        waiting: &mut BTreeMap<u64, Waiting>,
        backoff: &mut Backoff,
    ) -> Next {
        let producer = loop {
            match self.connect() {
                Ok(producer) => break producer,
                Err(error) => {
                    error!(topic = self.topic, "rejected events can't be kept, trying again: {error:#}");
                    self.count_retry();
                    std::thread::park_timeout(backoff.next());
                }
            }
        };
        let mut to_send: BTreeSet<u64> = waiting.keys().copied().collect();
        let mut send_at = Instant::now();
        loop {
            match letters.recv_timeout(if waiting.is_empty() { IDLE_WAIT } else { Duration::ZERO }) {
                Ok(letter) => {
                    let letter_waits = waiting.entry(letter.number).or_insert(letter.rejected.into());
                    self.send(&producer, letter.number, letter_waits);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if waiting.is_empty() => return Next::End,
                Err(RecvTimeoutError::Disconnected) => {}
            }
            if Instant::now() >= send_at {
                for number in std::mem::take(&mut to_send) {
                    self.send(&producer, number, &waiting[&number]);
                }
            }
            producer.poll(if letters.is_empty() { Duration::from_millis(5) } else { Duration::ZERO });
            let done =
                std::mem::take(&mut *producer.context().0.lock().unwrap_or_else(PoisonError::into_inner));
            let mut broken = false;
            for (number, error) in done {
                let Some(code) = error else {
                    backoff.reset();
                    let bytes = waiting.remove(&number).map_or(0, |letter| letter.rejected.bytes());
                    self.acknowledged.acknowledge(number, bytes);
                    continue;
                };
                // What was not taken for so long may want a topic that is gone: with a new producer it is made again.
                if matches!(code, RDKafkaErrorCode::Fatal | RDKafkaErrorCode::MessageTimedOut)
                    || says_gone(code)
                {
                    broken = true;
                    continue;
                }
                if to_send.is_empty() {
                    warn!(topic = self.topic, %code, "a rejected event was not taken, trying again");
                    send_at = Instant::now() + backoff.next();
                }
                self.count_retry();
                to_send.insert(number);
                if code == RDKafkaErrorCode::MessageSizeTooLarge
                    && let Some(letter) = waiting.get_mut(&number)
                {
                    letter.shorten();
                }
            }
            if broken {
                return Next::NewProducer;
            }
        }
    }

    fn connect(&self) -> anyhow::Result<BaseProducer<Deliveries>> {
        let config = self.options.client_config(&[
            ("enable.idempotence", "true"),
            ("message.max.bytes", "10000000"),
            ("message.timeout.ms", "30000"),
            ("linger.ms", "5"),
        ]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let new = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(-1))
            .set("max.message.bytes", TOPIC_MAX_MESSAGE_BYTES);
        let results = runtime
            .block_on(admin.create_topics([&new], &AdminOptions::new()))
            .context("asking for the topic")?;
        for result in results {
            match result {
                Ok(topic) => info!(topic, "created the topic of the rejected events"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                // Who may not create topics is told so even where there is nothing to create.
                Err(_) if is_there(&admin, &self.topic) => {}
                Err((topic, code)) => anyhow::bail!("creating topic '{topic}': {code}"),
            }
        }
        Ok(config.create_with_context(Deliveries::default())?)
    }

    fn send(&self, producer: &BaseProducer<Deliveries>, number: u64, waiting: &Waiting) {
        let Waiting { rejected, .. } = waiting;
        let (payload, payload_bytes) = waiting.kept(rejected.payload.as_deref());
        let (key, key_bytes) = waiting.kept(rejected.key.as_deref());
        let mut headers = rejected.source.headers();
        headers = headers.insert(Header { key: REASON, value: Some(rejected.reason.as_str()) });
        for (key, bytes) in [(PAYLOAD_BYTES, payload_bytes), (KEY_BYTES, key_bytes)] {
            if let Some(bytes) = bytes {
                headers = headers.insert(Header { key, value: Some(&bytes.to_string()) });
            }
        }
        let number = usize::try_from(number).expect("64 bits");
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&self.topic, number).headers(headers);
        record.payload = payload;
        record.key = key;
        while let Err((error, refused)) = producer.send(record) {
            let code = match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    producer.poll(Duration::from_millis(5));
                    record = refused;
                    continue;
                }
                other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
            };
            let mut deliveries = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
            deliveries.push((number as u64, Some(code)));
            return;
        }
    }

    fn count_retry(&self) {
        self.metrics.retries.get_or_create(&TargetLabel { target: "rejected_topic" }).inc();
    }
}

fn is_there(admin: &AdminClient<DefaultClientContext>, topic: &str) -> bool {
    let metadata = admin.inner().fetch_metadata(Some(topic), ASK_TIMEOUT);
    metadata.is_ok_and(|found| found.topics().iter().any(|topic| topic.error().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_cut_until_it_fits() {
        let (payload, key) = (Some(vec![1; 1_000]), Some(vec![2; 400]));
        let source = Source::of_test(0);
        let mut waiting = Waiting::from(Rejected { payload, key, source, reason: Reject::TooLarge });
        let kept = |waiting: &Waiting| {
            let Rejected { payload, key, .. } = &waiting.rejected;
            let length = |(kept, whole): (Option<&[u8]>, Option<usize>)| (kept.map(<[u8]>::len), whole);
            (length(waiting.kept(payload.as_deref())), length(waiting.kept(key.as_deref())))
        };
        assert_eq!(kept(&waiting), ((Some(1_000), None), (Some(400), None)));
        waiting.shorten();
        assert_eq!(kept(&waiting), ((Some(500), Some(1_000)), (Some(400), None)));
        waiting.shorten();
        assert_eq!(kept(&waiting), ((Some(250), Some(1_000)), (Some(250), Some(400))));
        for _ in 0..20 {
            waiting.shorten();
        }
        assert_eq!(kept(&waiting), ((Some(0), Some(1_000)), (Some(0), Some(400))));
        assert_eq!(waiting.kept(None), (None, None));
    }

    #[test]
    fn acknowledged_has_no_gaps() {
        let acknowledged = Acknowledged::default();
        assert_eq!([10, 10, 10].map(|bytes| acknowledged.admit(bytes)), [1, 2, 3]);
        acknowledged.acknowledge(2, 10);
        acknowledged.acknowledge(3, 10);
        assert_eq!(acknowledged.lock().through, 0);
        assert!(acknowledged.stuck_for().is_some());
        acknowledged.acknowledge(1, 10);
        acknowledged.wait_for(3);
        assert_eq!(acknowledged.lock().bytes, 0);
        assert_eq!(acknowledged.stuck_for(), None);
    }
}
