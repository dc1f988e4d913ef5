//! Events into Kafka, with an exact account of each.
//!
//! ```text
//! Batch ─send→ librdkafka's queue ─batches, lz4→ broker
//!                 ↑ full: wait here       ↓ acknowledged by all in-sync replicas
//!              Accounts ←──────poll── deliveries
//! ```

mod accounts;
mod anew;
mod ranges;
mod stall;
mod topic;

pub(crate) use accounts::Accounts;

use crate::batch::Batch;
use crate::clock::Clock;
use crate::config::{Config, Impossible, Work};
use crate::progress::Progress;
use common::decode::decode;
use common::shutdown::Shutdown;
use kafka::options::in_short;
use kafka::produce::{BatchProducer, Deliveries, Event};
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use stall::{Notice, Stall};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// What librdkafka is told, unless `--kafka` says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "sluice-producer"),
    // Acknowledged means: on all in-sync replicas. A repeat after a broken connection is recognised by the broker.
    ("acks", "all"),
    ("enable.idempotence", "true"),
    // lz4 costs less than the bytes it saves on the way and on the broker's disk.
    ("compression.type", "lz4"),
    // Enough for a batch to form; when there is more to do than that, batches grow by themselves.
    ("linger.ms", "1"),
    ("batch.num.messages", "10000"),
    ("batch.size", "1000000"),
    // Bound the memory, at some 400 bytes a message: below 256 MiB for the process.
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("socket.nagle.disable", "true"),
];

/// How long an event is tried. A simulated one longer than a broker's restart takes, then it has failed; a line of
/// a file as long as it takes: the file waits.
fn delivery_timeout(work: &Work) -> (&'static str, &'static str) {
    let millis = match work {
        Work::Simulate { .. } => "120000",
        Work::Ship(_) => "0",
    };
    ("delivery.timeout.ms", millis)
}

/// How long to wait for room or acknowledgements before looking around.
const LOOK_AROUND: Duration = Duration::from_millis(50);
/// How long the client may take, once a broker answers, until it may send; it needs half a second.
const MAY_SEND: Duration = Duration::from_secs(5);
/// How long acknowledgements are waited for after SIGTERM: within the 10 s that `docker stop` gives by itself.
const DRAIN: Duration = Duration::from_secs(8);
/// How long the client may take to hand back what it was told to give up.
const GIVING_UP: Duration = Duration::from_secs(5);
/// Latencies taken of one delivery, at most; see [`note_latency`].
const SAMPLES: usize = 64;

/// Sends batches and keeps the accounts.
pub(crate) struct Publisher {
    client: ClientConfig,
    producer: BatchProducer,
    topic: String,
    partitions: usize,
    clock: Clock,
    shutdown: Shutdown,
    accounts: Accounts,
    stall: Stall,
    progress: Progress,
    fatal: Option<String>,
    made_anew: bool,
    unsent: u64,
}

impl Publisher {
    /// Connects and waits for the topic; the clock starts when it is there. None when a shutdown was asked for
    /// meanwhile.
    ///
    /// # Errors
    /// [`Impossible`] when librdkafka refuses the configuration; otherwise no broker or no topic.
    pub(crate) fn connect(
        config: &Config,
        shutdown: &Shutdown,
        progress: Progress,
    ) -> anyhow::Result<Option<Publisher>> {
        let topic = config.kafka.topic.clone();
        let defaults = [DEFAULTS, &[delivery_timeout(&config.work)]].concat();
        let client = config.kafka.client_config(&defaults);
        let mut producer =
            BatchProducer::new(&client, &topic).map_err(|error| Impossible(config.kafka.refused(&error)))?;
        let question = topic::Question { brokers: &config.kafka.brokers, topic: &topic, wait: config.wait };
        let Some(partitions) = topic::partitions(&mut producer, question, shutdown)? else {
            return Ok(None);
        };
        let clock = Clock::start();
        let mut publisher = Publisher {
            client,
            producer,
            topic,
            partitions,
            clock,
            shutdown: shutdown.clone(),
            accounts: Accounts::default(),
            stall: Stall::new(clock.started()),
            progress,
            fatal: None,
            made_anew: false,
            unsent: 0,
        };
        publisher.start();
        Ok(Some(publisher))
    }

    /// Starts the clock once the client may send: events that were due before would only count its start.
    fn start(&mut self) {
        let deadline = Instant::now() + MAY_SEND;
        while !self.producer.may_send()
            && self.fatal.is_none()
            && Instant::now() < deadline
            && !self.shutdown.requested()
        {
            self.poll(Duration::from_millis(5));
        }
        self.clock = Clock::start();
        self.stall = Stall::new(self.clock.started());
    }

    /// The clock of the run.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The topic and its number of partitions.
    pub(crate) fn topic(&self) -> (&str, usize) {
        (&self.topic, self.partitions)
    }

    /// The accounts.
    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Why nothing can be sent any more, if so.
    pub(crate) fn fatal(&self) -> Option<&str> {
        self.fatal.as_deref()
    }

    /// Events that found no room before the end.
    pub(crate) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Sends a batch; waits while the client's queue is full. After a shutdown request it stops waiting, and
    /// what found no room counts as not sent. `meanwhile` is called while it waits.
    pub(crate) fn send(&mut self, batch: &Batch, mut meanwhile: impl FnMut()) {
        let mut taken = 0;
        while taken < batch.len() && self.fatal.is_none() {
            let sent = self.producer.send(batch.records_from(taken));
            let upto = taken + sent.taken;
            self.accounts.sent(sent.taken as u64, batch.payload_bytes(taken..upto));
            for (index, code) in sent.refused {
                let index = taken + index;
                self.accounts.failed(
                    batch.seq(index),
                    batch.payload_bytes(index..index + 1),
                    &code.to_string(),
                );
                if code == RDKafkaErrorCode::Fatal {
                    self.fatal = Some(code.to_string());
                }
            }
            taken = upto;
            if taken < batch.len() {
                if self.shutdown.requested() {
                    self.unsent += (batch.len() - taken) as u64;
                    return;
                }
                meanwhile();
                self.poll(LOOK_AROUND);
            }
        }
    }

    /// Waits up to `timeout` for news of the broker and takes all there are.
    pub(crate) fn poll(&mut self, timeout: Duration) {
        self.take_news(timeout, note_failed);
        if std::mem::take(&mut self.made_anew) {
            self.begin_anew();
        }
    }

    /// The same; `failed` decides what becomes of messages that were not delivered.
    fn take_news(
        &mut self,
        timeout: Duration,
        mut failed: impl FnMut(&mut Accounts, &Deliveries<'_>, RDKafkaErrorCode),
    ) {
        let Publisher { producer, clock, accounts, stall, progress, fatal, made_anew, .. } = self;
        producer.poll(timeout, |event| match event {
            Event::Delivery { error: None, messages } => {
                let now = clock.now();
                note_acknowledged(accounts, &messages, now);
                if let Some(notice) = stall.progress(now) {
                    say(progress, notice, accounts.in_flight());
                }
            }
            Event::Delivery { error: Some(code), messages } => failed(accounts, &messages, code),
            Event::Client { reason, fatal: true, .. } => *fatal = Some(reason),
            Event::Client { code, reason, fatal: false } => {
                // What follows the complaint about the last of them, and says less.
                if code != RDKafkaErrorCode::AllBrokersDown {
                    stall.complaint(in_short(&reason).to_owned());
                }
            }
            Event::TopicMadeAnew => *made_anew = true,
        });
        let (now, in_flight) = (clock.now(), accounts.in_flight());
        if let Some(notice) = stall.check(now, in_flight) {
            say(progress, notice, in_flight);
        }
        progress.update(now, accounts);
    }

    /// Tells the progress display how many events are due and not taken.
    pub(crate) fn set_behind(&mut self, events: u64) {
        self.progress.set_behind(events);
    }

    /// Waits until the fate of every event is known: as long as the client tries; after a shutdown
    /// request some seconds, and then the rest is given up and counts as failed.
    pub(crate) fn drain(&mut self) {
        let mut deadline: Option<Instant> = None;
        while self.accounts.in_flight() > 0 && self.fatal.is_none() {
            if self.shutdown.requested() {
                let deadline = *deadline.get_or_insert_with(|| {
                    let in_flight = self.accounts.in_flight();
                    self.progress.suspend(|| {
                        info!(
                            in_flight,
                            "ending: waiting up to {DRAIN:?} for acknowledgements; another signal ends at once"
                        );
                    });
                    Instant::now() + DRAIN
                });
                if deadline <= Instant::now() {
                    break;
                }
            }
            self.poll(LOOK_AROUND);
        }
        self.give_up();
        self.progress.finish();
    }

    /// Has what is still on its way count as failed.
    fn give_up(&mut self) {
        if self.accounts.in_flight() > 0 {
            self.producer.give_up();
            let deadline = Instant::now() + GIVING_UP;
            while self.accounts.in_flight() > 0 && Instant::now() < deadline {
                self.take_news(LOOK_AROUND, note_failed);
            }
        }
    }
}

fn say(progress: &Progress, notice: Notice, in_flight: u64) {
    let seconds = |micros: u64| micros as f64 / 1e6;
    progress.suspend(|| match notice {
        Notice::Waiting { micros, reason } => {
            warn!("no acknowledgement for {:.1} s ({reason}): {in_flight} events wait", seconds(micros))
        }
        Notice::Over { micros } => info!("acknowledgements come again after {:.1} s", seconds(micros)),
    });
}

fn note_acknowledged(accounts: &mut Accounts, messages: &Deliveries<'_>, now: u64) {
    let numbered = |index: usize| messages.number(index).filter(|&number| number > 0);
    // Sent in order, so the first and the last have the lowest and the highest number.
    let first = (0..messages.len()).find_map(numbered);
    let last = (0..messages.len()).rev().find_map(numbered);
    let seqs = first.zip(last).map(|(first, last)| (first as u64, last as u64));
    accounts.acknowledged(messages.len() as u64, seqs, now);
    note_latency(accounts, messages, now);
}

/// Takes the due time of every n-th event of a delivery, at most [`SAMPLES`], and counts its latency for the
/// n - 1 that follow it as well. They were due later, so it is never less than the true one, and the largest is
/// exact. What is read is the event itself, as the broker has it.
fn note_latency(accounts: &mut Accounts, messages: &Deliveries<'_>, now: u64) {
    let every = messages.len().div_ceil(SAMPLES).max(1);
    for index in (0..messages.len()).step_by(every) {
        let due =
            messages.payload(index).and_then(|payload| decode(payload).ok()).and_then(|event| event.due);
        if let Some(due) = due {
            accounts.latency(now.saturating_sub(due), every.min(messages.len() - index) as u64);
        }
    }
}

fn note_failed(accounts: &mut Accounts, messages: &Deliveries<'_>, code: RDKafkaErrorCode) {
    let reason = code.to_string();
    for index in 0..messages.len() {
        note_one_failed(accounts, messages, index, &reason);
    }
}

fn note_one_failed(accounts: &mut Accounts, messages: &Deliveries<'_>, index: usize, reason: &str) {
    if let (Some(number), Some(payload)) = (messages.number(index), messages.payload(index)) {
        accounts.failed(number as u64, payload.len() as u64, reason);
    }
}
