//! A worker: takes batches from Kafka, decodes, feeds the sinks, and keeps the books. There may be several, each with
//! partitions, a membership and a session with Redis of its own.
//!
//! ```text
//! Kafka → batch → decode ─┬→ block of the file ──→ writer  ─┐
//!                         ├→ request to Redis  ──→ session ─┤ positions → ledger → commit
//!                         └→ rejected          ──→ sender  ─┘
//! ```
//!
//! It owns its state; shared are the file's writer, the names of services, and what [`Health`] and [`Metrics`] show. While
//! events flow it waits only for new messages, for room in the file's memory, and, a little, for Redis
//! ([`Patience`](crate::sink::redis::Patience)); at a rebalance for the sinks to settle and for Kafka's word.

mod commit;
mod rebalance;
mod redis;

use crate::counts::{Counts, ServiceNames, Services};
use crate::group::{COMPLAINT_INTERVAL, Group, Standing};
use crate::health::{Health, State, Vitals};
use crate::ledger::Ledger;
use crate::metrics::{Metrics, PartitionLabel, Stage, StageLabel};
use crate::sink::dead_letter::source::Source;
use crate::sink::dead_letter::{DeadLetters, Rejected};
use crate::sink::file::FileSink;
use crate::sink::file::checkpoint::Place;
use crate::sink::file::writer::{Block, Done, FileId, Progress};
use crate::sink::redis::feed::RedisFeed;
use anyhow::bail;
use common::decode::{decode_within, single_line};
use common::event::now_micros;
use common::shutdown::Shutdown;
use crossbeam_channel::TryRecvError;
use kafka::consume::Item;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long to wait for a first message before looking after everything else.
const IDLE_WAIT: Duration = Duration::from_millis(5);
/// Without partitions for so long, it is said why that may be.
const SAY_WAITING_AFTER: Duration = Duration::from_secs(3);
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// For what is under way when the program is to end.
const DRAIN_TIME: Duration = Duration::from_secs(30);
/// Of that, for Redis, which is caught up at the next start anyway.
const DRAIN_REDIS_TIME: Duration = Duration::from_secs(5);
/// And for telling the group.
const LEAVE_TIME: Duration = Duration::from_secs(6);

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// The JSON as it arrived, a line each
    Json,
    /// `timestamp LEVEL service message`, for people
    Text,
}

/// What the pipeline is made of.
pub struct Parts {
    /// Membership and messages.
    pub group: Group,
    /// The file sink.
    pub file: FileSink,
    /// The Redis sink, unless there is none.
    pub redis: Option<RedisFeed>,
    /// The topic of the rejected.
    pub dead_letters: DeadLetters,
    /// Names of services.
    pub names: ServiceNames,
    /// Where figures go.
    pub metrics: Metrics,
    /// Where the program's state goes.
    pub health: Health,
    /// Where this worker's goes.
    pub vitals: Arc<Vitals>,
    /// How events are written.
    pub format: FileFormat,
    /// A larger payload is refused.
    pub max_event_bytes: usize,
    /// True when others can't see our files, so that the group's offset counts where it is ahead.
    pub private_files: bool,
}

/// See the module.
pub struct Pipeline {
    group: Group,
    file: FileSink,
    redis: Option<RedisFeed>,
    dead_letters: DeadLetters,
    names: ServiceNames,
    services: Services,
    metrics: Metrics,
    health: Health,
    vitals: Arc<Vitals>,
    format: FileFormat,
    max_event_bytes: usize,
    private_files: bool,
    ledger: Ledger,
    partitions: BTreeMap<i32, Partition>,
    /// Ours by the group's word, but the file is still held by their last owner, or Kafka did not answer.
    awaited: Vec<i32>,
    /// When those are tried next, and when it was last said that they can't be had.
    try_at: Instant,
    /// When the next partitions in doubt begin anew, if some did just now.
    again_at: Instant,
    complained: Option<Instant>,
    committed: Instant,
    /// When it was said that a commit was refused.
    refused: Option<Instant>,
    /// When there were partitions last, or the start; and whether it was said since that there are none.
    had_partitions: Instant,
    said_none: bool,
    /// Why Redis was detached last, and when that was said.
    redis_trouble: Option<(String, Instant)>,
    dues: Vec<u64>,
    events: u64,
}

/// What can't be read on as it is, after a batch.
enum Doubt {
    /// These partitions; perhaps none.
    Partitions(Vec<i32>),
    /// All of the topic: it was made anew.
    Topic,
}

/// A partition that we read.
#[derive(Debug)]
struct Partition {
    /// The next offset to come.
    next: i64,
    /// The file it goes to.
    file: FileId,
    /// Where it started, and its end then.
    start: Place,
    end: i64,
    /// Whether that start is in the file's checkpoint.
    checkpointed: bool,
    /// All events in the file so far.
    totals: Counts,
    /// What the last block covered.
    flushed: i64,
    /// Where Redis will be once all it was fed is applied.
    redis_next: i64,
}

impl Pipeline {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Pipeline {
        let Parts { group, file, redis, dead_letters, names, metrics, health, vitals, .. } = parts;
        Pipeline {
            group,
            file,
            redis,
            dead_letters,
            services: Services::new(names.clone()),
            names,
            metrics,
            health,
            vitals,
            format: parts.format,
            max_event_bytes: parts.max_event_bytes,
            private_files: parts.private_files,
            ledger: Ledger::default(),
            partitions: BTreeMap::new(),
            awaited: Vec::new(),
            try_at: Instant::now(),
            again_at: Instant::now(),
            complained: None,
            committed: Instant::now(),
            refused: None,
            had_partitions: Instant::now(),
            said_none: false,
            redis_trouble: None,
            dues: Vec::new(),
            events: 0,
        }
    }

    /// Runs until a shutdown is asked for; then drains, syncs, commits and leaves the group.
    ///
    /// # Errors
    /// When the file can't be written or the membership is lost for good. What is not checkpointed then is read
    /// again at the next start.
    pub fn run(mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        while !shutdown.requested() {
            self.vitals.beat();
            self.vitals.set_oldest_unsynced(self.file.oldest_unsynced());
            if self.group.serve()? == Standing::Fenced {
                self.fenced()?;
            }
            self.answer_rebalances()?;
            self.take_completions()?;
            if self.committed.elapsed() >= COMMIT_INTERVAL {
                self.every_second();
            }
            if self.file.has_room() && self.dead_letters.has_room() {
                match self.turn() {
                    Doubt::Partitions(ids) => self.start_again(ids)?,
                    Doubt::Topic => self.join_again()?,
                }
            } else if let Ok(done) = self.file.done().recv_timeout(IDLE_WAIT) {
                self.written(done)?;
            }
        }
        self.drain()
    }

    /// Takes one batch through.
    fn turn(&mut self) -> Doubt {
        let Pipeline { group, file, redis, dead_letters, services, metrics, dues, partitions, .. } = self;
        let batch = group.queue.consume(IDLE_WAIT);
        if batch.topic_made_anew() {
            // What is in hand may be of either topic: what of the old one was not taken before is gone with it.
            warn!(messages = batch.len(), "the topic was made anew: all partitions begin again");
            return Doubt::Topic;
        }
        let fetched = now_micros();
        let mut fed = redis.as_mut().and_then(RedisFeed::batch);
        let (mut taken, mut repeated, mut skipped) = (0_u64, 0_u64, 0_i64);
        let mut in_doubt = Vec::new();
        // Messages come in runs of one partition: what belongs to it is looked up once a run.
        let mut run: Option<(i32, &mut Partition, &mut Block)> = None;
        for item in batch.iter() {
            let message = match item {
                Item::Message(message) => message,
                Item::Error { partition, code, .. } => {
                    warn!(topic = group.topic, partition, %code, "the partition can't be read, trying again");
                    // librdkafka counts the error as a message, and may go on behind bytes that are none: where reading
                    // goes on is decided anew, and what still comes of the partition waits for that.
                    in_doubt.push(partition);
                    run = None;
                    continue;
                }
            };
            if run.as_ref().is_none_or(|(id, ..)| *id != message.partition) {
                run = partitions
                    .get_mut(&message.partition)
                    .filter(|_| !in_doubt.contains(&message.partition))
                    .map(|partition| (message.partition, partition, file.block(message.partition)));
            }
            // What still comes of a partition that was given up belongs to its next owner.
            let Some((_, partition, block)) = &mut run else { continue };
            if message.offset < partition.next {
                repeated += 1;
                continue;
            }
            skipped += message.offset - partition.next;
            partition.next = message.offset + 1;
            taken += 1;
            let payload = message.payload.unwrap_or_default();
            let event = match decode_within(payload, self.max_event_bytes) {
                Ok(event) => event,
                Err(reason) => {
                    dead_letters.send(Rejected {
                        payload: message.payload.map(<[u8]>::to_vec),
                        key: message.key.map(<[u8]>::to_vec),
                        source: Source {
                            topic: group.topic.clone(),
                            topic_id: partition.start.topic_id.clone(),
                            partition: message.partition,
                            offset: message.offset,
                        },
                        reason,
                    });
                    continue;
                }
            };
            let service = event.service.as_deref().map(|name| services.id(name));
            partition.totals.add(event.level, service);
            match self.format {
                FileFormat::Json => block.push(&single_line(payload), event.due),
                FileFormat::Text => {
                    event.write_text(&mut block.lines, i64::try_from(fetched).unwrap_or(0));
                    block.push(b"", event.due);
                }
            }
            if let Some((request, keys)) = &mut fed
                && message.offset >= partition.redis_next
            {
                request.push(payload, event.level, service, event.timestamp, event.due, keys);
            }
            dues.extend(event.due);
        }
        drop(batch);
        if taken + repeated == 0 {
            self.flush(false);
            return Doubt::Partitions(in_doubt);
        }
        metrics.events_in.inc_by(taken);
        metrics.batch_events.observe(taken as f64);
        metrics.repeated.inc_by(repeated);
        metrics.skipped.inc_by(u64::try_from(skipped).unwrap_or(0));
        metrics.latency.get_or_create(&StageLabel { stage: Stage::fetched }).record(fetched, dues);
        dues.clear();
        self.events += taken;
        self.feed_redis();
        self.flush(false);
        Doubt::Partitions(in_doubt)
    }

    /// Hands blocks to the writer.
    fn flush(&mut self, all: bool) {
        let Pipeline { file, partitions, dead_letters, .. } = self;
        file.flush(all, dead_letters.sent(), |file_id| {
            partitions
                .iter_mut()
                .filter(|(_, partition)| partition.file == file_id && partition.next > partition.flushed)
                .map(|(&id, partition)| {
                    partition.flushed = partition.next;
                    Progress::new(id, partition.next, &partition.totals)
                })
                .collect()
        });
    }

    /// Takes in what the sinks have done, and lets Redis hold us up a little if it is behind.
    fn take_completions(&mut self) -> anyhow::Result<()> {
        loop {
            match self.file.done().try_recv() {
                Ok(done) => self.written(done)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => bail!("the file's writer is gone"),
            }
        }
        self.wait_for_redis();
        Ok(())
    }

    fn written(&mut self, done: Done) -> anyhow::Result<()> {
        match done {
            Done::Durable(block) => {
                for progress in &block.progress {
                    self.ledger.file_durable(progress.partition, progress.next);
                }
                self.file.recycle(block);
            }
            Done::Closed => self.file.closed(),
            Done::Failed(why) => {
                bail!("the file can't be written: {why}; what is missing is read again at the next start")
            }
        }
        Ok(())
    }

    fn every_second(&mut self) {
        self.committed = Instant::now();
        if !self.partitions.is_empty() || !self.awaited.is_empty() {
            (self.had_partitions, self.said_none) = (Instant::now(), false);
        } else if !self.said_none && self.had_partitions.elapsed() >= SAY_WAITING_AFTER {
            self.say_why_we_wait();
        }
        self.commit();
        self.tell_partitions();
        for (&id, partition) in &self.partitions {
            if let Some(end) = self.group.high_watermark(id) {
                let label = PartitionLabel { partition: id };
                self.metrics.lag.get_or_create(&label).set((end - partition.next).max(0));
            }
        }
    }

    fn tell_partitions(&self) {
        let positions = self.partitions.iter().map(|(&id, partition)| (id, partition.next));
        self.vitals.set_partitions(positions, self.awaited.len());
    }

    fn say_why_we_wait(&mut self) {
        match self.group.has_topic() {
            Ok(true) => {
                self.said_none = true;
                let why = match self.group.dealt_by_broker {
                    false => "(10 s)",
                    true => {
                        "(by the broker's group.consumer.session.timeout.ms, 45 s unless set), needs Kafka 4 for \
                         group.protocol=consumer"
                    }
                };
                info!(
                    "no partitions at present: the group keeps the place of a member that ended until its session is over \
                     {why}, and gives none to more consumers than there are partitions"
                );
            }
            Ok(false) => {
                self.said_none = true;
                self.group.say_no_topic();
            }
            Err(error) if self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) => {
                self.complained = Some(Instant::now());
                warn!(%error, "no broker answers, trying on: is --brokers right?");
            }
            Err(_) => {}
        }
    }

    /// Makes everything durable, with a deadline, and ends.
    fn drain(mut self) -> anyhow::Result<()> {
        self.health.set(State::Stopping);
        info!("ending: what was read becomes durable first; another signal ends at once");
        let started = Instant::now();
        self.flush(true);
        let ids: Vec<i32> = self.partitions.keys().copied().collect();
        self.settle(&ids, DRAIN_TIME, DRAIN_REDIS_TIME)?;
        let committed = self.commit_all();
        let Pipeline { group, file, redis, events, private_files, .. } = self;
        if let Some(redis) = redis {
            if !redis.attached() && !ids.is_empty() {
                info!("Redis is behind: it is caught up at the next start");
            }
            redis.stop(Instant::now() + DRAIN_REDIS_TIME);
        }
        if !group.leave(LEAVE_TIME)? {
            warn!("the group did not hear of it in time: it misses this member once its session is over");
        }
        drop(file);
        let how = if committed.is_ok() { "drained, synced and committed" } else { "drained and synced" };
        info!(events, partitions = ids.len(), seconds = started.elapsed().as_secs_f64(), "{how}");
        if private_files { committed.map_err(Into::into) } else { Ok(()) }
    }
}
