//! What became of every event: pure bookkeeping.

use super::ranges::Ranges;
use common::report::Percentiles;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Longest latency that is told apart, µs: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// Counts of a run. At any time `sent == acknowledged + failed + in_flight`.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// Events handed to the client library.
    pub(crate) sent: u64,
    /// Events that the broker acknowledged.
    pub(crate) acknowledged: u64,
    /// Events that failed for good.
    pub(crate) failed: u64,
    /// How many failed for which reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// First and last acknowledged `seq`.
    pub(crate) acknowledged_seqs: Option<(u64, u64)>,
    /// Payload bytes of what was sent and has not failed.
    pub(crate) bytes: u64,
    /// When the last acknowledgement came, µs since the epoch.
    pub(crate) last_acknowledged_at: Option<u64>,
    failed_seqs: Ranges,
    latency_micros: Histogram<u64>,
}

impl Default for Accounts {
    fn default() -> Accounts {
        Accounts {
            sent: 0,
            acknowledged: 0,
            failed: 0,
            reasons: BTreeMap::new(),
            acknowledged_seqs: None,
            bytes: 0,
            last_acknowledged_at: None,
            failed_seqs: Ranges::default(),
            latency_micros: Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("bounds that fit"),
        }
    }
}

impl Accounts {
    /// Events were handed to the client library.
    pub(crate) fn sent(&mut self, events: u64, bytes: u64) {
        self.sent += events;
        self.bytes += bytes;
    }

    /// Events were handed back by the client library, untouched: as if they had not been sent.
    pub(crate) fn taken_back(&mut self, events: u64, bytes: u64) {
        self.sent -= events;
        self.bytes -= bytes;
    }

    /// Events were acknowledged at `now`; `seqs` are the lowest and the highest among them, none when all have a
    /// foreign identity.
    pub(crate) fn acknowledged(&mut self, events: u64, seqs: Option<(u64, u64)>, now: u64) {
        self.acknowledged += events;
        if let Some((lowest, highest)) = seqs {
            let (first, last) = self.acknowledged_seqs.unwrap_or((lowest, highest));
            self.acknowledged_seqs = Some((first.min(lowest), last.max(highest)));
        }
        self.last_acknowledged_at = Some(now);
    }

    /// `events` acknowledged events took this long, µs.
    pub(crate) fn latency(&mut self, micros: u64, events: u64) {
        self.latency_micros.saturating_record_n(micros.max(1), events);
    }

    /// An event failed for good. A `seq` of 0 is none.
    pub(crate) fn failed(&mut self, seq: u64, bytes: u64, reason: &str) {
        self.failed += 1;
        self.bytes -= bytes;
        if seq > 0 {
            self.failed_seqs.insert(seq);
        }
        match self.reasons.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.reasons.insert(reason.to_owned(), 1);
            }
        }
    }

    /// Events of which nothing is known yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.sent - self.acknowledged - self.failed
    }

    /// Ranges of `seq` that failed, between the first and the last that were acknowledged.
    pub(crate) fn unacknowledged(&self) -> Vec<(u64, u64)> {
        self.acknowledged_seqs.map_or_else(Vec::new, |(first, last)| self.failed_seqs.within(first, last))
    }

    /// Latency from due to acknowledged.
    pub(crate) fn latency_percentiles(&self) -> Percentiles {
        Percentiles::of_micros(&self.latency_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_exactly_one_place() {
        let mut accounts = Accounts::default();
        accounts.sent(10, 1000);
        accounts.acknowledged(4, Some((3, 6)), 50);
        accounts.failed(1, 100, "too large");
        accounts.failed(7, 100, "timed out");
        accounts.failed(8, 100, "timed out");
        assert_eq!(accounts.in_flight(), 3);
        accounts.taken_back(3, 300);
        assert_eq!((accounts.in_flight(), accounts.bytes), (0, 400));
        accounts.sent(3, 300);
        accounts.acknowledged(2, Some((9, 10)), 70);
        accounts.acknowledged(1, Some((2, 2)), 60);
        assert_eq!((accounts.in_flight(), accounts.bytes), (0, 700));
        assert_eq!(accounts.acknowledged_seqs, Some((2, 10)));
        // What failed before the first that was acknowledged is counted, but no gap.
        assert_eq!((accounts.failed, accounts.unacknowledged()), (3, vec![(7, 8)]));
        assert_eq!(accounts.reasons["timed out"], 2);
    }

    #[test]
    fn percentiles_count_every_event() {
        let mut accounts = Accounts::default();
        accounts.latency(1_000, 90);
        accounts.latency(20_000, 10);
        let percentiles = accounts.latency_percentiles();
        assert_eq!(percentiles.n, 100);
        assert!(
            (percentiles.p50 - 1.0).abs() < 0.01 && (percentiles.p99 - 20.0).abs() < 0.1,
            "{percentiles:?}"
        );
        assert_eq!(Accounts::default().latency_percentiles(), Percentiles::default());
    }
}
