//! The account at the end: what the topic holds is what the files hold and what Redis has counted, to the event.
//!
//! It shares no code with the programs under test: serde_json, and a map.

use crate::pipeline::Pipeline;
use anyhow::{Context, Result};
use harness::{Record, Stack};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

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

#[derive(Deserialize)]
struct Report {
    producer: String,
    acknowledged: u64,
    first_acknowledged_seq: Option<u64>,
    last_acknowledged_seq: Option<u64>,
    unacknowledged: Vec<(u64, u64)>,
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
    /// Draws it up, of programs that have ended.
    ///
    /// # Errors
    /// When the topic, a file, a report or Redis cannot be read.
    pub fn draw_up(
        stack: &Stack,
        pipelines: &[Pipeline],
        (producers, folder): (usize, &Path),
    ) -> Result<Account> {
        let mut account = Account::default();
        let topic = account.topic(stack.consume_all("logs")?)?;
        for number in 1..=producers {
            // One that was killed has left none.
            if let Ok(report) = fs::read(folder.join(format!("report-{number}.json"))) {
                account.report(&serde_json::from_slice(&report)?, &topic);
            }
        }
        for pipeline in pipelines {
            account.files(pipeline, &topic)?;
            account.redis(stack, pipeline.name(), &topic)?;
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
    fn files(&mut self, pipeline: &Pipeline, topic: &Topic) -> Result<()> {
        let mut next: BTreeMap<i32, usize> = BTreeMap::new();
        let (mut doubled, mut skipped, mut strange) = (0_u64, 0_u64, 0_u64);
        for path in pipeline.files()? {
            let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            for line in text.split_inclusive(|&byte| byte == b'\n') {
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
        }
        let missing: usize =
            topic.lengths.iter().map(|(partition, length)| length - next.get(partition).unwrap_or(&0)).sum();
        for (number, what) in [
            (doubled, "doubled or out of order"),
            (skipped + missing as u64, "lost"),
            (strange, "lines that no producer wrote"),
        ] {
            if number > 0 {
                self.wrong.push(format!("files of {}: {number} {what}", pipeline.name()));
            }
        }
        Ok(())
    }

    /// Counters, positions and the list of the newest.
    fn redis(&mut self, stack: &Stack, prefix: &str, topic: &Topic) -> Result<()> {
        let mut redis = stack.redis()?;
        for (key, expected) in [("levels", &topic.levels), ("services", &topic.services)] {
            let counted: BTreeMap<String, u64> =
                redis::cmd("HGETALL").arg(format!("{prefix}:{key}")).query(&mut redis)?;
            if &counted != expected {
                self.wrong.push(format!("{prefix}:{key} in Redis is {counted:?}, not {expected:?}"));
            }
        }
        for (partition, end) in stack.high_watermarks("logs")?.into_iter().enumerate() {
            let key = format!("{prefix}:position:logs:{partition}");
            let position: Option<String> = redis::cmd("GET").arg(&key).query(&mut redis)?;
            let next =
                position.as_deref().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0_i64);
            if next != end {
                self.wrong.push(format!("{key} in Redis is {next}, not {end}"));
            }
        }
        let newest: Vec<String> =
            redis::cmd("LRANGE").arg(format!("{prefix}:recent")).arg(0).arg(-1).query(&mut redis)?;
        let distinct = newest.iter().collect::<HashSet<_>>().len();
        if distinct != newest.len() || newest.len() as u64 != self.events.min(100_000) {
            self.wrong.push(format!(
                "{prefix}:recent in Redis has {} events, {distinct} of them distinct, not {}",
                newest.len(),
                self.events.min(100_000)
            ));
        }
        Ok(())
    }
}
