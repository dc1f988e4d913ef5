//! The Redis sink: a thread that owns the connection, and its feed from the pipeline.
//!
//! ```text
//!            Assignment ─────────────→ connect → claim ←──────────────── any failure, any
//! pipeline                               │  behind?                      change of assignment
//!    │                                   ├─ yes → catch up from Kafka (a client of its own)
//!    │  ←──────── Wants(positions) ──────┤  near enough
//!    ├─ Feed(queue, from) ─────────────→ catch up to `from` → apply what the queue brings
//!    └─ drops the queue: detached ─────→ apply what is left → behind again
//! ```
//!
//! One way back from everything: claim, catch up, attach. While Redis is away or slow, the pipeline feeds the
//! file only and nothing waits. A fail-over is one more failure: the replica that took over may lack the end, and its
//! positions say so.

pub mod catch_up;
pub mod feed;
pub mod options;
pub mod request;
pub mod servers;
pub mod session;

use crate::backoff::Backoff;
use crate::counts::{ServiceNames, Services};
use crate::metrics::{Metrics, Sink, SinkLabel, Stage, StageLabel, TargetLabel};
use crate::quiet::Quiet;
use crate::sink::file::checkpoint::Place;
use crate::sink::file::writer::Durable;
use catch_up::{CatchUp, From};
use common::event::now_micros;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use kafka::options::KafkaOptions;
use kafka::topic::topic_id;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use request::{Keys, Request};
use servers::Servers;
use session::{Asked, Claim, Claimed, Session};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// So many events behind the pipeline, Redis is fed directly again.
const NEAR_EVENTS: i64 = 50_000;

/// How often an idle Redis is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What the pipeline tells the sink.
#[derive(Debug)]
pub enum Control {
    /// The partitions we have now, all of them, and the number of this assignment.
    Assignment(u64, Vec<Claim>),
    /// What was wanted: batches from these positions on.
    Feed(Receiver<Request>, BTreeMap<i32, i64>),
}

/// What the sink tells the pipeline.
#[derive(Debug)]
pub enum Told {
    /// The sink holds these positions of that assignment, and wants to be fed.
    Wants(u64, BTreeMap<i32, i64>),
    /// A batch was applied; or not, and comes back.
    Back(Request),
    /// Redis holds these positions.
    Holds(Vec<(i32, i64)>),
    /// The sink isn't fed any more; why.
    Lost(String),
}

/// Where the pipeline is, for the sink to know how far it is behind.
#[derive(Debug, Clone, Default)]
pub struct Front(Arc<Mutex<BTreeMap<i32, i64>>>);

impl Front {
    /// Sets the next offset of a partition.
    pub fn set(&self, positions: impl Iterator<Item = (i32, i64)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(positions);
    }

    /// A claim made at the assignment, as things are now: the partition has grown, and so has the file.
    fn renew(&self, claim: &Claim, durable: &Durable) -> Claim {
        let front = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = front.get(&claim.partition).map_or(claim.end, |&next| next.max(claim.end));
        Claim { end, durable: durable.get(claim.partition), ..claim.clone() }
    }

    fn behind(&self, held: &BTreeMap<i32, i64>) -> i64 {
        let front = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(p, &next)| (front.get(p).copied().unwrap_or(next) - next).max(0)).sum()
    }
}

/// The sink thread's state.
pub struct RedisSink {
    /// Addresses and login.
    pub servers: Servers,
    /// Layout.
    pub keys: Keys,
    /// For catching up.
    pub kafka: KafkaOptions,
    /// As the pipeline refuses larger ones.
    pub max_event_bytes: usize,
    /// Names of services.
    pub names: ServiceNames,
    /// This process, in positions.
    pub owner: String,
    /// What is durable in the file.
    pub durable: Durable,
    /// Where the pipeline is.
    pub front: Front,
    /// From the pipeline.
    pub control: Receiver<Control>,
    /// To the pipeline.
    pub told: Sender<Told>,
    /// Where figures go.
    pub metrics: Metrics,
}

/// Why a session ended.
enum End {
    /// The pipeline is gone.
    Stopped,
    /// There is another assignment.
    Reassigned(u64, Vec<Claim>),
    /// Something went wrong.
    Failed(String),
}

impl<E: std::error::Error> std::convert::From<E> for End {
    fn from(error: E) -> End {
        End::Failed(error.to_string())
    }
}

impl Asked for RedisSink {
    fn end(&self, partition: i32) -> Result<i64, KafkaError> {
        Ok(self.client()?.fetch_watermarks(&self.kafka.topic, partition, ASK_TIMEOUT)?.1)
    }

    fn topic_id(&self) -> Result<Option<String>, KafkaError> {
        topic_id(self.client()?.client(), &self.kafka.topic, ASK_TIMEOUT)
    }
}

impl RedisSink {
    /// A client for one question: those come up once in a blue moon.
    fn client(&self) -> Result<BaseConsumer<Quiet>, KafkaError> {
        self.kafka.client_config(&[]).create_with_context(Quiet)
    }

    /// Works until the pipeline drops its end.
    pub fn run(self) {
        let mut backoff = Backoff::default();
        let mut assignment = (0, Vec::new());
        loop {
            if assignment.1.is_empty() {
                match self.control.recv() {
                    Ok(Control::Assignment(number, claims)) => assignment = (number, claims),
                    Ok(Control::Feed(..)) => {}
                    Err(_) => return,
                }
                continue;
            }
            match self.session(assignment.0, &assignment.1, &mut backoff) {
                Ok(never) => match never {},
                Err(End::Stopped) => return,
                Err(End::Reassigned(number, claims)) => assignment = (number, claims),
                Err(End::Failed(why)) => {
                    self.tell(Told::Lost(why));
                    self.metrics.retries.get_or_create(&TargetLabel { target: "redis" }).inc();
                    match self.control.recv_timeout(backoff.next()) {
                        Ok(Control::Assignment(number, claims)) => assignment = (number, claims),
                        Ok(Control::Feed(feed, _)) => self.hand_back(&feed),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
        }
    }

    fn session(
        &self,
        number: u64,
        claims: &[Claim],
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, End> {
        let mut session =
            Session::connect(&self.servers, self.keys.clone(), self.names.clone(), self.owner.clone())?;
        let claims: Vec<Claim> = claims.iter().map(|claim| self.front.renew(claim, &self.durable)).collect();
        self.heed_control()?;
        let claimed = session.claim(&claims, self)?;
        self.tell_held(&session);
        info!(address = session.address(), partitions = claims.len(), "Redis reached, positions claimed");
        let mut refill = self.refill(&claimed);
        let mut request = Request::default();
        let mut services = Services::new(self.names.clone());
        loop {
            if !refill.is_empty() || self.front.behind(session.held()) > NEAR_EVENTS {
                self.catch_up(&mut session, &mut request, &mut services, &refill)?;
                refill.clear();
            }
            self.tell(Told::Wants(number, session.held().clone()));
            let (feed, from) = match self.control.recv() {
                Ok(Control::Feed(feed, from)) => (feed, from),
                Ok(Control::Assignment(number, claims)) => return Err(End::Reassigned(number, claims)),
                Err(_) => return Err(End::Stopped),
            };
            let fed = self
                .catch_up_to(&mut session, &mut request, &mut services, &from)
                .and_then(|()| self.follow(&mut session, &feed, backoff));
            if let Err(end) = fed {
                self.hand_back(&feed);
                return Err(end);
            }
        }
    }

    /// Where the lists of partitions that Redis knew nothing of are to be filled from.
    fn refill(&self, claimed: &[Claimed]) -> BTreeMap<i32, i64> {
        let share = i64::try_from(self.keys.recent).unwrap_or(i64::MAX) / claimed.len().max(1) as i64;
        claimed.iter().filter(|c| c.fresh && c.next > 0).map(|c| (c.partition, share)).collect()
    }

    fn reader(&self, session: &Session, refill: &BTreeMap<i32, i64>) -> Result<CatchUp, End> {
        let from: Vec<From> = session
            .held()
            .iter()
            .map(|(&partition, &next)| {
                let topic_id = session.topic_id(partition).map(str::to_owned);
                let refill = refill.get(&partition).copied().unwrap_or(0);
                From { partition, next: Place { offset: next, topic_id }, refill }
            })
            .collect();
        Ok(CatchUp::start(&self.kafka, self.max_event_bytes, &from)?)
    }

    /// Reads from Kafka until Redis is near the pipeline.
    fn catch_up(
        &self,
        session: &mut Session,
        request: &mut Request,
        services: &mut Services,
        refill: &BTreeMap<i32, i64>,
    ) -> Result<(), End> {
        let mut reader = self.reader(session, refill)?;
        info!(
            events = self.front.behind(session.held()),
            refill = !refill.is_empty(),
            "Redis catches up from Kafka"
        );
        loop {
            self.step(session, &mut reader, request, services, None)?;
            let refilled = refill.is_empty() || reader.past_refill();
            if refilled && self.front.behind(session.held()) <= NEAR_EVENTS {
                return Ok(());
            }
            self.heed_control()?;
        }
    }

    /// Ends the session if the pipeline wants something else by now.
    fn heed_control(&self) -> Result<(), End> {
        match self.control.try_recv() {
            Ok(Control::Assignment(number, claims)) => Err(End::Reassigned(number, claims)),
            Ok(Control::Feed(feed, _)) => {
                self.hand_back(&feed);
                Ok(())
            }
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(End::Stopped),
        }
    }

    /// Reads from Kafka exactly up to where the feed begins.
    fn catch_up_to(
        &self,
        session: &mut Session,
        request: &mut Request,
        services: &mut Services,
        from: &BTreeMap<i32, i64>,
    ) -> Result<(), End> {
        let missing = |session: &Session| {
            from.iter().any(|(p, &from)| session.held().get(p).is_some_and(|&h| h < from))
        };
        if !missing(session) {
            return Ok(());
        }
        let mut reader = self.reader(session, &BTreeMap::new())?;
        while missing(session) {
            self.step(session, &mut reader, request, services, Some(from))?;
            self.heed_control()?;
        }
        Ok(())
    }

    fn step(
        &self,
        session: &mut Session,
        reader: &mut CatchUp,
        request: &mut Request,
        services: &mut Services,
        limits: Option<&BTreeMap<i32, i64>>,
    ) -> Result<(), End> {
        let skipped = reader.read(request, &self.keys, services, limits)?;
        if skipped > 0 {
            warn!(offsets = skipped, "Kafka no longer had some of what Redis missed");
        }
        if !request.is_empty() {
            session.apply(request)?;
            self.applied(request);
            self.tell_held(session);
        }
        Ok(())
    }

    /// Applies what the pipeline feeds, until it stops feeding.
    fn follow(
        &self,
        session: &mut Session,
        feed: &Receiver<Request>,
        backoff: &mut Backoff,
    ) -> Result<(), End> {
        loop {
            let mut request = match feed.recv_timeout(CHECK_INTERVAL) {
                Ok(request) => request,
                // Without events nothing else would tell of a Redis that lost its data.
                Err(RecvTimeoutError::Timeout) => {
                    session.check()?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let result = session.apply(&mut request);
            if result.is_ok() {
                backoff.reset();
                self.applied(&request);
                let holds = request.positions().iter().map(|moved| (moved.partition, moved.next)).collect();
                self.tell(Told::Holds(holds));
            }
            self.tell(Told::Back(request));
            result?;
        }
    }

    fn applied(&self, request: &Request) {
        let label = SinkLabel { sink: Sink::redis };
        self.metrics.events_out.get_or_create(&label).inc_by(request.events);
        self.metrics.bytes_out.get_or_create(&label).inc_by(request.bytes() as u64);
        self.metrics
            .latency
            .get_or_create(&StageLabel { stage: Stage::redis })
            .record(now_micros(), &request.dues);
    }

    fn hand_back(&self, feed: &Receiver<Request>) {
        for request in feed.try_iter() {
            self.tell(Told::Back(request));
        }
    }

    fn tell_held(&self, session: &Session) {
        self.tell(Told::Holds(session.held().iter().map(|(&p, &next)| (p, next)).collect()));
    }

    fn tell(&self, told: Told) {
        // When the pipeline is gone there is nobody to tell; the next receive ends this thread.
        let _ = self.told.send(told);
    }
}

/// How long the pipeline lets Redis hold it up: a full queue may cost at most half of the time, and one second
/// at a stretch. Beyond that Redis is detached, so that the file goes on.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
}

impl Patience {
    const MOST: Duration = Duration::from_secs(1);

    /// Full of it.
    pub fn new() -> Patience {
        Patience { left: Self::MOST }
    }

    /// What may be waited now.
    pub fn left(&self) -> Duration {
        self.left
    }

    /// Some of it was needed.
    pub fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    /// Work went on for a while: as much comes back.
    pub fn earn(&mut self, worked: Duration) {
        self.left = (self.left + worked).min(Self::MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::file::checkpoint::Position;

    #[test]
    fn patience_runs_out_and_comes_back() {
        let mut patience = Patience::new();
        patience.spend(Duration::from_millis(900));
        assert_eq!(patience.left(), Duration::from_millis(100));
        patience.spend(Duration::from_millis(900));
        assert_eq!(patience.left(), Duration::ZERO);
        patience.earn(Duration::from_millis(10));
        assert_eq!(patience.left(), Duration::from_millis(10));
        patience.earn(Duration::from_secs(60));
        assert_eq!(patience.left(), Duration::from_secs(1));
    }

    #[test]
    fn a_claim_is_renewed_as_the_partition_grows() {
        let (front, durable) = (Front::default(), Durable::default());
        let start = Place { offset: 5, topic_id: None };
        let claim = Claim { partition: 0, start, ended: 10, end: 10, durable: None };
        assert_eq!(front.renew(&claim, &durable), claim);
        front.set([(0, 100)].into_iter());
        durable.set(0, Position { next: 90, ..Position::default() });
        let renewed = front.renew(&claim, &durable);
        assert_eq!((renewed.start.offset, renewed.end), (5, 100));
        assert_eq!(renewed.durable.map(|position| position.next), Some(90));
    }

    #[test]
    fn how_far_behind() {
        let front = Front::default();
        front.set([(0, 100), (1, 50)].into_iter());
        assert_eq!(front.behind(&BTreeMap::from([(0, 90), (1, 60), (2, 5)])), 10);
    }
}
