//! What the program is doing, for the probes and the status line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A pipeline that has not turned for so long hangs.
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
    /// Draining.
    Stopping,
}

/// Shared by the threads; cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    started: Instant,
    beat_ms: AtomicU64,
}

impl Default for Health {
    fn default() -> Health {
        let state = Mutex::new(State::Starting);
        Health(Arc::new(Shared { state, started: Instant::now(), beat_ms: AtomicU64::new(0) }))
    }
}

impl Health {
    /// Says what is being done.
    pub fn set(&self, state: State) {
        self.beat();
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// What is being done.
    pub fn state(&self) -> State {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The pipeline turns.
    pub fn beat(&self) {
        let ms = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.beat_ms.store(ms, Ordering::Relaxed);
    }

    /// False when the pipeline hangs.
    pub fn alive(&self) -> bool {
        let beat = Duration::from_millis(self.0.beat_ms.load(Ordering::Relaxed));
        self.0.started.elapsed().saturating_sub(beat) < HANGS_AFTER
    }
}
