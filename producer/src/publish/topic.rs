//! Whether the topic is there, asked once at the start.

use anyhow::{Context, bail};
use common::shutdown::Shutdown;
use kafka::produce::{BatchProducer, Event};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long one question may take; also how soon Ctrl-C is seen.
const ATTEMPT: Duration = Duration::from_millis(500);
/// How often it is said that it still waits.
const WARN_EVERY: Duration = Duration::from_secs(5);
/// How long a broker may take to create the topic by itself.
const CREATION: Duration = Duration::from_secs(3);

/// Which topic, where, and how long to wait for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) brokers: &'a str,
    pub(super) topic: &'a str,
    pub(super) wait: Duration,
}

/// Waits until a broker answers and gives the topic's number of partitions; none when a shutdown was asked for
/// meanwhile.
///
/// # Errors
/// When no broker answers in time, or the topic is missing or may not be used.
pub(super) fn partitions(
    producer: &mut BatchProducer,
    question: Question<'_>,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<usize>> {
    let Question { brokers, topic, wait } = question;
    let started = Instant::now();
    let mut warned: Option<Instant> = None;
    let mut missing_since: Option<Instant> = None;
    let mut reason = String::from("no answer");
    while !shutdown.requested() {
        match producer.client().client().fetch_metadata(Some(topic), ATTEMPT) {
            Ok(metadata) => {
                let found =
                    metadata.topics().iter().find(|found| found.name() == topic).context("no such topic")?;
                match found.error().map(RDKafkaErrorCode::from) {
                    None if !found.partitions().is_empty() => {
                        if warned.is_some() {
                            info!("{brokers} answers");
                        }
                        return Ok(Some(found.partitions().len()));
                    }
                    None
                    | Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                        // Also what a broker says that is just creating it.
                        if missing_since.get_or_insert_with(Instant::now).elapsed() >= CREATION {
                            bail!(
                                "topic '{topic}' does not exist on {brokers}: {}",
                                kafka::topic::create_it(brokers, topic)
                            );
                        }
                    }
                    Some(RDKafkaErrorCode::LeaderNotAvailable) => {
                        reason = "the topic has no leader yet".to_owned()
                    }
                    Some(code) => bail!("topic '{topic}' can't be used: {code}"),
                }
            }
            Err(KafkaError::MetadataFetch(_)) => {}
            Err(error) => return Err(error).context("asking for the topic failed"),
        }
        // Serves as the pause between two questions, too.
        producer.poll(Duration::from_millis(100), |event| match event {
            Event::Client { code: RDKafkaErrorCode::AllBrokersDown, .. }
            | Event::Delivery { .. }
            | Event::TopicMadeAnew => {}
            Event::Client { reason: complaint, .. } => {
                reason = kafka::options::in_short(&complaint).to_owned()
            }
        });
        if missing_since.is_some() {
            continue;
        }
        if started.elapsed() >= wait {
            bail!(
                "no broker at {brokers} answered within {wait:?} ({reason}): check --brokers, or wait longer with --wait"
            );
        }
        if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            warned = Some(Instant::now());
            warn!("{brokers} is not reachable yet ({reason}): waiting up to {wait:?}");
        }
    }
    Ok(None)
}
