//! How long to wait before the next attempt: the one implementation for everything that is tried again.

use rand::RngExt;
use std::time::Duration;

/// Doubles from 100 ms to 5 s, each wait drawn from its upper half, so that many who failed together don't come
/// back together.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// The wait after one more failure.
    pub fn next(&mut self) -> Duration {
        let full = Self::FIRST.saturating_mul(1 << self.failures.min(16)).min(Self::LONGEST);
        self.failures += 1;
        full.mul_f64(rand::rng().random_range(0.5..1.0))
    }

    /// After a success: the next failure starts from the shortest wait.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_limit_and_resets() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() < Backoff::FIRST);
        for _ in 0..100 {
            assert!(backoff.next() < Backoff::LONGEST);
        }
        assert!(backoff.next() >= Backoff::LONGEST / 2);
        backoff.reset();
        assert!(backoff.next() < Backoff::FIRST);
    }
}
