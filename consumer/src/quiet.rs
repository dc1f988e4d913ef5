//! What Kafka clients say that run beside the group's: that one has the same trouble, and says so once in a while, and the
//! watchdog says which part does not work.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use tracing::debug;

/// For the log only if somebody looks for it.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, "Kafka client: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!("Kafka client: {reason} ({error})");
    }
}

impl ConsumerContext for Quiet {}
