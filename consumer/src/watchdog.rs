//! Looks from outside of the workers whether everything moves, since what hangs can't say so itself: a partition that
//! is not read while there is more in it, brokers that are silent, a disk that takes nothing. Each is a line of the log
//! once it has lasted, and all the while `/readyz` and a metric. It mends nothing: whatever can go on does so anyway.

use crate::health::{Health, Part, State, Trouble};
use crate::quiet::Quiet;
use crate::sink::dead_letter::Acknowledged;
use anyhow::Context;
use common::units::format_counted;
use kafka::options::{KafkaOptions, in_short};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tracing::{info, warn};

const TICK: Duration = Duration::from_secs(1);
/// How often Kafka is asked where partitions end; once something is wrong there, with each tick, so that one slow answer
/// is not taken for more.
const ASK_INTERVAL: Duration = Duration::from_secs(4);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// What has not moved for so long is stuck: far more than a full queue, a slow sync or a rebalance takes.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Behind the last message a transaction may have left a marker, which nobody is given.
const MARKER: i64 = 1;
/// What is wrong for less than this is on the metrics, but no line of the log.
const SAID_AFTER: Duration = Duration::from_secs(3);

/// Starts looking; ends with the work.
///
/// # Errors
/// When the operating system gives no thread, or librdkafka no client.
pub fn start(
    kafka: &KafkaOptions,
    redis: bool,
    health: Health,
    acknowledged: Acknowledged,
) -> anyhow::Result<()> {
    // Of its own: the workers' clients may be what hangs. The ends it is told are those for readers of transactions.
    let config = kafka.client_config(&[("isolation.level", "read_committed")]);
    let client: BaseConsumer<Quiet> = config.create_with_context(Quiet).context("a Kafka client")?;
    let mut watchdog = Watchdog {
        client,
        topic: kafka.topic.clone(),
        redis,
        health,
        acknowledged,
        asked: None,
        kafka: Vec::new(),
        moves: Moves::default(),
        board: Board::default(),
    };
    std::thread::Builder::new().name("watchdog".into()).spawn(move || watchdog.run())?;
    Ok(())
}

struct Watchdog {
    client: BaseConsumer<Quiet>,
    topic: String,
    redis: bool,
    health: Health,
    acknowledged: Acknowledged,
    /// When Kafka was asked last, and what is wrong there since.
    asked: Option<Instant>,
    kafka: Vec<(Part, String)>,
    moves: Moves,
    board: Board,
}

impl Watchdog {
    fn run(&mut self) {
        while self.health.state() != State::Stopping {
            std::thread::park_timeout(TICK);
            // What it has to say would pile up for as long as brokers are away; nothing is read with it.
            while self.client.poll(Duration::ZERO).is_some() {}
            if !self.kafka.is_empty() || self.asked.is_none_or(|asked| asked.elapsed() >= ASK_INTERVAL) {
                self.kafka = self.ask_kafka();
                self.asked = Some(Instant::now());
            }
            let mut wrong = self.kafka.clone();
            wrong.extend(self.look());
            for news in self.board.update(wrong, Instant::now()) {
                news.say();
            }
            self.health.set_troubles(self.board.troubles());
        }
    }

    /// What is wrong here.
    fn look(&self) -> Vec<(Part, String)> {
        let Watchdog { health, acknowledged, .. } = self;
        let mut wrong = Vec::new();
        if health.silence() >= STUCK_AFTER {
            wrong.push((Part::workers, "a worker does not turn".to_owned()));
        }
        if health.awaited() > 0 {
            let ours = format_counted(health.awaited() as u64, "partition");
            wrong.push((Part::partitions, format!("{ours} of ours can't be read yet")));
        }
        if health.oldest_unsynced() >= STUCK_AFTER {
            wrong.push((Part::file, "the disk does not take what is to be synced".to_owned()));
        }
        if acknowledged.stuck_for().is_some_and(|stuck| stuck >= STUCK_AFTER) {
            let what = "rejected events find no way into their topic, and hold up the checkpoint";
            wrong.push((Part::rejected_topic, what.to_owned()));
        }
        if self.redis && health.partitions() > 0 && !health.redis_attached() {
            wrong.push((Part::redis, "Redis is away, or behind and being caught up".to_owned()));
        }
        wrong
    }

    /// What is wrong there.
    fn ask_kafka(&mut self) -> Vec<(Part, String)> {
        let positions = self.health.positions();
        let ends = match self.leaderless().and_then(|none| Ok((none, self.ends(&positions)?))) {
            Ok((leaderless, _)) if !leaderless.is_empty() => {
                let what = format!("no broker leads partitions {}", list(&leaderless));
                return vec![(Part::partitions, what)];
            }
            Ok((_, ends)) => ends,
            Err(error) => {
                let what = format!("no broker answers ({})", in_short(&error.to_string()));
                return vec![(Part::brokers, what)];
            }
        };
        let stuck = self.moves.stuck(&positions, &ends, Instant::now());
        let waiting: i64 = stuck.iter().map(|id| ends[id] - positions[id]).sum();
        if stuck.is_empty() {
            return Vec::new();
        }
        vec![(Part::partitions, format!("{waiting} events wait in partitions {}, unread", list(&stuck)))]
    }

    fn leaderless(&self) -> KafkaResult<Vec<i32>> {
        let metadata = self.client.fetch_metadata(Some(&self.topic), ASK_TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(partitions.filter(|partition| partition.leader() < 0).map(|partition| partition.id()).collect())
    }

    /// The offsets after the last messages.
    fn ends(&self, positions: &BTreeMap<i32, i64>) -> KafkaResult<BTreeMap<i32, i64>> {
        let mut list = TopicPartitionList::new();
        for &partition in positions.keys() {
            list.add_partition_offset(&self.topic, partition, Offset::End)?;
        }
        if list.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let answer = self.client.offsets_for_times(list, ASK_TIMEOUT)?;
        let end = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            element.error().ok()?;
            Some((element.partition(), element.offset().to_raw()?))
        };
        Ok(answer.elements().iter().filter_map(end).collect())
    }
}

fn list(partitions: &[i32]) -> String {
    let names: Vec<String> = partitions.iter().map(i32::to_string).collect();
    names.join(", ")
}

/// When each partition was last seen to move.
#[derive(Debug, Default)]
struct Moves(BTreeMap<i32, (i64, Instant)>);

impl Moves {
    /// Partitions that have not moved for a while, though there is more.
    fn stuck(&mut self, positions: &BTreeMap<i32, i64>, ends: &BTreeMap<i32, i64>, now: Instant) -> Vec<i32> {
        self.0.retain(|id, _| positions.contains_key(id));
        let mut stuck = Vec::new();
        for (&id, &next) in positions {
            let (last, since) = self.0.entry(id).or_insert((next, now));
            let more = ends.get(&id).is_some_and(|&end| end > next + MARKER);
            if *last != next || !more {
                (*last, *since) = (next, now);
            } else if now.duration_since(*since) >= STUCK_AFTER {
                stuck.push(id);
            }
        }
        stuck
    }
}

/// What is wrong, and since when.
#[derive(Debug, Default)]
struct Board(BTreeMap<Part, (Trouble, bool)>);

/// What a reader of the log wants to know.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Wrong(Trouble),
    Over(Part, Duration),
}

impl Board {
    /// Takes in all that is wrong at present; a part may have several troubles.
    fn update(&mut self, all: Vec<(Part, String)>, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        let mut wrong = BTreeMap::<Part, String>::new();
        for (part, what) in all {
            wrong.entry(part).and_modify(|first| *first = format!("{first}; {what}")).or_insert(what);
        }
        self.0.retain(|part, (trouble, said)| {
            let goes_on = wrong.contains_key(part);
            if !goes_on && *said {
                news.push(News::Over(*part, now.duration_since(trouble.since)));
            }
            goes_on
        });
        for (part, what) in wrong {
            let trouble = Trouble { part, since: now, what: what.clone() };
            let (trouble, said) = self.0.entry(part).or_insert((trouble, false));
            trouble.what = what;
            // The pipeline says why Redis is detached as it happens.
            if !*said && part != Part::redis && now.duration_since(trouble.since) >= SAID_AFTER {
                *said = true;
                news.push(News::Wrong(trouble.clone()));
            }
        }
        news
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.0.values().map(|(trouble, _)| trouble.clone()).collect()
    }
}

impl News {
    fn say(&self) {
        match self {
            News::Wrong(trouble) => warn!(part = ?trouble.part, "degraded: {}", trouble.what),
            News::Over(part, lasted) => {
                info!(?part, seconds = lasted.as_secs(), "no longer degraded");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn stuck_is_what_has_more_and_does_not_move() {
        let start = Instant::now();
        let mut moves = Moves::default();
        let ends = BTreeMap::from([(0, 10), (1, 10), (2, 10)]);
        let mut at = |second: u64, positions: [i64; 3]| {
            let positions = (0..).zip(positions).collect();
            moves.stuck(&positions, &ends, start + seconds(second))
        };
        assert!(at(0, [0, 3, 10]).is_empty());
        assert!(at(4, [0, 3, 10]).is_empty(), "not for long enough");
        assert_eq!(at(5, [1, 3, 10]), [1], "0 moved, 2 is at its end");
        assert_eq!(at(10, [1, 4, 10]), [0]);
        assert!(moves.stuck(&BTreeMap::new(), &ends, start + seconds(20)).is_empty(), "given up");
        let again = BTreeMap::from([(0, 1)]);
        assert!(moves.stuck(&again, &ends, start + seconds(21)).is_empty(), "and taken on again");
    }

    #[test]
    fn what_lasts_is_said_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut board = Board::default();
        let mut at = |second: u64, wrong: &[(Part, &str)]| {
            let wrong = wrong.iter().map(|&(part, what)| (part, what.to_owned())).collect();
            board.update(wrong, start + seconds(second))
        };
        let trouble = |what: &str| Trouble { part: Part::file, since: start, what: what.to_owned() };
        assert!(at(0, &[(Part::file, "slow"), (Part::redis, "away")]).is_empty());
        assert_eq!(at(3, &[(Part::file, "slower"), (Part::redis, "away")]), [News::Wrong(trouble("slower"))]);
        assert!(at(4, &[(Part::file, "slower"), (Part::brokers, "gone")]).is_empty());
        assert_eq!(at(6, &[]), [News::Over(Part::file, seconds(6))], "of the brokers nothing was said");
        assert!(at(7, &[(Part::file, "slow")]).is_empty(), "begins anew");
        at(8, &[(Part::file, "slow"), (Part::file, "full")]);
        assert_eq!(board.troubles()[0].what, "slow; full", "one does not hide the other");
    }
}
