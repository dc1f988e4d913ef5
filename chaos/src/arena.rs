//! Servers, programs and the network between them; and how each fault is done to them.

use crate::fault::{Fault, Round};
use crate::pipeline::{Pipeline, Setting};
use anyhow::{Context, Result, bail, ensure};
use harness::{Link, Program, Proxy, REDIS_MASTER, RedisLayout, Signal, Stack, StackOptions};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Partitions of the topic at the start.
pub const PARTITIONS: usize = 6;

/// Until a program has ended that was asked to.
const ENDED_WITHIN: Duration = Duration::from_secs(120);

/// So late is what a slow network delivers.
const SLOW: Link = Link::Slow(Duration::from_millis(150));

/// Starts the servers in a folder that stays: three brokers behind proxies, Redis with a replica and Sentinels.
///
/// # Errors
/// When one does not start.
pub fn servers(folder: &Path) -> Result<Stack> {
    let stack = Stack::start(StackOptions {
        brokers: 3,
        kafka_heap: "256m".into(),
        redis: RedisLayout::Sentinels,
        proxied: true,
        folder: Some(folder.to_owned()),
        ..StackOptions::default()
    })?;
    stack.create_topic("logs", PARTITIONS)?;
    stack.create_topic("logs.rejected", 1)?;
    Ok(stack)
}

/// The programs under test, and the means to hurt them.
#[derive(Debug)]
pub struct Arena<'s> {
    stack: &'s Stack,
    folder: PathBuf,
    /// `single`: one file, one that writes and one that stands by, Redis asked of the Sentinels. `shared`: a file for
    /// each partition, two that write, Redis through a proxy.
    pub pipelines: [Pipeline; 2],
    redis: Proxy,
    /// None once it has ended in order.
    producer: Option<Program>,
    producers: usize,
    rate: u64,
    /// Runs while a fault of the disk holds.
    tracer: Option<Program>,
    /// The consumer that the fault befalls: which pipeline's, and which one.
    victim: (usize, usize),
    partitions: usize,
    moved: usize,
}

impl<'s> Arena<'s> {
    /// Starts all programs; the producer sends so many events a second, and four times as many every half minute.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(stack: &'s Stack, folder: &Path, rate: u64) -> Result<Arena<'s>> {
        let redis = Proxy::start(stack.redis_master()?)?;
        let brokers = stack.proxied_bootstrap();
        let sentinels =
            ["--redis-url", &stack.redis_url(), "--redis-sentinel", REDIS_MASTER].map(str::to_owned);
        let behind = ["--redis-url".to_owned(), format!("redis://127.0.0.1:{}", redis.port())];
        let single = Setting {
            name: "single",
            file: "logs.txt",
            consumers: 2,
            brokers: brokers.clone(),
            redis: sentinels.to_vec(),
        };
        let shared = Setting {
            name: "shared",
            file: "logs-{partition}.txt",
            consumers: 2,
            brokers,
            redis: behind.to_vec(),
        };
        Ok(Arena {
            stack,
            folder: folder.to_owned(),
            pipelines: [Pipeline::start(single, folder)?, Pipeline::start(shared, folder)?],
            redis,
            producer: Some(producer(stack, folder, rate, 1)?),
            producers: 1,
            rate,
            tracer: None,
            victim: (0, 0),
            partitions: PARTITIONS,
            moved: 0,
        })
    }

    /// Keeps everything running that ought to.
    ///
    /// # Errors
    /// When the producer has ended, or a consumer cannot be started.
    pub fn look_after(&mut self) -> Result<()> {
        if let Some(producer) = &mut self.producer {
            ensure!(producer.is_running()?, "the producer has ended: {}", producer.stderr());
        }
        self.pipelines.iter_mut().try_for_each(Pipeline::look_after)
    }

    /// Makes a fault begin; gives whom it befalls, where that is by chance.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&mut self, round: &Round) -> Result<String> {
        let which = round.which;
        let broker = which % 3;
        let whom = which % 2;
        let of_disk = matches!(
            round.fault,
            Fault::SyncFails | Fault::DiskFull | Fault::WriteLimited | Fault::DiskHangs
        );
        // The disk only matters to who writes.
        let index = self.pipelines[whom].victim(if of_disk { (which / 2) | 1 } else { which / 2 });
        self.victim = (whom, index);
        let pipeline = &mut self.pipelines[whom];
        let name = pipeline.name();
        let victim = format!("{name}, {}", if pipeline.writes(index) { "a writer" } else { "a standby" });
        let befalls = match round.fault {
            Fault::ConsumerKilled
            | Fault::CheckpointFlipped
            | Fault::ConsumerFrozen
            | Fault::ConsumerStopped
            | Fault::SyncFails
            | Fault::DiskFull
            | Fault::WriteLimited
            | Fault::DiskHangs => victim,
            Fault::ConsumerJoins | Fault::FileMoved => name.to_owned(),
            Fault::BrokerKilled | Fault::BrokerRestarted => format!("broker {}", broker + 1),
            _ => String::new(),
        };
        match round.fault {
            Fault::ConsumerKilled => pipeline.kill(index, |_| Ok(()))?,
            Fault::CheckpointFlipped => pipeline.kill(index, |folder| flip_a_bit(folder, which))?,
            Fault::ConsumerFrozen => pipeline.signal(index, Signal::STOP)?,
            Fault::ConsumerStopped => pipeline.stop(index)?,
            Fault::ConsumerJoins => pipeline.join()?,
            Fault::SyncFails => self.trace("fdatasync", "error=EIO")?,
            Fault::DiskFull => self.trace("write,pwrite64", "error=ENOSPC")?,
            Fault::WriteLimited => self.limit_files()?,
            Fault::DiskHangs => self.trace("fdatasync", "delay_enter=6000000:when=1")?,
            Fault::FileMoved => self.move_file(whom)?,
            Fault::ProducerKilled => {
                self.producers += 1;
                let next = producer(self.stack, &self.folder, self.rate, self.producers)?;
                if let Some(mut before) = self.producer.replace(next) {
                    before.kill()?;
                }
            }
            Fault::BrokerKilled => self.stack.kill_broker(broker)?,
            Fault::BrokerRestarted => self.stack.stop_broker(broker)?,
            Fault::ControllerKilled => self.stack.kill_broker(self.stack.controller()?)?,
            Fault::BrokersKilled => self.stack.kill_kafka()?,
            Fault::ZookeeperKilled => self.stack.kill_zookeeper()?,
            Fault::PartitionsAdded => {
                self.partitions += 1;
                self.stack.add_partitions("logs", self.partitions)?;
            }
            Fault::RedisKilled => {
                let dead = self.stack.kill_redis()?;
                self.redis.lead_to(self.stack.await_failover(dead)?);
            }
            Fault::RedisFrozen => {
                let frozen = self.stack.freeze_redis()?;
                self.redis.lead_to(self.stack.await_failover(frozen)?);
                // As what watches over a proxy's targets would do with one that is dead.
                self.redis.reset();
            }
            Fault::RedisEmptied => self.stack.stop_redis()?,
            Fault::RedisFull => self.limit_redis("1mb")?,
            Fault::RedisReadOnly => {
                let replica = self.stack.redis_others()?.into_iter().next().context("no replica")?;
                self.redis.lead_to(replica);
                self.redis.reset();
            }
            Fault::NetworkSlow => self.set_links(SLOW),
            Fault::NetworkSilent => self.set_links(Link::Silent),
            Fault::NetworkDown => self.set_links(Link::Down),
            Fault::NetworkReset => self.links().for_each(Proxy::reset),
        }
        Ok(befalls)
    }

    /// Makes it end.
    ///
    /// # Errors
    /// When what it took away does not come back.
    pub fn end(&mut self, round: &Round) -> Result<()> {
        let (whom, index) = self.victim;
        match round.fault {
            Fault::ConsumerFrozen => self.pipelines[whom].signal(index, Signal::CONT)?,
            Fault::ConsumerJoins => self.pipelines[whom].leave()?,
            Fault::SyncFails | Fault::DiskFull | Fault::DiskHangs => {
                if let Some(mut tracer) = self.tracer.take() {
                    tracer.kill()?;
                }
            }
            Fault::BrokerKilled | Fault::ControllerKilled | Fault::BrokerRestarted | Fault::BrokersKilled => {
                self.stack.start_kafka()?
            }
            Fault::ZookeeperKilled => self.stack.start_zookeeper()?,
            Fault::RedisKilled => {
                self.stack.start_redis(true)?;
                self.stack.await_replica()?;
            }
            Fault::RedisFrozen => {
                self.stack.resume_redis()?;
                self.stack.await_replica()?;
            }
            Fault::RedisEmptied => {
                self.stack.start_redis(false)?;
                self.stack.await_replica()?;
                self.redis.lead_to(self.stack.redis_master()?);
            }
            Fault::RedisFull => self.limit_redis("0")?,
            Fault::RedisReadOnly => {
                self.redis.lead_to(self.stack.redis_master()?);
                self.redis.reset();
            }
            Fault::NetworkSlow | Fault::NetworkSilent | Fault::NetworkDown => self.set_links(Link::Up),
            Fault::ConsumerKilled
            | Fault::CheckpointFlipped
            | Fault::ConsumerStopped
            | Fault::WriteLimited
            | Fault::FileMoved
            | Fault::ProducerKilled
            | Fault::PartitionsAdded
            | Fault::NetworkReset => {}
        }
        Ok(())
    }

    /// Ends the producer in order.
    ///
    /// # Errors
    /// When the brokers did not take everything.
    pub fn end_producer(&mut self) -> Result<()> {
        let Some(mut producer) = self.producer.take() else { return Ok(()) };
        producer.signal(Signal::TERM)?;
        let status = producer.wait(ENDED_WITHIN)?;
        ensure!(status.success(), "the producer ended with {status}:\n{}", producer.stderr());
        Ok(())
    }

    /// How many producers there were, and the folder of their reports, `report-1.json` and so on.
    pub fn producers(&self) -> (usize, &Path) {
        (self.producers, &self.folder)
    }

    /// Has the kernel answer a consumer's calls about its files otherwise than the disk does.
    fn trace(&mut self, calls: &str, answer: &str) -> Result<()> {
        let (whom, index) = self.victim;
        let (pid, files) = (self.pipelines[whom].pid(index), self.pipelines[whom].files()?);
        let (pid, inject) = (pid.to_string(), format!("inject={calls}:{answer}"));
        let mut arguments = vec!["-f", "-qq", "-o", "/dev/null", "-p", &pid, "-e", &inject];
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        arguments.extend(files.iter().flat_map(|file| ["-P", file.as_str()]));
        self.tracer = Some(Program::run(Path::new("strace"), arguments, &[], &self.folder)?);
        Ok(())
    }

    /// Lets the largest file that a consumer has open grow by half an event and no further.
    fn limit_files(&self) -> Result<()> {
        let (whom, index) = self.victim;
        let pid = self.pipelines[whom].pid(index).to_string();
        let open = fs::read_dir(format!("/proc/{pid}/fd")).context("the consumer has ended")?.flatten();
        let open: Vec<PathBuf> = open.filter_map(|link| fs::read_link(link.path()).ok()).collect();
        let files = self.pipelines[whom].files()?.into_iter().filter(|file| open.contains(file));
        let lengths = files.map(|file| fs::metadata(file).map_or(0, |metadata| metadata.len()));
        let limit = format!("--fsize={}", lengths.max().context("it has no file open")? + 80);
        let mut prlimit = Program::run(Path::new("prlimit"), ["--pid", &pid, &limit], &[], &self.folder)?;
        let ended = prlimit.wait(ENDED_WITHIN)?;
        ensure!(ended.success(), "prlimit ended with {ended}: {}", prlimit.stderr());
        Ok(())
    }

    fn move_file(&mut self, pipeline: usize) -> Result<()> {
        let files = self.pipelines[pipeline].files()?;
        let current = files.last().context("no file yet")?;
        self.moved += 1;
        let aside = current.with_file_name(format!("moved-{:03}.txt", self.moved));
        fs::rename(current, &aside).with_context(|| format!("cannot move {}", current.display()))
    }

    fn limit_redis(&self, memory: &str) -> Result<()> {
        let mut redis = self.stack.redis()?;
        let mut set =
            |key: &str, value: &str| redis::cmd("CONFIG").arg("SET").arg(key).arg(value).exec(&mut redis);
        set("maxmemory-policy", "noeviction")?;
        Ok(set("maxmemory", memory)?)
    }

    fn links(&self) -> impl Iterator<Item = &Proxy> {
        self.stack.proxies().iter().chain([&self.redis])
    }

    fn set_links(&self, link: Link) {
        self.links().for_each(|proxy| proxy.set(link));
    }
}

fn producer(stack: &Stack, folder: &Path, rate: u64, number: usize) -> Result<Program> {
    let (brokers, rate) = (stack.proxied_bootstrap(), rate.to_string());
    let (name, report) = (format!("chaos-{number}"), format!("report-{number}.json"));
    let arguments = ["--brokers", &brokers, "--rate", &rate, "--producer", &name, "--report", &report];
    let spikes = ["--profile", "spike:times=4,for=5s,every=30s"];
    Program::start("producer", arguments.into_iter().chain(spikes), &[], folder)
}

/// Turns one bit of a checkpoint around.
fn flip_a_bit(folder: &Path, which: usize) -> Result<()> {
    let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut checkpoints: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "checkpoint")).collect();
    checkpoints.sort();
    let Some(path) = checkpoints.get(which % checkpoints.len().max(1)) else { bail!("no checkpoint yet") };
    let mut bytes = fs::read(path)?;
    // Somewhere at the beginning of either half, where the records are.
    let at = which * 7 % 200 + if which.is_multiple_of(2) { 0 } else { bytes.len() / 2 };
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << (which % 8);
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
