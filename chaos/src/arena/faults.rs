//! How each fault is done, and how it is undone.

use super::{Arena, producer};
use crate::fault::{Fault, Round};
use anyhow::{Context, Result, bail};
use harness::{Link, Proxy, Signal};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So late is what a slow network delivers.
const SLOW: Link = Link::Slow(Duration::from_millis(150));

/// So far a clock jumps, s.
const HOUR: i64 = 3600;

/// What makes a fault end.
type Undo = Box<dyn FnOnce(&mut Arena<'_>) -> Result<()>>;

/// A fault that has begun.
pub struct Begun {
    /// Whom it befalls, where that is by chance.
    pub befell: String,
    undo: Option<Undo>,
}

impl Begun {
    /// Makes the fault end, unless it did by itself.
    ///
    /// # Errors
    /// When what it took away does not come back.
    pub fn end(self, arena: &mut Arena<'_>) -> Result<()> {
        self.undo.map_or(Ok(()), |undo| undo(arena))
    }
}

/// One that is over at once.
fn over(befell: String) -> Begun {
    Begun { befell, undo: None }
}

/// One that lasts until it is undone.
fn until(befell: String, undo: impl FnOnce(&mut Arena<'_>) -> Result<()> + 'static) -> Begun {
    Begun { befell, undo: Some(Box::new(undo)) }
}

/// One of the consumers.
#[derive(Debug, Clone, Copy)]
pub struct Victim {
    /// Which pipeline's.
    pub pipeline: usize,
    /// Which of its consumers.
    pub index: usize,
}

impl Arena<'_> {
    /// Makes a fault begin.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&mut self, round: &Round) -> Result<Begun> {
        let which = round.which;
        let (broker, group) = (which % 3, which % 2);
        let of_broker = || format!("broker {}", broker + 1);
        let of_group = self.pipelines[group].name().to_owned();
        Ok(match round.fault {
            Fault::ConsumerKilled => {
                let (victim, befell) = self.victim(which);
                self.pipelines[victim.pipeline].kill(victim.index, |_| Ok(()))?;
                over(befell)
            }
            Fault::CheckpointFlipped => {
                let (victim, befell) = self.victim(which);
                self.pipelines[victim.pipeline].kill(victim.index, |folder| flip_a_bit(folder, which))?;
                over(befell)
            }
            Fault::ConsumerFrozen => {
                let (Victim { pipeline, index }, befell) = self.victim(which);
                self.pipelines[pipeline].signal(index, Signal::STOP)?;
                until(befell, move |arena| arena.pipelines[pipeline].signal(index, Signal::CONT))
            }
            Fault::ConsumerStopped => {
                let (victim, befell) = self.victim(which);
                self.pipelines[victim.pipeline].stop(victim.index)?;
                over(befell)
            }
            Fault::ConsumerJoins => {
                self.pipelines[group].join()?;
                until(of_group, move |arena| arena.pipelines[group].leave())
            }
            Fault::SyncFails => self.answer_otherwise(which, "fdatasync", "error=EIO")?,
            Fault::DiskFull => self.answer_otherwise(which, "write,pwrite64", "error=ENOSPC")?,
            Fault::DiskHangs => self.answer_otherwise(which, "fdatasync", "delay_enter=6000000:when=1")?,
            Fault::WriteLimited => {
                let (victim, befell) = self.writer(which);
                self.limit_files(victim)?;
                over(befell)
            }
            Fault::PowerLost => {
                let (victim, befell) = self.writer(which);
                let watched = self.watch_syncs(victim)?;
                until(befell, move |arena| arena.lose_power(victim, watched))
            }
            Fault::FileMoved => {
                let (file, aside) = self.file_to_move(group)?;
                move_file(&file, &aside)?;
                over(of_group)
            }
            Fault::KilledAndMoved => {
                let (file, aside) = self.file_to_move(group)?;
                self.pipelines[group].kill_all(|| move_file(&file, &aside))?;
                over(of_group)
            }
            Fault::ClockJumps => {
                let jump = if which.is_multiple_of(2) { HOUR } else { -HOUR };
                let (clock, of_group) = self.clock()?;
                clock.set(jump)?;
                until(format!("{of_group}, {jump:+} s"), |arena| arena.clock()?.0.set(0))
            }
            Fault::ProducerKilled => {
                self.next_producer()?;
                over(String::new())
            }
            Fault::BrokerKilled => {
                self.stack.kill_broker(broker)?;
                until(of_broker(), |arena| arena.stack.start_kafka())
            }
            Fault::BrokerRestarted => {
                self.stack.stop_broker(broker)?;
                until(of_broker(), |arena| arena.stack.start_kafka())
            }
            Fault::ControllerKilled => {
                let controller = self.stack.controller()?;
                self.stack.kill_broker(controller)?;
                until(format!("broker {}", controller + 1), |arena| arena.stack.start_kafka())
            }
            Fault::BrokersKilled => {
                self.stack.kill_kafka()?;
                until(String::new(), |arena| arena.stack.start_kafka())
            }
            Fault::ZookeeperKilled => {
                self.stack.kill_zookeeper()?;
                until(String::new(), |arena| arena.stack.start_zookeeper())
            }
            Fault::PartitionsAdded => {
                self.partitions += 1;
                self.stack.add_partitions("logs", self.partitions)?;
                over(String::new())
            }
            Fault::TopicAnew => {
                self.history.look(self.stack)?;
                self.stack.delete_topic("logs")?;
                self.stack.create_topic("logs", self.partitions)?;
                self.history.end_generation();
                self.next_producer()?;
                over(String::new())
            }
            Fault::RecordsDeleted => {
                // The group of one file: partitions that change hands at this very moment may be told of twice.
                let group = self.pipelines.iter().position(|pipeline| pipeline.has_one_file());
                let group = group.context("no group has one file")?;
                self.pipelines[group].signal_all(Signal::STOP)?;
                until(self.pipelines[group].name().to_owned(), move |arena| {
                    let ends = arena.history.look(arena.stack)?;
                    arena.stack.delete_records("logs", &ends)?;
                    arena.history.deleted(ends);
                    arena.pipelines[group].signal_all(Signal::CONT)
                })
            }
            Fault::RedisKilled => {
                self.stack.await_replica()?;
                let dead = self.stack.kill_redis()?;
                self.redis.lead_to(self.stack.await_failover(dead)?);
                until(String::new(), |arena| arena.stack.start_redis(true))
            }
            Fault::RedisFrozen => {
                self.stack.await_replica()?;
                let frozen = self.stack.freeze_redis()?;
                self.redis.lead_to(self.stack.await_failover(frozen)?);
                // As what watches over a proxy's targets would do with one that is dead.
                self.redis.reset();
                until(String::new(), |arena| arena.stack.resume_redis())
            }
            Fault::RedisEmptied => {
                self.stack.stop_redis()?;
                self.history.redis_was_emptied = true;
                until(String::new(), |arena| {
                    arena.stack.start_redis(false)?;
                    arena.stack.await_replica()?;
                    arena.redis.lead_to(arena.stack.redis_master()?);
                    Ok(())
                })
            }
            Fault::RedisFull => {
                self.limit_redis("1mb")?;
                until(String::new(), |arena| arena.limit_redis("0"))
            }
            Fault::RedisReadOnly => {
                self.stack.await_replica()?;
                let replica = self.stack.redis_others()?.into_iter().next().context("no replica")?;
                self.redis.lead_to(replica);
                self.redis.reset();
                until(String::new(), |arena| {
                    arena.redis.lead_to(arena.stack.redis_master()?);
                    arena.redis.reset();
                    Ok(())
                })
            }
            Fault::NetworkSlow => self.set_links(SLOW),
            Fault::NetworkSilent => self.set_links(Link::Silent),
            Fault::NetworkDown => self.set_links(Link::Down),
            Fault::NetworkReset => {
                self.links().for_each(Proxy::reset);
                over(String::new())
            }
        })
    }

    /// A consumer, in three of four cases one that writes, and in words which.
    fn victim(&self, which: usize) -> (Victim, String) {
        let pipeline = which % 2;
        let victim = Victim { pipeline, index: self.pipelines[pipeline].victim(which / 2) };
        (victim, self.named(victim))
    }

    /// One that writes: to the others a disk does not matter.
    fn writer(&self, which: usize) -> (Victim, String) {
        let pipeline = which % 2;
        let victim = Victim { pipeline, index: self.pipelines[pipeline].victim((which / 2) | 1) };
        (victim, self.named(victim))
    }

    fn named(&self, Victim { pipeline, index }: Victim) -> String {
        let pipeline = &self.pipelines[pipeline];
        format!("{}, {}", pipeline.name(), if pipeline.writes(index) { "a writer" } else { "a standby" })
    }

    /// Has the kernel answer a writer's calls about its files otherwise than the disk does.
    fn answer_otherwise(&mut self, which: usize, calls: &str, answer: &str) -> Result<Begun> {
        let (victim, befell) = self.writer(which);
        let mut tracer =
            self.trace(victim, &["-e", &format!("inject={calls}:{answer}")], Path::new("/dev/null"))?;
        Ok(until(befell, move |_| tracer.kill()))
    }

    /// Kills the producer, if it runs, and starts another one.
    fn next_producer(&mut self) -> Result<()> {
        self.producers += 1;
        let next = producer(self.stack, &self.folder, self.rate, self.producers)?;
        self.producer.replace(next).map_or(Ok(()), |mut before| before.kill())
    }

    /// A file that is written, and its next name.
    fn file_to_move(&mut self, pipeline: usize) -> Result<(PathBuf, PathBuf)> {
        let file = self.pipelines[pipeline].files()?.pop().context("no file yet")?;
        self.moved += 1;
        let aside = file.with_file_name(format!("moved-{:03}.txt", self.moved));
        Ok((file, aside))
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

    fn set_links(&self, link: Link) -> Begun {
        self.links().for_each(|proxy| proxy.set(link));
        until(String::new(), |arena| {
            arena.links().for_each(|proxy| proxy.set(Link::Up));
            Ok(())
        })
    }
}

fn move_file(file: &Path, aside: &Path) -> Result<()> {
    fs::rename(file, aside).with_context(|| format!("cannot move {}", file.display()))
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
