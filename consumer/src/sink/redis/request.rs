//! One batch as one packed request: data and position in one `MULTI`/`EXEC`.
//!
//! Made for `redis-cli` (`logs` is the prefix):
//!
//! | key | type | what |
//! |---|---|---|
//! | `logs:recent` | list | events as they came, newest first, capped |
//! | `logs:recent:WARN` `:ERROR` `:FATAL` | list | the same by level |
//! | `logs:levels` `logs:services` | hash | events in all, by level and by service |
//! | `logs:minute:2026-11-22T07:12` | hash | the same for events of that minute (`INFO`, `service:auth`), expires |
//! | `logs:position:TOPIC:PARTITION` | string | `next-offset owner topic-id`: everything below is in, nothing else |
//!
//! The bytes of an event are copied once, straight into the request; the length of the list stands before its
//! items and is known only at the end, so room for the head is kept free and filled from the right.

use crate::counts::{Counts, ServiceId, ServiceNames};
use common::level::Level;
use std::collections::BTreeMap;

/// Levels that have a list of their own.
const LISTED: [Level; 3] = [Level::Warn, Level::Error, Level::Fatal];

/// An event's minute counts only if it is at most this far ahead of the clock.
const MAX_AHEAD_MINUTES: i64 = 60;

/// How Redis is laid out.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Before every key.
    pub prefix: String,
    /// Topic, part of the positions' keys.
    pub topic: String,
    /// Events a list holds.
    pub recent: u64,
    /// Minutes for which counters per minute are kept.
    pub minutes: i64,
}

impl Keys {
    /// Key of a partition's position.
    pub fn position(&self, partition: i32) -> String {
        format!("{}:position:{}:{partition}", self.prefix, self.topic)
    }

    fn recent(&self, level: Option<Level>) -> String {
        match level {
            None => format!("{}:recent", self.prefix),
            Some(level) => format!("{}:recent:{level}", self.prefix),
        }
    }

    fn levels(&self) -> String {
        format!("{}:levels", self.prefix)
    }

    fn services(&self) -> String {
        format!("{}:services", self.prefix)
    }

    fn minute(&self, minute: i64) -> String {
        let time = chrono::DateTime::from_timestamp(minute * 60, 0).unwrap_or_default();
        format!("{}:minute:{}", self.prefix, time.format("%Y-%m-%dT%H:%M"))
    }
}

/// A batch on its way to Redis. Reused: [`clear`](Self::clear) keeps the memory, [`begin`](Self::begin) says what time
/// it is.
#[derive(Debug)]
pub struct Request {
    recent: List,
    by_level: [List; LISTED.len()],
    /// Counts by minute of the event; the last one used first, since most events share it.
    minutes: Vec<(i64, Counts)>,
    minutes_used: usize,
    this_minute: i64,
    /// Position of each partition in the batch: the offset it starts from and the one after its end.
    positions: Vec<Moved>,
    /// Due times of its events, µs since the epoch.
    pub dues: Vec<u64>,
    /// Events that count (those only put back into the lists don't).
    pub events: u64,
    /// Bytes that the feed has set down for it while it is on its way.
    pub charged: usize,
}

/// A partition moved on from one offset to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The partition.
    pub partition: i32,
    /// First offset of the batch.
    pub from: i64,
    /// The offset after its last.
    pub next: i64,
}

#[derive(Debug, Default)]
struct List {
    items: u64,
    bytes: Vec<u8>,
}

/// Room before the items for `*N $5 LPUSH $len key`.
const HEAD_ROOM: usize = 512;

impl Default for Request {
    fn default() -> Request {
        let mut recent = List::default();
        recent.bytes.resize(HEAD_ROOM, 0);
        Request {
            recent,
            by_level: Default::default(),
            minutes: Vec::new(),
            minutes_used: 0,
            this_minute: 0,
            positions: Vec::new(),
            dues: Vec::new(),
            events: 0,
            charged: 0,
        }
    }
}

impl Request {
    /// Empties it.
    pub fn clear(&mut self) {
        self.recent.items = 0;
        self.recent.bytes.truncate(HEAD_ROOM);
        for list in &mut self.by_level {
            list.items = 0;
            list.bytes.clear();
        }
        for (_, counts) in &mut self.minutes[..self.minutes_used] {
            counts.clear();
        }
        self.minutes_used = 0;
        self.positions.clear();
        self.dues.clear();
        self.events = 0;
    }

    /// Says when the batch begins; it may have been emptied long before.
    pub fn begin(&mut self, now_micros: u64) {
        self.this_minute = i64::try_from(now_micros / 60_000_000).unwrap_or(0);
    }

    /// Adds an event. `timestamp` is in µs since the epoch; an event without one, or with one that is too old
    /// for its counters to be kept or too far ahead to be true, counts for the minute of its arrival.
    pub fn push(
        &mut self,
        payload: &[u8],
        level: Level,
        service: Option<ServiceId>,
        timestamp: Option<i64>,
        due: Option<u64>,
        keys: &Keys,
    ) {
        self.push_to_lists(payload, level);
        let minute = timestamp.map_or(self.this_minute, |micros| micros.div_euclid(60_000_000));
        let kept = self.this_minute - keys.minutes..=self.this_minute + MAX_AHEAD_MINUTES;
        let minute = if kept.contains(&minute) { minute } else { self.this_minute };
        self.counts_of(minute).add(level, service);
        self.dues.extend(due);
        self.events += 1;
    }

    /// Adds an event to the lists only: to fill those of a Redis that lost its data, when its counters are
    /// known from elsewhere.
    pub fn push_to_lists(&mut self, payload: &[u8], level: Level) {
        self.recent.push(payload);
        if let Some(index) = LISTED.iter().position(|&listed| listed == level) {
            self.by_level[index].push(payload);
        }
    }

    fn counts_of(&mut self, minute: i64) -> &mut Counts {
        let used = &self.minutes[..self.minutes_used];
        let index = used.iter().position(|(m, _)| *m == minute).unwrap_or_else(|| {
            if self.minutes.len() == self.minutes_used {
                self.minutes.push((minute, Counts::default()));
            }
            self.minutes[self.minutes_used].0 = minute;
            self.minutes_used += 1;
            self.minutes_used - 1
        });
        &mut self.minutes[index].1
    }

    /// Says that the batch holds everything of a partition from `from` up to, not including, `next`.
    pub fn moved(&mut self, partition: i32, from: i64, next: i64) {
        self.positions.push(Moved { partition, from, next });
    }

    /// What it holds of each partition.
    pub fn positions(&self) -> &[Moved] {
        &self.positions
    }

    /// Bytes that Redis is sent, once it is packed.
    pub fn bytes(&self) -> usize {
        self.recent.bytes.len()
    }

    /// Bytes of memory that its events take once it is packed, which puts the lists by level behind the one of all.
    pub fn memory(&self) -> usize {
        self.recent.bytes.len() + 2 * self.by_level.iter().map(|list| list.bytes.len()).sum::<usize>()
    }

    /// True when it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.recent.items == 0
    }

    /// The whole request in RESP, with `trailer` (commands already packed) behind it, and the number of its
    /// commands from `MULTI` to `EXEC`. `marks` say by partition what stands behind the position.
    pub fn pack(
        &mut self,
        keys: &Keys,
        names: &ServiceNames,
        marks: &BTreeMap<i32, String>,
        trailer: &[u8],
    ) -> (&[u8], usize) {
        let mut commands = 2;
        let mut head = Vec::with_capacity(HEAD_ROOM);
        command(&mut head, &[b"MULTI"]);
        let mut tail = Tail { bytes: std::mem::take(&mut self.recent.bytes), commands: 0 };
        if self.recent.items > 0 {
            list_head(&mut head, self.recent.items, &keys.recent(None));
            commands += 1;
            tail.trim(&keys.recent(None), keys.recent);
        }
        for (list, level) in self.by_level.iter().zip(LISTED).filter(|(list, _)| list.items > 0) {
            let key = keys.recent(Some(level));
            list_head(&mut tail.bytes, list.items, &key);
            tail.bytes.extend_from_slice(&list.bytes);
            tail.commands += 1;
            tail.trim(&key, keys.recent);
        }
        let mut sum = Counts::default();
        for (minute, counts) in &self.minutes[..self.minutes_used] {
            sum.merge(counts);
            let key = keys.minute(*minute);
            tail.count_up(&key, counts);
            names.for_each(counts, |name, count| tail.increment(&key, &format!("service:{name}"), count));
            let seconds = (*minute - self.this_minute + keys.minutes).max(1) * 60;
            tail.command(&[b"EXPIRE", key.as_bytes(), seconds.to_string().as_bytes()]);
        }
        tail.add_totals(keys, names, &sum);
        for moved in &self.positions {
            tail.set_position(keys, moved.partition, moved.next, &marks[&moved.partition]);
        }
        command(&mut tail.bytes, &[b"EXEC"]);
        tail.bytes.extend_from_slice(trailer);
        commands += tail.commands;
        self.recent.bytes = tail.bytes;
        let start = HEAD_ROOM - head.len();
        self.recent.bytes[start..HEAD_ROOM].copy_from_slice(&head);
        (&self.recent.bytes[start..], commands)
    }
}

impl List {
    fn push(&mut self, payload: &[u8]) {
        self.items += 1;
        bulk(&mut self.bytes, payload);
    }
}

/// Commands with their count, as replies are to be read for each.
#[derive(Debug, Default)]
pub struct Tail {
    /// In RESP.
    pub bytes: Vec<u8>,
    /// How many.
    pub commands: usize,
}

impl Tail {
    /// Adds a command.
    pub fn command(&mut self, parts: &[&[u8]]) {
        command(&mut self.bytes, parts);
        self.commands += 1;
    }

    /// Sets a partition's position, with a mark behind it.
    pub fn set_position(&mut self, keys: &Keys, partition: i32, next: i64, mark: &str) {
        self.command(&[b"SET", keys.position(partition).as_bytes(), format!("{next} {mark}").as_bytes()]);
    }

    /// Adds counts to the totals.
    pub fn add_totals(&mut self, keys: &Keys, names: &ServiceNames, totals: &Counts) {
        self.count_up(&keys.levels(), totals);
        let services = keys.services();
        names.for_each(totals, |name, count| self.increment(&services, name, count));
    }

    fn count_up(&mut self, key: &str, counts: &Counts) {
        for (level, count) in Level::ALL.into_iter().zip(counts.levels).filter(|(_, count)| *count > 0) {
            self.increment(key, level.as_str(), count);
        }
    }

    fn increment(&mut self, key: &str, field: &str, count: u64) {
        self.command(&[b"HINCRBY", key.as_bytes(), field.as_bytes(), count.to_string().as_bytes()]);
    }

    fn trim(&mut self, key: &str, keep: u64) {
        self.command(&[b"LTRIM", key.as_bytes(), b"0", (keep - 1).to_string().as_bytes()]);
    }
}

fn list_head(out: &mut Vec<u8>, items: u64, key: &str) {
    number(out, b'*', items + 2);
    bulk(out, b"LPUSH");
    bulk(out, key.as_bytes());
}

/// Appends a command in RESP.
pub fn command(out: &mut Vec<u8>, parts: &[&[u8]]) {
    number(out, b'*', parts.len() as u64);
    for part in parts {
        bulk(out, part);
    }
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, b'$', bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys { prefix: "logs".into(), topic: "logs".into(), recent: 3, minutes: 60 }
    }

    /// Reads RESP back into commands.
    fn parse(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
        fn number(bytes: &mut &[u8], kind: &str) -> usize {
            let end = bytes.windows(2).position(|w| w == b"\r\n").unwrap();
            let (line, rest) = bytes.split_at(end);
            *bytes = &rest[2..];
            std::str::from_utf8(line).unwrap().strip_prefix(kind).unwrap().parse().unwrap()
        }
        let mut commands = Vec::new();
        while !bytes.is_empty() {
            let mut words = Vec::new();
            for _ in 0..number(&mut bytes, "*") {
                let length = number(&mut bytes, "$");
                let (word, rest) = bytes.split_at(length);
                words.push(word.to_vec());
                bytes = rest.strip_prefix(b"\r\n").unwrap();
            }
            commands.push(words);
        }
        commands
    }

    #[test]
    fn a_batch_begun_after_a_long_rest_counts_for_the_minute_it_begins_in() {
        let (names, keys) = (ServiceNames::default(), keys());
        let minute = 29_393_712_u64;
        let mut request = Request::default();
        request.begin((minute - 600) * 60_000_000);
        request.clear();
        request.begin(minute * 60_000_000);
        request.push(b"{}", Level::Info, None, Some(minute as i64 * 60_000_000), None, &keys);
        request.push(b"{}", Level::Info, None, None, None, &keys);
        let text = String::from_utf8(request.pack(&keys, &names, &BTreeMap::new(), b"").0.to_vec()).unwrap();
        assert!(text.contains("logs:minute:2025-11-20T07:12\r\n$4\r\nINFO\r\n$1\r\n2\r\n"), "{text}");
    }

    #[test]
    fn a_batch_is_one_transaction() {
        let names = ServiceNames::default();
        let auth = names.id("auth");
        let marks = BTreeMap::from([(2, "me".to_owned())]);
        let minute = 29_393_712; // 2025-11-20T07:12
        let mut request = Request::default();
        for _ in 0..2 {
            request.clear();
            request.begin(minute as u64 * 60_000_000);
            let at = Some(minute * 60_000_000 + 5);
            request.push(b"{\"a\":1}", Level::Info, Some(auth), at, Some(1), &keys());
            request.push(b"{\"a\":2}", Level::Error, None, at, Some(2), &keys());
            request.push(b"{\"a\":3}", Level::Info, Some(auth), Some(0), None, &keys());
            request.moved(2, 7, 10);
            let (bytes, count) = request.pack(&keys(), &names, &marks, b"");
            let commands = parse(bytes);
            assert_eq!(commands.len(), count);
            let text: Vec<String> =
                commands.iter().map(|words| String::from_utf8(words.join(&b' ')).unwrap()).collect();
            assert_eq!(
                text,
                [
                    "MULTI",
                    "LPUSH logs:recent {\"a\":1} {\"a\":2} {\"a\":3}",
                    "LTRIM logs:recent 0 2",
                    "LPUSH logs:recent:ERROR {\"a\":2}",
                    "LTRIM logs:recent:ERROR 0 2",
                    "HINCRBY logs:minute:2025-11-20T07:12 INFO 2",
                    "HINCRBY logs:minute:2025-11-20T07:12 ERROR 1",
                    "HINCRBY logs:minute:2025-11-20T07:12 service:auth 2",
                    "EXPIRE logs:minute:2025-11-20T07:12 3600",
                    "HINCRBY logs:levels INFO 2",
                    "HINCRBY logs:levels ERROR 1",
                    "HINCRBY logs:services auth 2",
                    "SET logs:position:logs:2 10 me",
                    "EXEC",
                ]
            );
            assert_eq!(request.dues, [1, 2]);
        }
    }

    #[test]
    fn the_memory_it_will_take_is_known_before_it_is_packed() {
        let (keys, mut request) = (keys(), Request::default());
        for _ in 0..100 {
            request.push(&[b'x'; 1_000], Level::Error, None, None, None, &keys);
            request.push(&[b'x'; 1_000], Level::Info, None, None, None, &keys);
        }
        let expected = request.memory();
        request.pack(&keys, &ServiceNames::default(), &BTreeMap::new(), b"");
        let listed: usize = request.by_level.iter().map(|list| list.bytes.len()).sum();
        assert!((expected..expected + 2_000).contains(&(request.bytes() + listed)), "{expected}");
    }

    /// Whatever events, services, topics and marks say, Redis reads the commands that are meant and no others.
    #[test]
    fn fuzz_request() {
        type Events = Vec<(Vec<u8>, u8, Option<String>, Option<i64>)>;
        bolero::check!().with_type::<(String, String, String, Events)>().for_each(
            |(prefix, topic, mark, events)| {
                // As long as a prefix may be.
                let prefix: String = prefix.chars().take(16).collect();
                let keys = Keys { prefix: prefix.clone(), topic: topic.clone(), recent: 3, minutes: 60 };
                let (names, now) = (ServiceNames::default(), 29_393_712_i64);
                let mut request = Request::default();
                request.begin(now as u64 * 60_000_000);
                let mut lists: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
                let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
                for (payload, level, service, minutes) in events {
                    let level = Level::ALL[usize::from(*level) % Level::ALL.len()];
                    // Most of them near the clock.
                    let at = minutes.map(|m| if m % 4 == 0 { m } else { (now + m % 80) * 60_000_000 });
                    request.push(
                        payload,
                        level,
                        service.as_deref().map(|name| names.id(name)),
                        at,
                        None,
                        &keys,
                    );
                    lists.entry(format!("{prefix}:recent")).or_default().push(payload);
                    if LISTED.contains(&level) {
                        lists.entry(format!("{prefix}:recent:{level}")).or_default().push(payload);
                    }
                    let minute = at.map_or(now, |at| at.div_euclid(60_000_000));
                    let minute =
                        keys.minute(if (now - 60..=now + 60).contains(&minute) { minute } else { now });
                    let service =
                        service.as_deref().map(|name| if name.len() > 128 { "(other)" } else { name });
                    let of_service = service.map(|name| (format!("{prefix}:services"), name.to_owned()));
                    let of_minute = service.map(|name| (minute.clone(), format!("service:{name}")));
                    let of_level = [format!("{prefix}:levels"), minute].map(|key| (key, level.to_string()));
                    for counted in of_level.into_iter().chain(of_service).chain(of_minute) {
                        *counts.entry(counted).or_default() += 1;
                    }
                }
                request.moved(7, 5, 9);
                let marks = BTreeMap::from([(7, mark.clone())]);
                let (bytes, count) = request.pack(&keys, &names, &marks, b"*1\r\n$4\r\nPING\r\n");
                let commands = parse(bytes);
                assert_eq!(commands.len(), count + 1);
                let word = |text: &str| text.as_bytes().to_vec();
                assert_eq!(commands[0], [word("MULTI")]);
                let position =
                    [word("SET"), word(&format!("{prefix}:position:{topic}:7")), word(&format!("9 {mark}"))];
                assert_eq!(commands[count - 2..], [&position[..], &[word("EXEC")], &[word("PING")]]);
                for words in &commands[1..count - 2] {
                    let key = String::from_utf8(words[1].clone()).unwrap();
                    match &words[0][..] {
                        b"LPUSH" => assert_eq!(lists.remove(&key).unwrap(), words[2..]),
                        b"HINCRBY" => {
                            let field = String::from_utf8(words[2].clone()).unwrap();
                            let counted = counts.remove(&(key, field)).unwrap();
                            assert_eq!(words[3..], [word(&counted.to_string())]);
                        }
                        b"LTRIM" => assert_eq!(words[2..], [word("0"), word("2")]),
                        b"EXPIRE" => assert!(key.starts_with(&format!("{prefix}:minute:"))),
                        other => panic!("{}", String::from_utf8_lossy(other)),
                    }
                }
                assert!(lists.is_empty() && counts.is_empty(), "{lists:?} {counts:?}");
            },
        );
    }
}
