//! This consumer's membership in the group.
//!
//! librdkafka tells of rebalances from within `poll`; here they only become events, and the pipeline answers
//! each with [`Group::assign`] or [`Group::unassign`] once its sinks are ready. Always cooperative: what is not
//! revoked goes on undisturbed.

mod callbacks;

pub use callbacks::{COMPLAINT_INTERVAL, Callbacks, Rebalance};

use crate::sink::file::checkpoint::{Place, same_topic};
use anyhow::Context;
use crossbeam_channel::{Receiver, bounded, unbounded};
use kafka::commit::Commits;
use kafka::consume::{AtMost, DataQueue, watch_topics};
use kafka::options::KafkaOptions;
use kafka::topic::create_it;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const COMMIT_AGAIN: Duration = Duration::from_millis(50);

/// What a member is, so that it can join a second time.
#[derive(Debug, Clone)]
pub struct Membership {
    /// How to reach Kafka.
    pub options: KafkaOptions,
    /// The group.
    pub group: String,
    /// Makes the member a static one: whoever comes next with the same name takes its place at once, without waiting
    /// for the session of a dead one to run out. With `group.protocol=consumer` it does nothing.
    pub instance: Option<String>,
    /// What the queue may hold.
    pub queue_bytes: usize,
    /// Largest batch.
    pub batch: AtMost,
    /// How the broker's log calls us.
    pub client_id: String,
}

/// How a member stands with its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As it should.
    Member,
    /// Another one of its name has taken its place: this client is of no use any more.
    Fenced,
}

/// The group's membership, and the queue of our partitions' messages.
pub struct Group {
    /// Messages.
    pub queue: DataQueue<Callbacks>,
    /// Rebalances that wait for an answer.
    pub rebalances: Receiver<Rebalance>,
    commits: Commits<Callbacks>,
    consumer: Arc<BaseConsumer<Callbacks>>,
    /// The topic.
    pub topic: String,
    /// Whether the broker deals the partitions out (KIP-848, from Kafka 4 on), and not one of the group's members.
    pub dealt_by_broker: bool,
    membership: Membership,
}

/// A position to commit. Beside the offset stand the identities of the topic and of the file, `-` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: i32,
    /// The next offset.
    pub place: Place,
    /// Random name of the file that has what is below.
    pub file: String,
}

impl Commit {
    fn mark(&self) -> String {
        format!("{} {}", self.place.topic_id.as_deref().unwrap_or("-"), self.file)
    }
}

/// The identities of the topic and of the file that stand beside an offset: none of what an admin set, and no file in
/// commits of older versions.
fn parse_mark(mark: &str) -> (Option<&str>, Option<&str>) {
    let mut words = mark.split(' ').map(|word| Some(word).filter(|word| !matches!(*word, "" | "-")));
    (words.next().flatten(), words.next().flatten())
}

/// An offset that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset.
    pub offset: i64,
    /// Whether it is known to be of this topic, and not of one before it that had the same name.
    pub known: bool,
    /// Random name of the file that has what is below.
    pub file: Option<String>,
}

/// What Kafka knows of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// Identity of the topic, from brokers that have such.
    pub topic_id: Option<String>,
    /// The group's committed offset; none if it is one of a topic that is gone.
    pub committed: Option<Committed>,
    /// The first offset there is.
    pub low: i64,
    /// The offset after the last.
    pub high: i64,
}

impl Group {
    /// Joins.
    ///
    /// # Errors
    /// An impossible configuration.
    pub fn join(membership: Membership) -> anyhow::Result<Group> {
        let Membership { options, group, instance, queue_bytes, batch, client_id } = &membership;
        let kilobytes = (*queue_bytes >> 10).max(1024).to_string();
        let fetch_bytes = (queue_bytes / 4).max(1 << 20).to_string();
        let mut defaults = vec![
            ("group.id", group.as_str()),
            ("client.id", client_id),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // Where to go on when an offset is not there is for us to say, not for librdkafka: see
            // `Pipeline::start_again`.
            ("auto.offset.reset", "error"),
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
        let protocol = options.property("group.protocol");
        let dealt_by_broker = protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
        // The broker then also says how long sessions are, and refuses whoever comes next with a dead one's name until
        // that one's session is over: a name would save no time, and the refusal is for good.
        if !dealt_by_broker {
            defaults.extend([
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("session.timeout.ms", "10000"),
                // Members hear of a rebalance with their next heartbeat, and a partition that moves has no reader from
                // one to the other: 0.5 s, not 2 s.
                ("heartbeat.interval.ms", "500"),
            ]);
            defaults.extend(instance.iter().map(|instance| ("group.instance.id", instance.as_str())));
        }
        let (sender, rebalances) = unbounded();
        let mut config = options.client_config(&defaults);
        watch_topics(&mut config);
        let consumer: BaseConsumer<Callbacks> = config
            .create_with_context(Callbacks::new(sender))
            .context("the Kafka client refuses its configuration (see --kafka)")?;
        let consumer = Arc::new(consumer);
        let queue = DataQueue::new(Arc::clone(&consumer), *batch);
        let commits = Commits::new(Arc::clone(&consumer));
        consumer.subscribe(&[&options.topic]).context("subscribing to the topic")?;
        let topic = options.topic.clone();
        Ok(Group { queue, rebalances, commits, consumer, topic, dealt_by_broker, membership })
    }

    /// Joins once more, with a client of its own: nothing is left of what this one had.
    ///
    /// # Errors
    /// As [`join`](Group::join).
    pub fn join_again(&mut self) -> anyhow::Result<()> {
        *self = Group::join(self.membership.clone())?;
        Ok(())
    }

    /// Serves the group's events without waiting: rebalances appear in `rebalances`.
    ///
    /// # Errors
    /// When this member can't go on.
    pub fn serve(&self) -> Result<Standing, KafkaError> {
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId))) => {
                return Ok(Standing::Fenced);
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(KafkaError::MessageConsumptionFatal(code));
            }
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition))) => {
                self.say_no_topic();
            }
            // Passing trouble, said already by `Callbacks::error`.
            Some(Err(_)) | None => {}
            // Messages go to the data queue; none arrives here.
            Some(Ok(message)) => {
                debug_assert!(false, "a message of {:?} outside of the data queue", message);
            }
        }
        Ok(Standing::Member)
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
        let committed = committed.find_partition(&self.topic, partition);
        let found = committed.map(|element| (element.offset(), element.metadata().to_owned()));
        let committed = match &found {
            Some((Offset::Offset(offset), mark)) => {
                let (topic_id, file) = parse_mark(mark);
                let known = before.is_some() && before.as_deref() == topic_id;
                let file = file.map(str::to_owned);
                same_topic(before.as_deref(), topic_id).then_some(Committed { offset: *offset, known, file })
            }
            _ => None,
        };
        // The offsets must be of this topic, and not of one that was deleted in between.
        if topic_id()? != before {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicId));
        }
        Ok(PartitionOffsets { topic_id: before, committed, low, high })
    }

    /// Whether the topic exists.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn has_topic(&self) -> KafkaResult<bool> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ASK_TIMEOUT)?;
        Ok(metadata.topics().iter().any(|topic| topic.error().is_none()))
    }

    /// Says that the topic is waited for.
    pub fn say_no_topic(&self) {
        let advice = create_it(&self.membership.options.brokers, &self.topic);
        warn!("topic '{}' does not exist yet, waiting for it: {advice}", self.topic);
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

    /// Sends positions to be committed. What the broker says comes later, see [`Group::refusal`].
    ///
    /// # Errors
    /// When they can't be sent.
    pub fn commit(&mut self, positions: &[Commit]) -> KafkaResult<()> {
        let list = self.list(positions)?;
        if list.count() == 0 { Ok(()) } else { self.commits.send(&list) }
    }

    /// Why a commit was not taken since this was asked last.
    pub fn refusal(&mut self) -> Option<KafkaError> {
        std::iter::from_fn(|| self.commits.answer(Duration::ZERO)).filter_map(Result::err).last()
    }

    /// Commits, and waits up to `time` for the broker's word. While the group rebalances it takes no commits: then it is
    /// tried again.
    ///
    /// # Errors
    /// What the broker says, or that it says nothing.
    pub fn commit_surely(&mut self, positions: &[Commit], time: Duration) -> KafkaResult<()> {
        let deadline = Instant::now() + time;
        loop {
            let others = self.commits.unanswered() > 0;
            self.commit(positions)?;
            let mut refusal = None;
            while self.commits.unanswered() > 0 {
                match self.commits.answer(deadline.saturating_duration_since(Instant::now())) {
                    Some(answer) => refusal = answer.err().or(refusal),
                    None => return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut)),
                }
            }
            if others {
                // Which answer is whose is not known, nor what came last.
                continue;
            }
            let Some(error) = refusal else { return Ok(()) };
            use RDKafkaErrorCode::{IllegalGeneration, RebalanceInProgress, StaleMemberEpoch};
            let code = error.rdkafka_error_code();
            let rebalances = matches!(code, Some(IllegalGeneration | RebalanceInProgress | StaleMemberEpoch));
            if !rebalances || Instant::now() >= deadline {
                return Err(error);
            }
            // librdkafka joins the new generation by itself; what it wants answered waits for the next `serve`.
            std::thread::park_timeout(COMMIT_AGAIN);
        }
    }

    /// Leaves the group; false if that takes longer than `time`, as where brokers are silent. Then it goes on by itself.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn leave(self, time: Duration) -> std::io::Result<bool> {
        let (left, answer) = bounded(1);
        std::thread::Builder::new().name("leave".into()).spawn(move || {
            drop(self);
            // Nobody waits any more if that took too long.
            let _ = left.send(());
        })?;
        Ok(answer.recv_timeout(time).is_ok())
    }

    fn list(&self, positions: &[Commit]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for commit in positions {
            let mut element = list.add_partition(&self.topic, commit.partition);
            element.set_offset(Offset::Offset(commit.place.offset))?;
            element.set_metadata(commit.mark());
        }
        Ok(list)
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
        // The consumer closes, and waits for that, as its last handle is dropped, after the queues.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = |topic_id: Option<&str>| {
            let place = Place { offset: 1, topic_id: topic_id.map(str::to_owned) };
            Commit { partition: 0, place, file: "f1".to_owned() }.mark()
        };
        assert_eq!(
            parse_mark(&mark(Some("rWTg1E3tT0yuCbWlUGr9-A"))),
            (Some("rWTg1E3tT0yuCbWlUGr9-A"), Some("f1"))
        );
        assert_eq!(parse_mark(&mark(None)), (None, Some("f1")));
        assert_eq!(
            parse_mark("rWTg1E3tT0yuCbWlUGr9-A"),
            (Some("rWTg1E3tT0yuCbWlUGr9-A"), None),
            "older versions"
        );
        assert_eq!(parse_mark(""), (None, None), "an admin's");
    }
}
