//! The account at the end: what the topic holds is what the files hold and what Redis has counted, to the event.
//!
//! It shares no code with the programs under test: serde_json, and a map.

use crate::evidence::{Evidence, Kept, Report};
use anyhow::{Context, Result};
use harness::Record;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The lists in Redis hold so many.
const MOST_RECENT: u64 = 100_000;

/// What was found; nothing is wrong if [`wrong`](Account::wrong) is empty.
#[derive(Debug, Default)]
pub struct Account {
    /// Events in the topic.
    pub events: u64,
    /// Events that a producer was told are there, of those that ended in order.
    pub acknowledged: u64,
    /// What is lost, doubled, out of order or counted wrongly, in words.
    pub wrong: Vec<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    producer: &'a str,
    seq: u64,
    level: &'a str,
    service: &'a str,
}

/// Where an event is in the topic, and what it says.
struct Place {
    partition: i32,
    /// How many events of its partition are before it.
    index: usize,
    payload: Vec<u8>,
}

/// The topic, by producer and sequence number.
#[derive(Default)]
struct Topic {
    places: HashMap<(String, u64), Place>,
    lengths: BTreeMap<i32, usize>,
    levels: BTreeMap<String, u64>,
    services: BTreeMap<String, u64>,
}

impl Account {
    /// Draws it up.
    ///
    /// # Errors
    /// When something in the topic is no event of a producer.
    pub fn of(evidence: Evidence) -> Result<Account> {
        let mut account = Account::default();
        let topic = account.topic(evidence.records)?;
        evidence.reports.iter().for_each(|report| account.report(report, &topic));
        for kept in &evidence.kept {
            account.files(kept, &topic);
            account.redis(kept, &topic);
        }
        Ok(account)
    }

    fn topic(&mut self, records: Vec<Record>) -> Result<Topic> {
        let mut topic = Topic::default();
        for record in records {
            let payload = record.payload.context("a message without a payload")?;
            let event: Event<'_> = serde_json::from_slice(&payload).context("not an event of a producer")?;
            *topic.levels.entry(event.level.to_owned()).or_default() += 1;
            *topic.services.entry(event.service.to_owned()).or_default() += 1;
            let identity = (event.producer.to_owned(), event.seq);
            let index = topic.lengths.entry(record.partition).or_default();
            let place = Place { partition: record.partition, index: *index, payload };
            *index += 1;
            self.events += 1;
            if topic.places.insert(identity.clone(), place).is_some() {
                self.wrong.push(format!("{} {} is in the topic twice", identity.0, identity.1));
            }
        }
        Ok(topic)
    }

    fn report(&mut self, report: &Report, topic: &Topic) {
        self.acknowledged += report.acknowledged;
        let (Some(first), Some(last)) = (report.first_acknowledged_seq, report.last_acknowledged_seq) else {
            return;
        };
        let excused = |seq: u64| report.unacknowledged.iter().any(|&(from, to)| (from..=to).contains(&seq));
        let there = |seq: &u64| topic.places.contains_key(&(report.producer.clone(), *seq));
        let lost = (first..=last).filter(|seq| !there(seq) && !excused(*seq)).count();
        if lost > 0 {
            self.wrong
                .push(format!("{lost} of {} were acknowledged and are not in the topic", report.producer));
        }
    }

    /// Each partition's events are in the files once, in order and byte for byte.
    fn files(&mut self, kept: &Kept, topic: &Topic) {
        let mut next: BTreeMap<i32, usize> = BTreeMap::new();
        let (mut doubled, mut skipped, mut strange) = (0_u64, 0_u64, 0_u64);
        for line in kept.files.iter().flat_map(|file| file.split_inclusive(|&byte| byte == b'\n')) {
            let line = line.strip_suffix(b"\n").unwrap_or(b"a line without an end");
            let event = serde_json::from_slice::<Event<'_>>(line).ok();
            let place = event.and_then(|event| topic.places.get(&(event.producer.to_owned(), event.seq)));
            let Some(place) = place.filter(|place| place.payload == line) else {
                strange += 1;
                continue;
            };
            let next = next.entry(place.partition).or_default();
            if place.index < *next {
                doubled += 1;
            } else {
                skipped += (place.index - *next) as u64;
                *next = place.index + 1;
            }
        }
        let missing: usize =
            topic.lengths.iter().map(|(partition, length)| length - next.get(partition).unwrap_or(&0)).sum();
        for (number, what) in [
            (doubled, "doubled or out of order"),
            (skipped + missing as u64, "lost"),
            (strange, "lines that no producer wrote"),
        ] {
            if number > 0 {
                self.wrong.push(format!("files of {}: {number} {what}", kept.name));
            }
        }
    }

    /// Counters, positions and the list of the newest.
    fn redis(&mut self, kept: &Kept, topic: &Topic) {
        let name = &kept.name;
        for (key, counted, expected) in
            [("levels", &kept.levels, &topic.levels), ("services", &kept.services, &topic.services)]
        {
            if counted != expected {
                self.wrong.push(format!("{name}:{key} in Redis is {counted:?}, not {expected:?}"));
            }
        }
        for (partition, &length) in &topic.lengths {
            let next = kept.positions.get(partition).copied().unwrap_or(0);
            if usize::try_from(next) != Ok(length) {
                self.wrong.push(format!("position of {name} {partition} in Redis is {next}, not {length}"));
            }
        }
        let distinct = kept.newest.iter().collect::<HashSet<_>>().len();
        let expected = self.events.min(MOST_RECENT);
        if distinct != kept.newest.len() || distinct as u64 != expected {
            self.wrong.push(format!(
                "{name}:recent in Redis has {} events, {distinct} of them distinct, not {expected}",
                kept.newest.len()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(seq: u64) -> String {
        format!(r#"{{"producer":"p","seq":{seq},"level":"INFO","service":"auth","message":"m"}}"#)
    }

    /// Six events in two partitions, and all where it ought to be.
    fn good() -> Evidence {
        let record = |seq: u64| Record {
            partition: i32::from(seq > 4),
            key: None,
            payload: Some(payload(seq).into_bytes()),
            ..Record::default()
        };
        let lines =
            |seqs: &[u64]| seqs.iter().map(|&seq| payload(seq) + "\n").collect::<String>().into_bytes();
        let kept = Kept {
            name: "single".to_owned(),
            files: vec![lines(&[1, 5, 2]), lines(&[3, 6, 4])],
            levels: BTreeMap::from([("INFO".to_owned(), 6)]),
            services: BTreeMap::from([("auth".to_owned(), 6)]),
            positions: BTreeMap::from([(0, 4), (1, 2)]),
            newest: (1..=6).map(payload).collect(),
        };
        let report = Report {
            producer: "p".to_owned(),
            acknowledged: 6,
            first_acknowledged_seq: Some(1),
            last_acknowledged_seq: Some(6),
            unacknowledged: Vec::new(),
        };
        Evidence { records: (1..=6).map(record).collect(), reports: vec![report], kept: vec![kept] }
    }

    fn wrong(spoil: impl FnOnce(&mut Evidence)) -> Vec<String> {
        let mut evidence = good();
        spoil(&mut evidence);
        Account::of(evidence).unwrap().wrong
    }

    /// Replaces a line of the first file.
    fn line(evidence: &mut Evidence, seq: u64, by: &str) {
        let file = &mut evidence.kept[0].files[0];
        *file = String::from_utf8(file.clone()).unwrap().replace(&(payload(seq) + "\n"), by).into_bytes();
    }

    #[test]
    fn what_is_right_is_not_complained_of() {
        let account = Account::of(good()).unwrap();
        assert_eq!((account.events, account.acknowledged, account.wrong.len()), (6, 6, 0));
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        let twice = payload(2) + "\n" + &payload(2) + "\n";
        assert_eq!(wrong(|e| line(e, 2, "")), ["files of single: 1 lost"]);
        assert_eq!(wrong(|e| line(e, 2, &twice)), ["files of single: 1 doubled or out of order"]);
        assert_eq!(
            wrong(|e| e.kept[0].files.swap(0, 1)),
            ["files of single: 3 doubled or out of order", "files of single: 3 lost"]
        );
        let changed = payload(2).replace("\"m\"", "\"n\"") + "\n";
        assert_eq!(
            wrong(|e| line(e, 2, &changed)),
            ["files of single: 1 lost", "files of single: 1 lines that no producer wrote"]
        );
        assert_eq!(
            wrong(|e| e.kept[0].files[1].truncate(212)),
            ["files of single: 1 lost", "files of single: 1 lines that no producer wrote"]
        );
        let off_by_one = |counts: &mut BTreeMap<String, u64>| counts.values_mut().for_each(|n| *n += 1);
        assert_eq!(
            wrong(|e| off_by_one(&mut e.kept[0].levels)),
            [r#"single:levels in Redis is {"INFO": 7}, not {"INFO": 6}"#]
        );
        assert_eq!(
            wrong(|e| off_by_one(&mut e.kept[0].services)),
            [r#"single:services in Redis is {"auth": 7}, not {"auth": 6}"#]
        );
        assert_eq!(
            wrong(|e| e.kept[0].positions = BTreeMap::from([(0, 4), (1, 1)])),
            ["position of single 1 in Redis is 1, not 2"]
        );
        assert_eq!(
            wrong(|e| e.kept[0].newest[0] = payload(2)),
            ["single:recent in Redis has 6 events, 5 of them distinct, not 6"]
        );
        assert_eq!(
            wrong(|e| e.reports[0].last_acknowledged_seq = Some(7)),
            ["1 of p were acknowledged and are not in the topic"]
        );
        let again = |e: &mut Evidence| e.records[5].payload = Some(payload(1).into_bytes());
        assert!(wrong(again).contains(&"p 1 is in the topic twice".to_owned()));
    }
}
