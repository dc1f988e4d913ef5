//! What the tests share: a stack, a folder, our programs, and the audit at the end.

use harness::{
    KafkaVersion, Program, REDIS_MASTER, REDIS_TAG, RedisLayout, Signal, Stack, StackOptions, http,
    wait_until,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, TopicPartitionList};
use redis::Commands;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; only a failure waits so long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How the consumers of a group come to their partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One of them deals them out.
    Classic,
    /// The broker does (KIP-848, from Kafka 4 on).
    Consumer,
}

/// A stack with the topic `logs`, and a folder for files.
pub struct Scene {
    pub stack: Stack,
    folder: TempDir,
    redis: RedisLayout,
    protocol: Protocol,
}

impl Scene {
    pub fn new(partitions: usize) -> Scene {
        Scene::with(StackOptions::default(), Protocol::Classic, partitions)
    }

    /// On a Kafka without ZooKeeper, for groups of either kind.
    pub fn on_kafka_4(protocol: Protocol, partitions: usize) -> Scene {
        Scene::with(
            StackOptions { kafka: KafkaVersion::KRaft4, ..StackOptions::default() },
            protocol,
            partitions,
        )
    }

    /// Its Kafka and Redis listen with TLS, too, for a user with such rights in Redis.
    pub fn secured(partitions: usize, rights: &'static str) -> Scene {
        let options = StackOptions { secured: Some(rights), ..StackOptions::default() };
        Scene::with(options, Protocol::Classic, partitions)
    }

    /// Redis has Sentinels or is a cluster, and consumers know it.
    pub fn with_redis(redis: RedisLayout, partitions: usize) -> Scene {
        Scene::with(StackOptions { redis, ..StackOptions::default() }, Protocol::Classic, partitions)
    }

    /// Consumers reach the broker through a proxy, as a network.
    pub fn behind_a_network(partitions: usize) -> Scene {
        let options = StackOptions { proxied: true, ..StackOptions::default() };
        Scene::with(options, Protocol::Classic, partitions)
    }

    /// So many brokers, and the topic on each of them.
    pub fn with_brokers(brokers: usize, partitions: usize) -> Scene {
        Scene::with(StackOptions { brokers, ..StackOptions::default() }, Protocol::Classic, partitions)
    }

    fn with(options: StackOptions, protocol: Protocol, partitions: usize) -> Scene {
        let redis = options.redis;
        let stack = Stack::start(options).unwrap();
        stack.create_topic("logs", partitions).unwrap();
        Scene { stack, folder: TempDir::new().unwrap(), redis, protocol }
    }

    /// A key in Redis, behind the prefix.
    fn key(&self, name: &str) -> String {
        let prefix = if self.redis == RedisLayout::Cluster { REDIS_TAG } else { "logs" };
        format!("{prefix}:{name}")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a consumer on `file`; sessions are short, so that the dead are missed soon (by the broker's settings where
    /// it deals the partitions).
    pub fn consumer(&self, file: &str, more: &[&str]) -> Program {
        let brokers = match self.stack.proxies() {
            [] => self.stack.bootstrap(),
            _ => self.stack.proxied_bootstrap(),
        };
        let redis = self.stack.redis_url();
        let mut arguments = vec![
            "--brokers",
            &brokers,
            "--redis-url",
            &redis,
            "--file",
            file,
            "--metrics-addr",
            "127.0.0.1:0",
            "--kafka",
            match self.protocol {
                Protocol::Classic => "session.timeout.ms=3000",
                Protocol::Consumer => "group.protocol=consumer",
            },
        ];
        arguments.extend(more);
        let environment: &[_] = match self.redis {
            RedisLayout::Alone => &[],
            RedisLayout::Sentinels => &[("REDIS_SENTINEL", REDIS_MASTER)],
            RedisLayout::Cluster => &[("SLUICE_REDIS_PREFIX", REDIS_TAG)],
        };
        Program::start("consumer", arguments, environment, self.folder.path()).unwrap()
    }

    /// Starts `consumer rejected …`.
    pub fn rejected(&self, arguments: &[&str]) -> Program {
        let brokers = self.stack.bootstrap();
        let (action, more) = arguments.split_first().unwrap();
        let arguments = ["rejected", action, "--brokers", &brokers].into_iter().chain(more.iter().copied());
        Program::start("consumer", arguments, &[], self.folder.path()).unwrap()
    }

    /// Starts a producer that reports to `report`.
    pub fn producer(&self, report: &str, more: &[&str]) -> Program {
        let brokers = self.stack.bootstrap();
        let mut arguments = vec!["--brokers", &brokers, "--report", report];
        arguments.extend(more);
        Program::start("producer", arguments, &[], self.folder.path()).unwrap()
    }

    /// Starts a producer that ships `file`, and what is written to it, and reports to `report`.
    pub fn shipper(&self, report: &str, file: &Path) -> Program {
        let brokers = self.stack.bootstrap();
        let file = file.to_str().unwrap();
        let arguments = ["ship", "--brokers", &brokers, "--report", report, "--follow", file];
        Program::start("producer", arguments, &[], self.folder.path()).unwrap()
    }

    /// Events that Redis has counted.
    pub fn counted_by_redis(&self) -> u64 {
        let levels: Option<HashMap<String, u64>> =
            self.stack.redis().ok().and_then(|mut redis| redis.hgetall(self.key("levels")).ok());
        levels.unwrap_or_default().values().sum()
    }

    /// A client that sees the consumers' group from outside.
    fn beside_the_group(&self) -> BaseConsumer {
        let config = [("bootstrap.servers", self.stack.bootstrap()), ("group.id", "sluice".to_owned())];
        ClientConfig::from_iter(config.map(|(key, value)| (key.to_owned(), value))).create().unwrap()
    }

    /// Waits until the group has missed all its members.
    pub fn await_empty_group(&self) {
        let client = self.beside_the_group();
        wait_until("the group to have no members", PATIENCE, || {
            let groups = client.fetch_group_list(Some("sluice"), Duration::from_secs(5));
            groups.is_ok_and(|list| list.groups().iter().all(|group| group.members().is_empty()))
        })
        .unwrap();
    }

    /// Waits until Redis has counted exactly so many events and lists the newest, and the files hold as many: what a
    /// consumer that died had fed to Redis may be there before its successor has written it.
    pub fn await_count(&self, events: u64) {
        let mut seen = 0;
        wait_until("Redis to have counted all events", PATIENCE, || {
            seen = self.counted_by_redis();
            seen >= events
        })
        .unwrap_or_else(|error| panic!("{error}: {seen} of {events}"));
        assert_eq!(seen, events, "Redis counted more than there is");
        wait_until("Redis to list the newest events", PATIENCE, || {
            let listed: Option<u64> =
                self.stack.redis().ok().and_then(|mut r| r.llen(self.key("recent")).ok());
            listed == Some(events.min(100_000))
        })
        .unwrap();
        let mut written = 0;
        wait_until("the files to hold all events", PATIENCE, || {
            written = self.lines();
            written >= events
        })
        .unwrap_or_else(|error| panic!("{error}: {written} of {events}"));
    }

    /// Lines in all files `logs….txt`.
    pub fn lines(&self) -> u64 {
        let lines = |path| {
            let text = std::fs::read(path).unwrap_or_default();
            text.iter().filter(|&&byte| byte == b'\n').count() as u64
        };
        self.files("logs").iter().map(lines).sum()
    }

    /// A consumer's metrics page, read as Prometheus would.
    pub fn metrics(&self, consumer: &Program) -> String {
        self.page(consumer, "/metrics")
    }

    /// A page of a consumer, once it answers 200.
    pub fn page(&self, consumer: &Program, path: &str) -> String {
        let log = consumer.stderr();
        let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        let address = address.parse().unwrap();
        wait_until(path, PATIENCE, || http::get(address, path))
            .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()))
    }

    /// Ends a consumer as `docker stop` does, and sees that it ended well.
    pub fn end(&self, consumer: &mut Program) {
        consumer.signal(Signal::TERM).unwrap();
        let status = consumer.wait(PATIENCE).unwrap();
        assert!(status.success(), "{status}: {}", consumer.stderr());
        assert!(consumer.stderr().contains("drained, synced and committed"), "{}", consumer.stderr());
    }

    /// Ends a producer's run and sees that the broker took everything.
    pub fn finish(&self, producer: &mut Program) {
        let status = producer.wait(PATIENCE).unwrap();
        assert!(status.success(), "{status}: {}\n{}", producer.stderr(), producer.stdout());
    }

    /// The audit: `verify` finds nothing, and neither does a count that shares no code with it; what Redis
    /// counted is what the files hold, to the event, and its positions are the partitions' ends, as are the offsets
    /// that the group has committed.
    pub fn audit(&self, files: &[PathBuf], reports: &[&str], events: u64) {
        self.verify(files, reports);
        let count = count(files);
        assert_eq!(count.doubled, 0, "doubled");
        assert_eq!(count.lines, events, "lines");
        let acknowledged: u64 = reports.iter().map(|report| self.report(report)).sum();
        assert_eq!(acknowledged, events, "acknowledged");

        let mut redis = self.stack.redis().unwrap();
        let levels: BTreeMap<String, u64> = redis.hgetall(self.key("levels")).unwrap();
        assert_eq!(levels, count.levels, "levels in Redis");
        let services: BTreeMap<String, u64> = redis.hgetall(self.key("services")).unwrap();
        assert_eq!(services, count.services, "services in Redis");
        let ends = self.stack.high_watermarks("logs").unwrap();
        assert_eq!(self.committed(ends.len()), ends, "offsets committed");
        for (partition, end) in ends.into_iter().enumerate() {
            let position: Option<String> =
                redis.get(self.key(&format!("position:logs:{partition}"))).unwrap();
            let next = position.map_or(0, |text| text.split(' ').next().unwrap().parse::<i64>().unwrap());
            assert_eq!(next, end, "position of partition {partition}");
        }
        let newest: Vec<String> = redis.lrange(self.key("recent"), 0, -1).unwrap();
        assert_eq!(newest.len() as u64, events.min(100_000), "newest events in Redis");
        let distinct: HashSet<&String> = newest.iter().collect();
        assert_eq!(distinct.len(), newest.len(), "doubled in the list");
    }

    /// What the group has committed, of each partition; 0 where there is nothing.
    pub fn committed(&self, partitions: usize) -> Vec<i64> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range("logs", 0, i32::try_from(partitions).unwrap() - 1);
        let client = self.beside_the_group();
        let asked = || client.committed_offsets(list.clone(), Duration::from_secs(5)).ok();
        let committed = wait_until("the group's offsets", PATIENCE, asked).unwrap();
        let offsets = committed.elements().into_iter().map(|element| element.offset().to_raw());
        offsets.map(|offset| offset.unwrap_or(0).max(0)).collect()
    }

    /// `consumer verify` finds nothing lost, nothing doubled and nothing out of its partition's order.
    pub fn verify(&self, files: &[PathBuf], reports: &[&str]) {
        let files = files.iter().map(|file| file.display().to_string());
        let reports = reports.iter().flat_map(|report| ["--report".to_owned(), (*report).to_owned()]);
        let arguments = ["verify", "--json"].map(str::to_owned).into_iter().chain(files).chain(reports);
        let mut verify = Program::start("consumer", arguments, &[], self.folder.path()).unwrap();
        let status = verify.wait(PATIENCE).unwrap();
        let verdict = verify.stdout();
        assert!(status.success(), "{verdict}\n{}", verify.stderr());
        let verdict: Value = serde_json::from_str(&verdict).unwrap();
        assert_eq!(verdict["reordered"], 0, "{verdict}");
    }

    /// What the broker acknowledged, as a producer reported.
    pub fn report(&self, name: &str) -> u64 {
        let report = std::fs::read(self.path(name)).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        report["acknowledged"].as_u64().unwrap()
    }

    /// All files of the folder whose names begin with `prefix` and end with `.txt`.
    pub fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy();
                name.starts_with(prefix) && name.ends_with(".txt")
            })
            .collect();
        files.sort();
        files
    }
}

/// The independent count: serde_json and a set, nothing of ours.
struct Count {
    lines: u64,
    doubled: u64,
    levels: BTreeMap<String, u64>,
    services: BTreeMap<String, u64>,
}

fn count(files: &[PathBuf]) -> Count {
    let mut count = Count { lines: 0, doubled: 0, levels: BTreeMap::new(), services: BTreeMap::new() };
    let mut seen: HashMap<String, HashSet<u64>> = HashMap::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in the middle of a line", file.display());
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            count.lines += 1;
            *count.levels.entry(event["level"].as_str().unwrap().to_owned()).or_default() += 1;
            *count.services.entry(event["service"].as_str().unwrap().to_owned()).or_default() += 1;
            let producer = event["producer"].as_str().unwrap();
            let seqs = match seen.get_mut(producer) {
                Some(seqs) => seqs,
                None => seen.entry(producer.to_owned()).or_default(),
            };
            count.doubled += u64::from(!seqs.insert(event["seq"].as_u64().unwrap()));
        }
    }
    count
}

/// A generator of instants; its seed is printed, and `SLUICE_SEED` sets it, so that a failure can be had again.
pub fn random() -> ChaCha8Rng {
    let seed = std::env::var("SLUICE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SLUICE_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

/// Lets a random time pass: the one thing here that waits for no condition, since the instant is the point.
pub fn random_pause(random: &mut ChaCha8Rng, at_most: Duration) {
    let until = std::time::Instant::now() + at_most.mul_f64(random.random());
    while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Ends a consumer that may have no partitions yet, once it heeds signals: before that, being asked to end is being killed.
pub fn end_guest(guest: &mut Program) {
    wait_until("the consumer to start", PATIENCE, || guest.stderr().contains("serving /metrics")).unwrap();
    guest.signal(Signal::TERM).unwrap();
    assert!(guest.wait(PATIENCE).unwrap().success(), "{}", guest.stderr());
}

/// Waits until a consumer has begun to read so many partitions, in all.
pub fn await_reading(consumer: &mut Program, partitions: usize) {
    wait_until("the consumer to read", PATIENCE, || {
        assert!(consumer.is_running().unwrap(), "{}", consumer.stderr());
        consumer.stderr().matches("reading starts").count() >= partitions
    })
    .unwrap_or_else(|error| panic!("{error}: {}", consumer.stderr()));
}

/// Freezes a consumer for longer than its session: until another one has its partitions and waits for their files. Then
/// it goes on, and sees that they are not its own any more.
pub fn freeze_past_its_session(frozen: &mut Program, other: &Program) {
    let said = |consumer: &Program, what: &str| consumer.stderr().matches(what).count();
    let (waiting, lost) = ("its file is still held, waiting", "the group gave our partitions away");
    // Who ended in order may have been waited for, too, for a moment.
    let before = (said(other, waiting), said(frozen, lost));
    frozen.signal(Signal::STOP).unwrap();
    wait_until("the other to be given its partitions, whose files are still locked", PATIENCE, || {
        said(other, waiting) > before.0
    })
    .unwrap_or_else(|error| panic!("{error}: {}", other.stderr()));
    frozen.signal(Signal::CONT).unwrap();
    wait_until("it to see that its partitions were given away", PATIENCE, || said(frozen, lost) > before.1)
        .unwrap_or_else(|error| panic!("{error}: {}", frozen.stderr()));
}

/// Waits until a file holds something.
pub fn await_lines(file: &Path) {
    wait_until("the file to hold events", PATIENCE, || {
        std::fs::metadata(file).is_ok_and(|file| file.len() > 0)
    })
    .unwrap();
}
