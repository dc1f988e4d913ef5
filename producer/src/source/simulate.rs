//! Events that look like those of real services, at any rate, the same for the same seed.
//!
//! ```text
//! seed → templates filled in → Pool: up to 32,768 events, rendered once
//!                                ↓ walked over in a circle
//! dues ─────────────────────→ copy, and write timestamp, seq and due → Batch
//! ```

mod fill;
mod pool;
mod stamp;
mod templates;

use crate::batch::Batch;
use crate::weights::Weights;
use common::level::Level;
use pool::Pool;
pub use templates::DEFAULT_SERVICES;

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Decides everything but the times.
    pub seed: u64,
    /// Identity of the run.
    pub producer: String,
    /// How often each level occurs.
    pub levels: Weights<Level>,
    /// How often each service logs.
    pub services: Weights<String>,
    /// Give each event its service as key.
    pub keyed: bool,
    /// An event has at least so many bytes.
    pub event_bytes: usize,
}

/// Renders the events of a run, from `seq` 1.
#[derive(Debug)]
pub struct Simulator {
    pool: Pool,
    keyed: bool,
    last_seq: u64,
    stamp: stamp::Stamp,
}

impl Simulator {
    /// Renders the pool: a few hundredths of a second.
    pub fn new(scene: &Scene) -> Simulator {
        Simulator { pool: Pool::new(scene), keyed: scene.keyed, last_seq: 0, stamp: stamp::Stamp::default() }
    }

    /// Adds the next event for each of `dues`, in µs since the epoch. An event happens when it is due: that is
    /// its timestamp, too.
    pub fn render(&mut self, dues: &[u64], batch: &mut Batch) {
        let mut digits = itoa::Buffer::new();
        for &due in dues {
            self.stamp.set(due);
            let body = self.pool.body(self.last_seq);
            self.last_seq += 1;
            batch.push_with_own_key(self.last_seq, |bytes| {
                let start = bytes.len();
                bytes.extend_from_slice(body.head);
                self.stamp.write_timestamp(&mut bytes[start + pool::TIMESTAMP_AT..]);
                bytes.extend_from_slice(digits.format(self.last_seq).as_bytes());
                let tail = bytes.len();
                bytes.extend_from_slice(body.tail);
                self.stamp.write_due(&mut bytes[tail + pool::DUE_AT..]);
                if self.keyed { body.service } else { 0..0 }
            });
        }
    }
}

#[cfg(test)]
mod tests;
