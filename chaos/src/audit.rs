//! The account at the end: what the topic holds is what the files hold and what Redis has counted, to the event.
//!
//! It shares no code with the programs under test: serde_json, and a map.

use crate::evidence::{Evidence, History, Kept, Report};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The lists in Redis hold so many.
const MOST_RECENT: u64 = 100_000;

/// What was found; nothing is wrong if [`wrong`](Account::wrong) is empty.
#[derive(Debug, Default)]
pub struct Account {
    /// Events in the topic.
    pub events: u64,
    /// Events that a producer was told are there, of those that ended in order.
    pub acknowledged: u64,
    /// By group, what Kafka had deleted before it was read.
    pub skipped: Vec<(String, u64)>,
    /// What is lost, doubled, out of order or counted wrongly, in words.
    pub wrong: Vec<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    producer: &'a str,
    seq: u64,
    timestamp: &'a str,
    level: &'a str,
    service: &'a str,
}

/// An event of the topic, each partition's in their order, from one topic of the name to the next.
struct Held {
    payload: Vec<u8>,
    /// Kafka has deleted it since, perhaps before it was read.
    deleted: bool,
}

/// All topics of the name, one behind the other.
#[derive(Default)]
struct Topic {
    partitions: BTreeMap<i32, Vec<Held>>,
    /// Partition and place in it, by producer and sequence number.
    places: HashMap<(String, u64), (i32, usize)>,
    /// Behind the last event of each partition of the present topic.
    ends: BTreeMap<i32, i64>,
    /// Events that Kafka still has.
    left: u64,
}

impl Topic {
    /// Where the very same event is in the topic.
    fn find(&self, payload: &[u8]) -> Option<(i32, usize)> {
        let event: Event<'_> = serde_json::from_slice(payload).ok()?;
        let &(partition, index) = self.places.get(&(event.producer.to_owned(), event.seq))?;
        (self.partitions[&partition][index].payload == payload).then_some((partition, index))
    }
}

/// What Redis ought to have counted.
#[derive(Default)]
struct Counted {
    levels: BTreeMap<String, u64>,
    services: BTreeMap<String, u64>,
    minutes: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Counted {
    fn add(&mut self, event: &Event<'_>) {
        *self.levels.entry(event.level.to_owned()).or_default() += 1;
        *self.services.entry(event.service.to_owned()).or_default() += 1;
        // `2026-11-22T07:12` of RFC 3339 in UTC.
        let minute = event.timestamp.get(..16).unwrap_or(event.timestamp);
        let minute = self.minutes.entry(minute.to_owned()).or_default();
        *minute.entry(event.level.to_owned()).or_default() += 1;
        *minute.entry(format!("service:{}", event.service)).or_default() += 1;
    }
}

/// By partition which of its events are not in the files since Kafka had deleted them before they were read.
type Gone = BTreeMap<i32, Vec<usize>>;

impl Account {
    /// Draws it up.
    ///
    /// # Errors
    /// When something in the topic is no event of a producer.
    pub fn of(evidence: &Evidence) -> Result<Account> {
        let mut account = Account::default();
        let topic = account.topic(&evidence.history)?;
        evidence.reports.iter().for_each(|report| account.report(report, &topic));
        for kept in &evidence.kept {
            let gone = account.files(kept, &topic);
            account.counters(kept, &topic, &gone, evidence.history.redis_was_emptied)?;
            account.newest(kept, &topic, &gone, evidence.history.redis_was_emptied);
        }
        Ok(account)
    }

    fn topic(&mut self, history: &History) -> Result<Topic> {
        let mut topic = Topic::default();
        for generation in history.generations() {
            topic.ends.clear();
            topic.left = 0;
            for (&(partition, offset), record) in &generation.records {
                let payload = record.payload.clone().context("a message without a payload")?;
                let event: Event<'_> =
                    serde_json::from_slice(&payload).context("not an event of a producer")?;
                let identity = (event.producer.to_owned(), event.seq);
                let below = usize::try_from(partition).ok().and_then(|n| generation.deleted.get(n)).copied();
                let deleted = below.is_some_and(|below| offset < below);
                let held = topic.partitions.entry(partition).or_default();
                let place = (partition, held.len());
                held.push(Held { payload, deleted });
                topic.ends.insert(partition, offset + 1);
                topic.left += u64::from(!deleted);
                self.events += 1;
                if topic.places.insert(identity.clone(), place).is_some() {
                    self.wrong.push(format!("{} {} is in the topic twice", identity.0, identity.1));
                }
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

    /// Each partition's events are in the files once, in order and byte for byte; but for those that Kafka deleted
    /// before they were read, and of these there are as many as the consumers said.
    fn files(&mut self, kept: &Kept, topic: &Topic) -> Gone {
        let mut next: BTreeMap<i32, usize> = BTreeMap::new();
        let mut gone = Gone::new();
        let (mut doubled, mut lost, mut strange) = (0_u64, 0_u64, 0_u64);
        let mut skip = |partition: i32, from: usize, to: usize| {
            for (index, held) in topic.partitions[&partition].iter().enumerate().take(to).skip(from) {
                if held.deleted {
                    gone.entry(partition).or_default().push(index);
                } else {
                    lost += 1;
                }
            }
        };
        for line in kept.files.iter().flat_map(|file| file.split_inclusive(|&byte| byte == b'\n')) {
            let line = line.strip_suffix(b"\n").unwrap_or(b"a line without an end");
            let Some((partition, index)) = topic.find(line) else {
                strange += 1;
                continue;
            };
            let next = next.entry(partition).or_default();
            if index < *next {
                doubled += 1;
            } else {
                skip(partition, *next, index);
                *next = index + 1;
            }
        }
        for (&partition, held) in &topic.partitions {
            skip(partition, next.get(&partition).copied().unwrap_or(0), held.len());
        }
        for (number, what) in
            [(doubled, "doubled or out of order"), (lost, "lost"), (strange, "lines that no producer wrote")]
        {
            if number > 0 {
                self.wrong.push(format!("files of {}: {number} {what}", kept.name));
            }
        }
        let missing: usize = gone.values().map(Vec::len).sum();
        if missing as u64 != kept.skipped {
            let (name, said) = (&kept.name, kept.skipped);
            self.wrong
                .push(format!("files of {name}: Kafka deleted {missing} unread, of which {said} were said"));
        }
        self.skipped.push((kept.name.clone(), missing as u64));
        gone
    }

    /// Counters and positions.
    fn counters(&mut self, kept: &Kept, topic: &Topic, gone: &Gone, emptied: bool) -> Result<()> {
        let mut expected = Counted::default();
        for (partition, held) in &topic.partitions {
            let mut gone = gone.get(partition).into_iter().flatten().peekable();
            for (index, held) in held.iter().enumerate() {
                if gone.next_if_eq(&&index).is_none() {
                    expected.add(&serde_json::from_slice(&held.payload)?);
                }
            }
        }
        let name = &kept.name;
        for (key, counted, expected) in
            [("levels", &kept.levels, &expected.levels), ("services", &kept.services, &expected.services)]
        {
            if counted != expected {
                self.wrong.push(format!("{name}:{key} in Redis is {counted:?}, not {expected:?}"));
            }
        }
        // Those of minutes stand in Redis alone: emptied, it has the later ones only.
        let count = |minutes: &BTreeMap<String, BTreeMap<String, u64>>, minute: &str, field: &str| {
            minutes.get(minute).and_then(|fields| fields.get(field)).copied().unwrap_or(0)
        };
        let all = [&kept.minutes, &expected.minutes].into_iter().flatten();
        let all: BTreeSet<(&String, &String)> =
            all.flat_map(|(minute, fields)| fields.keys().map(move |field| (minute, field))).collect();
        for (minute, field) in all {
            let (counted, expected) =
                (count(&kept.minutes, minute, field), count(&expected.minutes, minute, field));
            if counted > expected || (counted < expected && !emptied) {
                self.wrong
                    .push(format!("{name}:minute:{minute} {field} in Redis is {counted}, not {expected}"));
            }
        }
        for (partition, &end) in &topic.ends {
            let next = kept.positions.get(partition).copied().unwrap_or(0);
            if next != end {
                self.wrong.push(format!("position of {name} {partition} in Redis is {next}, not {end}"));
            }
        }
        Ok(())
    }

    /// The list holds each partition's newest, in their order; as many as it may, or as Kafka had left when Redis was
    /// emptied.
    fn newest(&mut self, kept: &Kept, topic: &Topic, gone: &Gone, emptied: bool) {
        let mut ends: BTreeMap<i32, usize> =
            topic.partitions.iter().map(|(&p, held)| (p, held.len())).collect();
        let mut strange = 0;
        for payload in &kept.newest {
            let Some((partition, index)) = topic.find(payload.as_bytes()) else {
                strange += 1;
                continue;
            };
            let end = ends.entry(partition).or_default();
            let gone = gone.get(&partition);
            while *end > 0 && gone.is_some_and(|gone| gone.binary_search(&(*end - 1)).is_ok()) {
                *end -= 1;
            }
            if index + 1 == *end {
                *end = index;
            } else {
                strange += 1;
            }
        }
        let gone: usize = gone.values().map(Vec::len).sum();
        let most = (self.events - gone as u64).min(MOST_RECENT);
        let least = if emptied { most.min(topic.left) } else { most };
        let found = kept.newest.len();
        if strange > 0 || !(least..=most).contains(&(found as u64)) {
            self.wrong.push(format!(
                "{}:recent in Redis has {found} events, {strange} of them strange, doubled or out of order, not {most}",
                kept.name
            ));
        }
    }
}

#[cfg(test)]
mod tests;
