//! The pipeline's end of the Redis sink: batches built while payloads are at hand, and the decision to go on
//! without Redis when it is slow.

use super::request::{Keys, Request};
use super::session::Claim;
use super::{Control, Front, Patience, RedisSink, Told};
use common::event::now_micros;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::warn;

/// The feed, attached or not.
pub struct RedisFeed {
    control: Sender<Control>,
    told: Receiver<Told>,
    front: Front,
    keys: Keys,
    memory: usize,
    assignment: u64,
    feed: Option<Sender<Request>>,
    batch: Request,
    free: Vec<Request>,
    in_flight_bytes: usize,
    patience: Patience,
    worked_since: Instant,
    thread: JoinHandle<()>,
}

impl RedisFeed {
    /// Starts the sink's thread. `memory` is what batches on their way may take.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        memory: usize,
        sink: impl FnOnce(Receiver<Control>, Sender<Told>, Front) -> RedisSink,
    ) -> std::io::Result<RedisFeed> {
        let (control, control_in) = unbounded();
        let (told_out, told) = unbounded();
        let front = Front::default();
        let sink = sink(control_in, told_out, front.clone());
        let keys = sink.keys.clone();
        let thread = std::thread::Builder::new().name("redis".into()).spawn(move || sink.run())?;
        Ok(RedisFeed {
            control,
            told,
            front,
            keys,
            memory,
            assignment: 0,
            feed: None,
            batch: Request::default(),
            free: Vec::new(),
            in_flight_bytes: 0,
            patience: Patience::new(),
            worked_since: Instant::now(),
            thread,
        })
    }

    /// Says which partitions are ours now; ends the feed until the sink wants it again.
    pub fn reassign(&mut self, claims: Vec<Claim>) {
        self.detach();
        self.assignment += 1;
        self.control(Control::Assignment(self.assignment, claims));
    }

    /// True if `number` is the current assignment.
    pub fn is_current(&self, number: u64) -> bool {
        self.assignment == number
    }

    /// Begins to feed from these positions.
    pub fn attach(&mut self, from: BTreeMap<i32, i64>) {
        let (feed, batches) = unbounded();
        self.control(Control::Feed(batches, from));
        self.feed = Some(feed);
        // What an earlier feed lost on its way never comes back.
        self.in_flight_bytes = 0;
        self.patience = Patience::new();
        self.batch.clear();
    }

    /// Stops feeding; what was fed is still applied.
    pub fn detach(&mut self) {
        self.feed = None;
    }

    /// True while Redis is fed.
    pub fn attached(&self) -> bool {
        self.feed.is_some()
    }

    /// The batch to add to, and how keys are laid out; none while not attached.
    pub fn batch(&mut self) -> Option<(&mut Request, &Keys)> {
        self.feed.as_ref()?;
        if self.batch.is_empty() {
            self.batch.begin(now_micros());
        }
        Some((&mut self.batch, &self.keys))
    }

    /// Sends the batch off.
    pub fn submit(&mut self) {
        let Some(feed) = &self.feed else { return };
        if self.batch.is_empty() {
            return;
        }
        // Set down with the batch: packing adds to its bytes.
        self.batch.charged = self.batch.memory();
        self.in_flight_bytes += self.batch.charged;
        let mut next = self.free.pop().unwrap_or_default();
        next.clear();
        let full = std::mem::replace(&mut self.batch, next);
        if let Err(unsent) = feed.send(full) {
            // The sink has given this feed up and is about to say so.
            self.recycle(unsent.into_inner());
            self.feed = None;
        }
    }

    /// Where the pipeline is now.
    pub fn set_front(&self, positions: impl Iterator<Item = (i32, i64)>) {
        self.front.set(positions);
    }

    /// What the sink tells.
    pub fn told(&self) -> &Receiver<Told> {
        &self.told
    }

    /// How long to wait for room, if the queue is full. Zero when patience is at its end: then detach.
    pub fn must_wait(&mut self) -> Option<Duration> {
        if self.feed.is_none() || self.in_flight_bytes < self.memory {
            return None;
        }
        self.patience.earn(self.worked_since.elapsed());
        self.worked_since = Instant::now();
        Some(self.patience.left())
    }

    /// Some of that was waited.
    pub fn waited(&mut self, since: Instant) {
        self.patience.spend(since.elapsed());
        self.worked_since = Instant::now();
    }

    /// Takes a batch's memory back.
    pub fn recycle(&mut self, request: Request) {
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(request.charged);
        // A few are enough to keep both sides busy; more would only hold memory.
        if self.free.len() < 4 {
            self.free.push(request);
        }
    }

    /// Ends the thread once it has applied what was fed, or the time is over.
    pub fn stop(self, deadline: Instant) {
        let RedisFeed { control, feed, told, thread, .. } = self;
        drop((control, feed));
        // The sink's end of `told` closes with its thread.
        loop {
            match told.recv_deadline(deadline) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return drop(thread.join()),
                Err(RecvTimeoutError::Timeout) => {
                    warn!("Redis did not take the last batches in time: it is caught up at the next start");
                    return;
                }
            }
        }
    }

    fn control(&self, control: Control) {
        self.control.send(control).expect("the sink's thread runs as long as we control it");
    }
}
