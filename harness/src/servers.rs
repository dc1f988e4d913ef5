//! One server process in a folder of its own: what ZooKeeper, Kafka and Redis have in common.

pub(crate) mod kafka;
pub(crate) mod kraft;
pub(crate) mod redis;
pub(crate) mod redis_cluster;
pub(crate) mod sentinel;
pub(crate) mod zookeeper;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::KafkaVersion;
use crate::process::{self, Lifetime, Process};
use crate::wait_until;

/// Until a server must answer: ten times what a quiet machine needs, because a test machine is rarely quiet.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Until a server that was asked to end must have ended.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// Lines of a server's log that an error shows.
const LOG_LINES: usize = 20;

/// A server that can be started, killed and started again, always with the same port and data.
///
/// In its folder: its settings, `data/`, `server.log`, and `pid` of the last start.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    program: String,
    arguments: Vec<String>,
    lifetime: Lifetime,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// Makes the folder and describes the server; starts nothing.
    pub(crate) fn new(name: &str, stack: &Path, port: u16, lifetime: Lifetime) -> Result<Server> {
        let folder = stack.join(name);
        let server = Server {
            name: name.to_owned(),
            port,
            program: String::new(),
            arguments: Vec::new(),
            lifetime,
            process: Mutex::new(None),
            folder,
        };
        fs::create_dir_all(server.data())
            .with_context(|| format!("cannot make {}", server.data().display()))?;
        Ok(server)
    }

    /// What to run; the working folder will be the server's own.
    pub(crate) fn runs(mut self, program: &str, arguments: impl IntoIterator<Item = String>) -> Server {
        self.program = program.to_owned();
        self.arguments = arguments.into_iter().collect();
        self
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Writes a settings file into the folder.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Starts the process without waiting until it answers; nothing if it runs already.
    pub(crate) fn spawn(&self) -> Result<()> {
        let mut process = self.lock();
        if process.is_some() {
            return Ok(());
        }
        let mut command = process::command(&self.program, self.lifetime);
        command.args(&self.arguments).current_dir(&self.folder);
        command.stdout(process::output(&self.log())?).stderr(process::output(&self.log())?);
        let started = Process::start(&self.name, command)?;
        self.write("pid", &format!("{}\n", started.pid()))?;
        *process = Some(started);
        Ok(())
    }

    /// Waits until `answers` is true; an error with the end of the log if the process ends or time is up.
    pub(crate) fn ready(&self, mut answers: impl FnMut() -> bool) -> Result<()> {
        let what = format!("{} to answer on port {}", self.name, self.port);
        let waited = wait_until(&what, READY_WITHIN, || {
            if answers() {
                return Some(Ok(()));
            }
            match self.lock().as_mut().map(Process::ended) {
                None => Some(Err(anyhow!("{} was stopped while it started", self.name))),
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(Some(status))) => {
                    Some(Err(anyhow!("{} ended at its start with {status}", self.name)))
                }
                Some(Ok(None)) => None,
            }
        });
        waited
            .flatten()
            .with_context(|| format!("{} did not start; the end of its log:\n{}", self.name, self.log_tail()))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().is_some()
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Process::pid)
    }

    /// SIGKILL; nothing if it does not run.
    pub(crate) fn kill(&self) -> Result<()> {
        self.lock().take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Sends a signal; nothing if it does not run.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.lock().as_mut().map_or(Ok(()), |process| process.signal(signal))
    }

    /// SIGTERM, and waits for the end; nothing if it does not run.
    pub(crate) fn stop(&self) -> Result<()> {
        let Some(mut process) = self.lock().take() else {
            return Ok(());
        };
        if process.ended()?.is_none() {
            process.signal(Signal::TERM)?;
        }
        process.wait(ENDED_WITHIN)?;
        Ok(())
    }

    /// Lets the process live on after this one.
    pub(crate) fn detach(&self) {
        if let Some(process) = self.lock().take() {
            process.detach();
        }
    }

    fn log_tail(&self) -> String {
        let bytes = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all Java servers share: class path, heap, log settings, and no file left outside the folder.
fn java(server: Server, version: KafkaVersion, heap: &str, main: &str, settings: &Path) -> Result<Server> {
    let jars = version.jars();
    if !jars.is_dir() {
        bail!("Kafka's jars are not in {}: run scripts/setup", jars.display());
    }
    // Kafka 3 reads the first of them, Kafka 4 the second.
    let log4j = server.write(
        "log4j.properties",
        "log4j.rootLogger=INFO, file\n\
         log4j.appender.file=org.apache.log4j.ConsoleAppender\n\
         log4j.appender.file.layout=org.apache.log4j.PatternLayout\n\
         log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n\n\
         log4j.logger.org.apache.zookeeper=WARN\n\
         log4j.logger.org.apache.kafka.common.config=WARN\n\
         log4j.logger.kafka.server.KafkaConfig=WARN\n",
    )?;
    let log4j2 = server.write(
        "log4j2.properties",
        "rootLogger=INFO, console\n\
         appender.console.type=Console\n\
         appender.console.name=console\n\
         appender.console.layout.type=PatternLayout\n\
         appender.console.layout.pattern=[%d] %p %m (%c)%n\n\
         logger.config.name=org.apache.kafka.common.config\n\
         logger.config.level=WARN\n",
    )?;
    let scratch = server.folder.join("tmp");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let arguments = [
        format!("-Xmx{heap}"),
        "-XX:+UseG1GC".to_owned(),
        "-XX:MaxGCPauseMillis=20".to_owned(),
        "-XX:-UsePerfData".to_owned(),
        "-Djava.awt.headless=true".to_owned(),
        format!("-Djava.io.tmpdir={}", scratch.display()),
        format!("-Dlog4j.configuration=file:{}", log4j.display()),
        format!("-Dlog4j2.configurationFile={}", log4j2.display()),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        main.to_owned(),
        settings.display().to_string(),
    ];
    Ok(server.runs("java", arguments))
}
