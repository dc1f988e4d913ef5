//! What the program and each of its workers are doing, for the probes, the status line and the metrics.

use prometheus_client::encoding::EncodeLabelValue;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A worker that has not turned for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// What a consumer can be doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not ready yet.
    Starting,
    /// Another consumer writes the file; this one takes over when that ends.
    Standby {
        /// Who has the file.
        holder: String,
    },
    /// In the group, writing.
    Active,
    /// Draining; nothing else follows.
    Stopping,
}

/// What may fail to do its work while the rest goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
#[allow(missing_docs, reason = "the names say it")]
#[expect(non_camel_case_types, reason = "the labels as Prometheus shows them")]
pub enum Part {
    brokers,
    partitions,
    file,
    redis,
    rejected_topic,
    workers,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 6] =
        [Part::brokers, Part::partitions, Part::file, Part::redis, Part::rejected_topic, Part::workers];
}

/// Something is wrong with a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// With which.
    pub part: Part,
    /// Since when.
    pub since: Instant,
    /// What.
    pub what: String,
}

impl Display for Trouble {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, for {} s", self.what, self.since.elapsed().as_secs())
    }
}

/// Shared by the threads; cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    workers: Mutex<Vec<Weak<Vitals>>>,
    troubles: Mutex<Vec<Trouble>>,
}

impl Default for Health {
    fn default() -> Health {
        let state = Mutex::new(State::Starting);
        Health(Arc::new(Shared { state, workers: Mutex::default(), troubles: Mutex::default() }))
    }
}

impl Health {
    /// Says what is being done.
    pub fn set(&self, state: State) {
        let mut current = lock(&self.0.state);
        if *current != State::Stopping {
            *current = state;
        }
    }

    /// What is being done.
    pub fn state(&self) -> State {
        lock(&self.0.state).clone()
    }

    /// One more worker, until what is returned is dropped.
    pub fn worker(&self) -> Arc<Vitals> {
        let vitals = Arc::new(Vitals::default());
        lock(&self.0.workers).push(Arc::downgrade(&vitals));
        vitals
    }

    /// False when a worker hangs.
    pub fn alive(&self) -> bool {
        self.silence() < HANGS_AFTER
    }

    /// Partitions that the workers have.
    pub fn partitions(&self) -> usize {
        self.workers().map(|worker| worker.partitions()).sum()
    }

    /// True while Redis keeps up with every worker that has partitions.
    pub fn redis_attached(&self) -> bool {
        let mut with_partitions = self.workers().filter(|worker| worker.partitions() > 0).peekable();
        with_partitions.peek().is_some()
            && with_partitions.all(|worker| worker.redis_attached.load(Ordering::Relaxed))
    }

    /// Age of the oldest event that is not durable in the file yet.
    pub fn oldest_unsynced(&self) -> Duration {
        let since = self.workers().filter_map(|worker| *lock(&worker.oldest_unsynced)).min();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// For how long the worker that has been silent longest has not turned.
    pub fn silence(&self) -> Duration {
        self.workers().map(|worker| worker.since_beat()).max().unwrap_or_default()
    }

    /// The next offset of each partition that is read.
    pub fn positions(&self) -> BTreeMap<i32, i64> {
        self.workers().flat_map(|worker| lock(&worker.positions).clone()).collect()
    }

    /// Partitions that are ours and can't be read yet, because their files are held by others, or Kafka does not say
    /// where to begin.
    pub fn awaited(&self) -> usize {
        self.workers().map(|worker| worker.awaited.load(Ordering::Relaxed)).sum()
    }

    /// Says what is wrong at present, instead of what was before.
    pub fn set_troubles(&self, troubles: Vec<Trouble>) {
        *lock(&self.0.troubles) = troubles;
    }

    /// What is wrong at present; the work goes on as far as it can.
    pub fn troubles(&self) -> Vec<Trouble> {
        lock(&self.0.troubles).clone()
    }

    fn workers(&self) -> impl Iterator<Item = Arc<Vitals>> + use<> {
        lock(&self.0.workers).clone().into_iter().filter_map(|worker| worker.upgrade())
    }
}

/// What a worker tells of itself.
#[derive(Debug)]
pub struct Vitals {
    started: Instant,
    beat_ms: AtomicU64,
    redis_attached: AtomicBool,
    oldest_unsynced: Mutex<Option<Instant>>,
    positions: Mutex<BTreeMap<i32, i64>>,
    awaited: AtomicUsize,
}

impl Default for Vitals {
    fn default() -> Vitals {
        Vitals {
            started: Instant::now(),
            beat_ms: AtomicU64::new(0),
            redis_attached: AtomicBool::new(false),
            oldest_unsynced: Mutex::new(None),
            positions: Mutex::default(),
            awaited: AtomicUsize::new(0),
        }
    }
}

impl Vitals {
    /// It turns.
    pub fn beat(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(ms, Ordering::Relaxed);
    }

    fn since_beat(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.beat_ms.load(Ordering::Relaxed)))
    }

    fn partitions(&self) -> usize {
        lock(&self.positions).len()
    }

    /// Redis keeps up with it, or does not.
    pub fn set_redis_attached(&self, attached: bool) {
        self.redis_attached.store(attached, Ordering::Relaxed);
    }

    /// It reads these partitions, with the next offset of each, and waits for so many more.
    pub fn set_partitions(&self, positions: impl Iterator<Item = (i32, i64)>, awaited: usize) {
        *lock(&self.positions) = positions.collect();
        self.awaited.store(awaited, Ordering::Relaxed);
    }

    /// The oldest event that is not durable yet came then.
    pub fn set_oldest_unsynced(&self, since: Option<Instant>) {
        *lock(&self.oldest_unsynced) = since;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_told_as_one() {
        let health = Health::default();
        assert!(health.alive() && !health.redis_attached());
        let (one, two) = (health.worker(), health.worker());
        one.set_partitions([(0, 7), (1, 0), (2, 0)].into_iter(), 0);
        one.set_redis_attached(true);
        assert!(health.redis_attached(), "the one without partitions has nothing for Redis");
        two.set_partitions([(3, 9)].into_iter(), 2);
        assert!(!health.redis_attached());
        assert_eq!((health.partitions(), health.awaited(), health.positions()[&3]), (4, 2, 9));
        let since = Instant::now();
        two.set_oldest_unsynced(Some(since));
        one.set_oldest_unsynced(Some(since + Duration::from_secs(5)));
        assert!(health.oldest_unsynced() <= since.elapsed() && health.oldest_unsynced() > Duration::ZERO);
        drop(two);
        assert!(health.redis_attached());
        assert_eq!(health.partitions(), 3);
    }

    #[test]
    fn nothing_follows_the_end() {
        let health = Health::default();
        health.set(State::Active);
        health.set(State::Stopping);
        health.set(State::Active);
        assert_eq!(health.state(), State::Stopping);
    }
}
