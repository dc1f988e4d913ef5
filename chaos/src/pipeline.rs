//! Consumers that share a file or files, kept running as a container engine would.

use crate::clock::Clock;
use anyhow::{Context, Result, ensure};
use harness::ports::free_port;
use harness::{Program, Signal, http};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A session with Kafka: so soon is a dead consumer missed.
const SESSION: &str = "session.timeout.ms=3000";

/// Between the end of a consumer and its next start.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// Until a consumer that was asked to end must have.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// How a pipeline's consumers are started.
#[derive(Debug)]
pub struct Setting {
    /// Its group, its prefix in Redis and its folder.
    pub name: &'static str,
    /// As `--file` takes it.
    pub file: &'static str,
    /// How many consumers there are.
    pub consumers: usize,
    /// Of Kafka.
    pub brokers: String,
    /// Of Redis, with what belongs to it.
    pub redis: Vec<String>,
    /// Theirs, if it is not the machine's.
    pub clock: Option<Clock>,
}

/// A group of consumers with their files.
#[derive(Debug)]
pub struct Pipeline {
    setting: Setting,
    folder: PathBuf,
    consumers: Vec<Consumer>,
    /// Ends that nobody had asked for.
    ends: Vec<String>,
    /// Events that Kafka did not give out, as consumers said so far.
    skipped: u64,
}

#[derive(Debug)]
struct Consumer {
    program: Program,
    metrics: SocketAddr,
    ended: Option<Instant>,
    /// What this process has said to have been skipped.
    skipped: u64,
}

impl Pipeline {
    /// Starts the consumers.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(setting: Setting, folder: &Path) -> Result<Pipeline> {
        let folder = folder.join(setting.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut pipeline = Pipeline { setting, folder, consumers: Vec::new(), ends: Vec::new(), skipped: 0 };
        for _ in 0..pipeline.setting.consumers {
            pipeline.join()?;
        }
        Ok(pipeline)
    }

    /// Its group, and its prefix in Redis.
    pub fn name(&self) -> &'static str {
        self.setting.name
    }

    /// The consumers' clock, if it is not the machine's.
    pub fn clock(&self) -> Option<&Clock> {
        self.setting.clock.as_ref()
    }

    /// Events that Kafka did not give out, as the consumers said by the last [`look_at_skipped`](Self::look_at_skipped).
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Asks the consumers how many events Kafka did not give out. What one had said that has ended since stays.
    pub fn look_at_skipped(&mut self) {
        for consumer in &mut self.consumers {
            let page = http::get(consumer.metrics, "/metrics");
            let said = page.and_then(|page| http::value(&page, "sluice_offsets_skipped_total"));
            if let Some(said) = said.map(|said| said as u64) {
                self.skipped += said - consumer.skipped;
                consumer.skipped = said;
            }
        }
    }

    /// Whether one consumer writes one file, and the others stand by.
    pub fn has_one_file(&self) -> bool {
        !self.setting.file.contains("{partition}")
    }

    /// Starts one more consumer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn join(&mut self) -> Result<()> {
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let program = self.launch(metrics)?;
        self.consumers.push(Consumer { program, metrics, ended: None, skipped: 0 });
        Ok(())
    }

    /// Ends the consumer that came last, in order.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn leave(&mut self) -> Result<()> {
        let Some(mut last) = self.consumers.pop() else { return Ok(()) };
        end(&mut last.program)?;
        self.tidy(&last.program);
        Ok(())
    }

    /// Whom a fault befalls: in three of four cases one that writes, else any.
    pub fn victim(&self, which: usize) -> usize {
        let writers: Vec<usize> = (0..self.consumers.len()).filter(|&index| self.writes(index)).collect();
        match writers.get(which % writers.len().max(1)) {
            Some(&writer) if !which.is_multiple_of(4) => writer,
            _ => which % self.consumers.len(),
        }
    }

    /// Whether a consumer writes at the moment, by its own word.
    pub fn writes(&self, index: usize) -> bool {
        http::get(self.consumers[index].metrics, "/readyz").is_some_and(|page| page.starts_with("active"))
    }

    /// Process id of a consumer.
    pub fn pid(&self, index: usize) -> u32 {
        self.consumers[index].program.pid()
    }

    /// Ends one consumer in order; it is started again like any other.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(&mut self, index: usize) -> Result<()> {
        end(&mut self.consumers[index].program)?;
        self.restart(index)
    }

    /// Kills one consumer, does something while it is away, and starts it again.
    ///
    /// # Errors
    /// When the operating system refuses, or as `meanwhile`.
    pub fn kill(&mut self, index: usize, meanwhile: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.consumers[index].program.kill()?;
        meanwhile(&self.folder)?;
        self.restart(index)
    }

    /// Kills all consumers, does something while they are away, and starts them again.
    ///
    /// # Errors
    /// As for one.
    pub fn kill_all(&mut self, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        self.consumers.iter_mut().try_for_each(|consumer| consumer.program.kill())?;
        meanwhile()?;
        (0..self.consumers.len()).try_for_each(|index| self.restart(index))
    }

    /// Sends a signal to all consumers.
    ///
    /// # Errors
    /// When one is not running.
    pub fn signal_all(&mut self, signal: Signal) -> Result<()> {
        self.consumers.iter_mut().try_for_each(|consumer| consumer.program.signal(signal))
    }

    /// Sends a signal to one consumer.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&mut self, index: usize, signal: Signal) -> Result<()> {
        self.consumers[index].program.signal(signal)
    }

    /// Its files, those that were moved away first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        files(&self.folder)
    }

    /// Starts those again that have ended by themselves, and remembers what they said.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn look_after(&mut self) -> Result<()> {
        for index in 0..self.consumers.len() {
            let consumer = &mut self.consumers[index];
            match consumer.ended {
                None if consumer.program.is_running()? => {}
                None => {
                    consumer.ended = Some(Instant::now());
                    let said = consumer.program.stderr();
                    let last = said.lines().last().unwrap_or("nothing").to_owned();
                    self.ends.push(format!("{}: {last}", self.setting.name));
                }
                Some(ended) if ended.elapsed() < RESTART_AFTER => {}
                Some(_) => self.restart(index)?,
            }
        }
        Ok(())
    }

    /// What consumers said that ended by themselves since the last time.
    pub fn take_ends(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ends)
    }

    /// Process ids of those that run.
    pub fn pids(&self) -> Vec<u32> {
        self.consumers.iter().map(|consumer| consumer.program.pid()).collect()
    }

    /// Ends all consumers in order.
    ///
    /// # Errors
    /// When one does not end well.
    pub fn end(&mut self) -> Result<()> {
        while !self.consumers.is_empty() {
            self.leave()?;
        }
        Ok(())
    }

    fn restart(&mut self, index: usize) -> Result<()> {
        let program = self.launch(self.consumers[index].metrics)?;
        let before = std::mem::replace(&mut self.consumers[index].program, program);
        self.tidy(&before);
        self.consumers[index].ended = None;
        self.consumers[index].skipped = 0;
        Ok(())
    }

    fn tidy(&self, ended: &Program) {
        if let Some(clock) = self.clock() {
            clock.forget(ended.pid());
        }
    }

    fn launch(&self, metrics: SocketAddr) -> Result<Program> {
        let Setting { name, file, brokers, redis, .. } = &self.setting;
        let metrics = metrics.to_string();
        let mut arguments = vec!["--brokers", brokers, "--group", name, "--file", file, "--kafka", SESSION];
        arguments.extend(["--metrics-addr", &metrics, "--redis-prefix", name]);
        arguments.extend(redis.iter().map(String::as_str));
        let environment = self.setting.clock.as_ref().map(Clock::environment).into_iter().flatten();
        let environment: Vec<(&str, String)> = environment.collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::start("consumer", arguments, &environment, &self.folder)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.consumers.iter().for_each(|consumer| self.tidy(&consumer.program));
    }
}

fn end(program: &mut Program) -> Result<()> {
    program.signal(Signal::TERM)?;
    let status = program.wait(ENDED_WITHIN)?;
    ensure!(status.success(), "a consumer that was asked to end did so with {status}:\n{}", program.stderr());
    Ok(())
}

/// Every `.txt` of a pipeline's folder; `logs…` are the last, since the others were moved away before.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    let current =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"logs"));
    files.sort_by_key(|path| (current(path), path.clone()));
    Ok(files)
}
