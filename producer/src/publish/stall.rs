//! Says when nothing is acknowledged any more, and when it is again.

use std::time::Duration;

/// How often it is said, and how long nothing may happen before it is.
const EVERY_MICROS: u64 = Duration::from_secs(5).as_micros() as u64;

/// Watches the acknowledgements. Times are µs since the epoch.
#[derive(Debug)]
pub(crate) struct Stall {
    /// The last acknowledgement, or the last time that none was expected.
    progress: u64,
    said: Option<u64>,
    reason: Option<String>,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Events wait for an acknowledgement, and for how long.
    Waiting {
        /// µs since the last one.
        micros: u64,
        /// The client's last complaint.
        reason: String,
    },
    /// Acknowledgements come again.
    Over {
        /// µs without any.
        micros: u64,
    },
}

impl Stall {
    /// Nothing is expected yet.
    pub(crate) fn new(now: u64) -> Stall {
        Stall { progress: now, said: None, reason: None }
    }

    /// The client complained. Whoever waits hears it at the next [`check`](Self::check).
    pub(crate) fn complaint(&mut self, reason: String) {
        self.reason = Some(reason);
    }

    /// An acknowledgement came.
    pub(crate) fn progress(&mut self, now: u64) -> Option<Notice> {
        let micros = now - std::mem::replace(&mut self.progress, now);
        self.reason = None;
        self.said.take().map(|_| Notice::Over { micros })
    }

    /// What to say now, with so many events waiting. A complaint is passed on at once, then every few seconds as
    /// long as nothing changes.
    pub(crate) fn check(&mut self, now: u64, in_flight: u64) -> Option<Notice> {
        if in_flight == 0 {
            self.progress = now;
            return None;
        }
        let micros = now - self.progress;
        let due = match self.said {
            None => self.reason.is_some() || micros >= EVERY_MICROS,
            Some(said) => now - said >= EVERY_MICROS,
        };
        due.then(|| {
            self.said = Some(now);
            let reason = self.reason.clone().unwrap_or_else(|| "the broker does not answer".to_owned());
            Notice::Waiting { micros, reason }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_complaint_is_passed_on_at_once_and_then_every_few_seconds_until_it_is_over() {
        let mut stall = Stall::new(0);
        stall.complaint("refused".to_owned());
        assert_eq!(stall.check(SECOND, 0), None, "nobody waits");
        let waiting = |micros| Some(Notice::Waiting { micros, reason: "refused".to_owned() });
        assert_eq!(stall.check(2 * SECOND, 5), waiting(SECOND));
        assert_eq!(stall.check(3 * SECOND, 5), None);
        assert_eq!(stall.check(7 * SECOND, 5), waiting(6 * SECOND));
        assert_eq!(stall.progress(8 * SECOND), Some(Notice::Over { micros: 7 * SECOND }));
        assert_eq!(stall.progress(9 * SECOND), None);
        assert_eq!(stall.check(10 * SECOND, 5), None);
    }

    #[test]
    fn silence_is_noticed_without_a_complaint() {
        let mut stall = Stall::new(0);
        assert_eq!(stall.check(4 * SECOND, 1), None);
        let reason = "the broker does not answer".to_owned();
        assert_eq!(stall.check(5 * SECOND, 1), Some(Notice::Waiting { micros: 5 * SECOND, reason }));
    }
}
