//! What was seen, and what follows from it: pure state, no input or output.

use super::names::Names;
use super::sequences::Sequences;
use super::summary::{ProducerSummary, SHOWN_MALFORMED, Summary};
use super::tally::Tally;
use common::report::ProducerReport;
use roaring::RoaringTreemap;

/// Where the number of partitions isn't known, counting sequences ends here.
const MAX_SEQUENCES: usize = 4096;

/// Ranges of lost and of doubled numbers that are named.
const SHOWN_RANGES: usize = 5;

/// Collects what all files hold.
pub struct Audit {
    names: Names,
    /// By their index in `names`.
    producers: Vec<Producer>,
    summary: Summary,
    /// Of the current file.
    partitions: Option<usize>,
}

struct Producer {
    report: Option<ProducerReport>,
    seen: RoaringTreemap,
    seen_again: RoaringTreemap,
    doubled: u64,
    reordered: u64,
    /// Of the current file.
    sequences: Sequences,
    /// The most that any file took.
    most_sequences: usize,
}

impl Audit {
    /// Nothing seen yet. Of several reports on one producer the last counts.
    pub fn new(reports: Vec<ProducerReport>) -> Audit {
        let mut audit = Audit {
            names: Names::default(),
            producers: Vec::new(),
            summary: Summary::default(),
            partitions: None,
        };
        for report in reports {
            let index = audit.producer(&report.producer);
            audit.producers[index].report = Some(report);
        }
        audit
    }

    /// The following lines are another file's, which merges that many partitions, if that is known.
    pub fn next_file(&mut self, partitions: Option<usize>) {
        self.partitions = partitions;
        self.summary.files += 1;
        for producer in &mut self.producers {
            producer.most_sequences = producer.most_sequences.max(producer.sequences.count());
            producer.sequences = Sequences::new(partitions.unwrap_or(MAX_SEQUENCES));
        }
    }

    /// Counts the next lines of the file; `describe` says which one is malformed, and is asked only while such
    /// lines are still shown.
    pub fn add(&mut self, tally: &Tally, describe: impl Fn(u64, &str) -> String) {
        self.summary.events += tally.lines - tally.malformed;
        for (sum, count) in self.summary.levels.iter_mut().zip(tally.levels) {
            *sum += count;
        }
        self.summary.without_identity += tally.without_identity;
        self.summary.malformed += tally.malformed;
        let more = SHOWN_MALFORMED - self.summary.malformed_shown.len();
        let malformed = tally.malformed_shown.iter().take(more);
        self.summary.malformed_shown.extend(malformed.map(|(line, what)| describe(*line, what)));

        let indices: Vec<usize> = tally.producers.iter().map(|name| self.producer(name)).collect();
        for &(producer, seq) in &tally.numbers {
            self.producers[indices[producer]].add(seq);
        }
    }

    /// The verdict.
    pub fn finish(mut self) -> Summary {
        let partitions = self.partitions;
        self.next_file(partitions);
        self.summary.files -= 1;
        let producers = self.names.iter().zip(&self.producers);
        self.summary.producers = producers.map(|(name, producer)| producer.summary(name)).collect();
        self.summary.producers.sort_by(|a, b| a.producer.cmp(&b.producer));
        self.summary
    }

    fn producer(&mut self, name: &str) -> usize {
        let index = self.names.index(name);
        if index == self.producers.len() {
            self.producers.push(Producer {
                report: None,
                seen: RoaringTreemap::new(),
                seen_again: RoaringTreemap::new(),
                doubled: 0,
                reordered: 0,
                sequences: Sequences::new(self.partitions.unwrap_or(MAX_SEQUENCES)),
                most_sequences: 0,
            });
        }
        index
    }
}

impl Producer {
    fn add(&mut self, seq: u64) {
        if !self.seen.insert(seq) {
            self.doubled += 1;
            self.seen_again.insert(seq);
        } else if !self.sequences.add(seq) {
            self.reordered += 1;
        }
    }

    fn summary(&self, name: &str) -> ProducerSummary {
        let mut lost = 0;
        let mut lost_ranges = Vec::new();
        for (first, last) in self.expected() {
            let missing = match self.seen_within(first, last).checked_sub(1) {
                Some(others) => last - first - others,
                None => (last - first).saturating_add(1),
            };
            lost = u64::saturating_add(lost, missing);
            if missing > 0 {
                self.name_missing(first, last, &mut lost_ranges);
            }
        }
        ProducerSummary {
            producer: name.to_owned(),
            reported: self.report.is_some(),
            first: self.seen.min(),
            last: self.seen.max(),
            unique: self.seen.len(),
            unnumbered: self.unnumbered(),
            lost,
            lost_ranges,
            doubled: self.doubled,
            doubled_ranges: first_runs(&self.seen_again),
            reordered: self.reordered,
            sequences: self.most_sequences,
        }
    }

    /// How many acknowledged events had no number of this producer's.
    fn unnumbered(&self) -> u64 {
        let count = |&(first, last): &(u64, u64)| (last - first).saturating_add(1);
        let numbered = self.expected().iter().map(count).fold(0, u64::saturating_add);
        self.report.as_ref().map_or(0, |report| report.acknowledged.saturating_sub(numbered))
    }

    /// The numbers that must be there, as ascending ranges: with a report what was acknowledged, else
    /// everything between the lowest and the highest that is there.
    fn expected(&self) -> Vec<(u64, u64)> {
        let Some(report) = &self.report else {
            return self.seen.min().zip(self.seen.max()).into_iter().collect();
        };
        let Some((mut next, last)) = report.first_acknowledged_seq.zip(report.last_acknowledged_seq) else {
            return Vec::new();
        };
        let mut excepted = report.unacknowledged.clone();
        excepted.sort_unstable();
        let mut expected = Vec::new();
        for (from, to) in excepted.into_iter().filter(|(from, to)| from <= to) {
            if from > next && next <= last {
                expected.push((next, last.min(from - 1)));
            }
            let Some(behind) = to.checked_add(1) else {
                return expected;
            };
            next = next.max(behind);
        }
        if next <= last {
            expected.push((next, last));
        }
        expected
    }

    fn seen_within(&self, first: u64, last: u64) -> u64 {
        self.seen.rank(last) - first.checked_sub(1).map_or(0, |before| self.seen.rank(before))
    }

    /// Adds the gaps within a range, until enough are named.
    fn name_missing(&self, first: u64, last: u64, ranges: &mut Vec<(u64, u64)>) {
        let mut next = Some(first);
        let mut seen = self.seen.iter();
        seen.advance_to(first);
        for present in seen.take_while(|&n| n <= last).map(Some).chain([None]) {
            let Some(from) = next else { return };
            if ranges.len() == SHOWN_RANGES {
                return;
            }
            let to = present.map_or(Some(last), |n| n.checked_sub(1));
            if let Some(to) = to.filter(|&to| to >= from) {
                ranges.push((from, to));
            }
            next = present.and_then(|n| n.checked_add(1));
        }
    }
}

/// Numbers that follow each other, as ranges, until enough are named.
fn first_runs(numbers: &RoaringTreemap) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        if let Some((_, last)) = runs.last_mut()
            && *last + 1 == number
        {
            *last = number;
        } else if runs.len() == SHOWN_RANGES {
            break;
        } else {
            runs.push((number, number));
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::decode::Event;
    use common::level::Level;
    use common::report::Percentiles;
    use proptest::prelude::*;
    use std::borrow::Cow;
    use std::collections::HashSet;

    fn event(producer: &str, seq: u64) -> Event<'_> {
        Event {
            timestamp: None,
            level: Level::Info,
            service: None,
            host: None,
            producer: Some(Cow::Borrowed(producer)),
            seq: Some(seq),
            due: None,
            message: Cow::Borrowed(""),
        }
    }

    fn report(
        producer: &str,
        acknowledged: Option<(u64, u64)>,
        unacknowledged: &[(u64, u64)],
    ) -> ProducerReport {
        ProducerReport {
            producer: producer.to_owned(),
            topic: "logs".to_owned(),
            partitions: 1,
            started: String::new(),
            finished: String::new(),
            sent: 0,
            acknowledged: 0,
            failed: 0,
            first_acknowledged_seq: acknowledged.map(|(first, _)| first),
            last_acknowledged_seq: acknowledged.map(|(_, last)| last),
            unacknowledged: unacknowledged.to_vec(),
            bytes: 0,
            seconds: 0.0,
            events_per_second: 0.0,
            ack_latency_ms: Percentiles::default(),
        }
    }

    /// Counts that one event.
    fn add(audit: &mut Audit, event: &Event<'_>) {
        let mut tally = Tally { lines: 1, ..Tally::default() };
        tally.event(event);
        audit.add(&tally, |_, _| unreachable!("it is not malformed"));
    }

    /// The files of one producer `p`, each of one partition.
    fn audit(reports: Vec<ProducerReport>, files: &[&[u64]]) -> ProducerSummary {
        let mut audit = Audit::new(reports);
        for file in files {
            audit.next_file(Some(1));
            file.iter().for_each(|&seq| add(&mut audit, &event("p", seq)));
        }
        audit.finish().producers.remove(0)
    }

    #[test]
    fn nothing_lost_nothing_doubled() {
        let p = audit(vec![report("p", Some((1, 4)), &[])], &[&[1, 2, 3, 4]]);
        assert_eq!((p.unique, p.lost, p.doubled, p.reordered), (4, 0, 0, 0));
    }

    #[test]
    fn without_a_report_the_ends_are_what_was_seen() {
        let p = audit(vec![], &[&[5, 6, 9, 12]]);
        assert_eq!((p.first, p.last, p.lost), (Some(5), Some(12), 4));
        assert_eq!(p.lost_ranges, [(7, 8), (10, 11)]);
    }

    #[test]
    fn a_report_knows_of_both_ends_and_of_silent_producers() {
        assert_eq!(audit(vec![report("p", Some((1, 10)), &[])], &[&[3, 4]]).lost_ranges, [(1, 2), (5, 10)]);
        assert_eq!(audit(vec![report("p", Some((1, 10)), &[])], &[]).lost, 10);
        assert_eq!(audit(vec![report("p", None, &[])], &[]).lost, 0);
    }

    #[test]
    fn the_unacknowledged_may_be_there_or_not() {
        let reports = || vec![report("p", Some((1, 10)), &[(7, 8), (4, 5)])];
        assert_eq!(audit(reports(), &[&[1, 2, 3, 5, 6, 9, 10, 11]]).lost, 0);
        let p = audit(reports(), &[&[1, 2, 3, 8, 9, 10]]);
        assert_eq!((p.lost, p.lost_ranges), (1, vec![(6, 6)]));
    }

    #[test]
    fn doubled_in_one_file_or_across_files() {
        let p = audit(vec![], &[&[1, 2, 2, 3], &[3, 4, 5]]);
        assert_eq!((p.unique, p.lost, p.doubled, p.reordered), (5, 0, 2, 0));
        assert_eq!(p.doubled_ranges, [(2, 3)]);
        let p = audit(vec![], &[&[1, 1, 3, 5, 5, 7, 9, 11], &[3, 4, 5, 7, 9, 11]]);
        assert_eq!((p.doubled, p.doubled_ranges), (7, vec![(1, 1), (3, 3), (5, 5), (7, 7), (9, 9)]));
    }

    #[test]
    fn order_counts_within_a_file() {
        assert_eq!(audit(vec![], &[&[1, 3, 2]]).reordered, 1);
        assert_eq!(audit(vec![], &[&[1, 3], &[2]]).reordered, 0);
    }

    #[test]
    fn hostile_numbers_take_no_memory() {
        let p = audit(vec![report("p", Some((0, u64::MAX - 1)), &[])], &[&[0, 1 << 40, u64::MAX]]);
        assert_eq!((p.unique, p.lost), (3, u64::MAX - 2));
        assert_eq!(audit(vec![], &[&[u64::MAX]]).lost, 0);
        assert_eq!(audit(vec![], &[&[0, u64::MAX]]).lost, u64::MAX - 1);
        let all = audit(vec![report("p", Some((0, u64::MAX)), &[])], &[&[]]);
        assert_eq!((all.unique, all.lost), (0, u64::MAX));
    }

    #[test]
    fn events_without_identity_are_counted() {
        let mut audit = Audit::new(vec![]);
        audit.next_file(None);
        add(&mut audit, &Event { seq: None, ..event("p", 0) });
        add(&mut audit, &Event { producer: None, level: Level::Error, ..event("p", 1) });
        let summary = audit.finish();
        assert_eq!((summary.events, summary.without_identity, summary.producers.len()), (2, 2, 0));
        assert_eq!(summary.levels[Level::Error as usize], 1);
    }

    proptest! {
        /// Files of several producers with events left out, doubled and swapped, against counting with sets.
        #[test]
        fn as_a_naive_count_says(
            events in proptest::collection::vec((0..3_usize, 0..60_u64, 0..2_usize), 0..200),
            reported in proptest::collection::vec(proptest::option::of((0..70_u64, 0..70_u64)), 3),
            excepted in proptest::collection::vec((0..70_u64, 0..70_u64), 0..4),
        ) {
            const NAMES: [&str; 3] = ["a", "b", "c"];
            let reports = reported.iter().enumerate().filter_map(|(p, range)| {
                range.map(|range| report(NAMES[p], Some(range), &excepted))
            });
            let mut audit = Audit::new(reports.collect());
            for file in 0..2 {
                audit.next_file(None);
                for &(p, seq, _) in events.iter().filter(|(_, _, f)| *f == file) {
                    add(&mut audit, &event(NAMES[p], seq));
                }
            }
            let summary = audit.finish();
            for (p, name) in NAMES.into_iter().enumerate() {
                let all: Vec<u64> = events.iter().filter(|e| e.0 == p).map(|e| e.1).collect();
                let unique: HashSet<u64> = all.iter().copied().collect();
                let must: Vec<u64> = match reported[p] {
                    Some((first, last)) => (first..=last)
                        .filter(|n| !excepted.iter().any(|(from, to)| from <= n && n <= to))
                        .collect(),
                    None => unique.iter().min().zip(unique.iter().max()).map_or(vec![], |(a, b)| (*a..=*b).collect()),
                };
                let lost: Vec<u64> = must.into_iter().filter(|n| !unique.contains(n)).collect();
                let Some(found) = summary.producers.iter().find(|s| s.producer == name) else {
                    prop_assert!(all.is_empty() && reported[p].is_none());
                    continue;
                };
                prop_assert_eq!(found.lost, lost.len() as u64);
                prop_assert_eq!(found.doubled, (all.len() - unique.len()) as u64);
                prop_assert_eq!(found.unique, unique.len() as u64);
                prop_assert_eq!(found.reordered, 0);
                let named: Vec<u64> = found.lost_ranges.iter().flat_map(|&(from, to)| from..=to).collect();
                prop_assert!(lost.starts_with(&named));
                prop_assert!(named.len() == lost.len() || found.lost_ranges.len() == SHOWN_RANGES);
            }
        }
    }
}
