//! What librdkafka calls from within `poll`.

use crossbeam_channel::Sender;
use kafka::options::in_short;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// What happens to our share of the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// These are ours now.
    Assign(Vec<i32>),
    /// These are to be given up.
    Revoke(Vec<i32>),
    /// These may be others' already.
    Lost(Vec<i32>),
}

/// A client that can't reach its brokers complains twenty times a second; so often it is passed on.
pub const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Turns librdkafka's callbacks into events.
pub struct Callbacks {
    rebalances: Sender<Rebalance>,
    complained: Mutex<Option<Instant>>,
    /// The group is being left.
    pub(super) closing: AtomicBool,
}

impl Callbacks {
    /// Sends rebalances there.
    pub(super) fn new(rebalances: Sender<Rebalance>) -> Callbacks {
        Callbacks { rebalances, complained: Mutex::default(), closing: AtomicBool::default() }
    }
}

impl ClientContext for Callbacks {
    // Before its log goes to the data queue. Whatever matters comes as an error, too.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, "Kafka client: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, UnknownTopic, UnknownTopicOrPartition};
        // What follows the complaint about the last of them, and says less; and what `serve` says better.
        if let Some(AllBrokersDown | UnknownTopic | UnknownTopicOrPartition) = error.rdkafka_error_code() {
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
        // Whether they are lost is known only until the next answer, which may be to something else.
        let rebalance = match (assign, consumer.assignment_lost()) {
            (true, _) => Rebalance::Assign(partitions),
            (false, false) => Rebalance::Revoke(partitions),
            (false, true) => Rebalance::Lost(partitions),
        };
        // The receiver lives as long as the consumer.
        let _ = self.rebalances.send(rebalance);
    }
}
