//! Where the contest takes place: one stack of servers, the backlog, and a clean field for each contender.

use anyhow::{Context, Result, ensure};
use harness::{Program, Stack, StackOptions};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Partitions of every topic.
pub(super) const PARTITIONS: usize = 4;

/// The topic that every consumer drains.
pub(super) const TOPIC: &str = "logs";

/// Longer than anything takes that is not measured: a topic filled, a program's version asked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Lines of a failed program's stderr that its error shows.
const ERROR_LINES: usize = 8;

/// Running servers, and `logs` filled.
#[derive(Debug)]
pub(super) struct Arena {
    pub(super) stack: Stack,
    pub(super) events: u64,
    // What the producer of the backlog reported.
    report: PathBuf,
}

impl Arena {
    /// Starts the servers and fills the topic.
    pub(super) fn start(events: u64) -> Result<Arena> {
        let stack = servers(StackOptions::default())?;
        stack.create_topic(TOPIC, PARTITIONS)?;
        let folder = stack.folder().join("backlog");
        let report = folder.join("report.json");
        let (brokers, count) = (stack.bootstrap(), events.to_string());
        let arguments =
            ["--brokers", &brokers, "--rate", "max", "--count", &count, "--report", "report.json"];
        let mut producer = Program::start("producer", arguments, &[], &folder)?;
        ensure!(producer.wait(PATIENCE)?.success(), "{}", producer.stderr());
        Ok(Arena { stack, events, report })
    }

    /// A new folder for a contender, and nothing in Redis.
    pub(super) fn clean(&self, name: &str) -> Result<Field> {
        redis::cmd("FLUSHALL").query::<()>(&mut self.stack.redis()?)?;
        Field::new(self.stack.folder().join(format!("peer-{name}")))
    }

    /// Sees whether a file has every event of the backlog once.
    pub(super) fn verify(&self, file: &Path) -> Result<()> {
        let folder = self.stack.folder().join("verify");
        let arguments: [&OsStr; 4] =
            ["verify".as_ref(), file.as_ref(), "--report".as_ref(), self.report.as_ref()];
        let mut verify = Program::start("consumer", arguments, &[], &folder)?;
        ensure!(verify.wait(PATIENCE)?.success(), "{}{}", verify.stdout(), verify.stderr());
        Ok(())
    }

    /// Port of Redis.
    pub(super) fn redis_port(&self) -> String {
        self.stack.redis_port().to_string()
    }
}

/// Servers on which nothing but the contenders takes time.
pub(super) fn servers(options: StackOptions) -> Result<Stack> {
    let stack = Stack::start(StackOptions { kafka_heap: "1g".into(), ..options })?;
    // A snapshot would take a core from whoever runs when its time comes.
    redis::cmd("CONFIG").arg("SET").arg("save").arg("").query::<()>(&mut stack.redis()?)?;
    Ok(stack)
}

/// A contender's folder; what it wrote is removed when this is dropped, because it is large.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) folder: PathBuf,
}

impl Field {
    fn new(folder: PathBuf) -> Result<Field> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Field { folder })
    }

    /// The file that consumers write.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("logs.txt")
    }

    /// A copy of a settings file in `benches/peers/`, with `words` put in: `("TOPIC", "logs")` for `@TOPIC@`.
    pub(super) fn settings(&self, name: &str, words: &[(&str, &str)]) -> Result<PathBuf> {
        let template = ours(name);
        let text =
            fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
        let path = self.folder.join(name);
        fs::write(&path, fill(&text, words)).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

fn fill(text: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("@{word}@"), value))
}

/// A file of ours: a contender's settings or script.
pub(super) fn ours(name: &str) -> PathBuf {
    harness::checkout().join("benches/peers").join(name)
}

/// Something that `benches/peers/setup` fetches, by its path in `target/peers`.
pub(super) fn fetched(path: &str) -> Result<PathBuf> {
    let path = harness::checkout().join("target/peers").join(path);
    ensure!(path.exists(), "not fetched: benches/peers/setup says why");
    Ok(path)
}

/// What a program prints that ends by itself, such as its version.
pub(super) fn output_of<A: AsRef<OsStr>>(
    path: &Path,
    arguments: impl IntoIterator<Item = A>,
    environment: &[(&str, &str)],
    folder: &Path,
) -> Result<String> {
    let mut program = Program::run(path, arguments, environment, folder)?;
    let status = program.wait(PATIENCE)?;
    ensure!(status.success(), "{} ended with {status}: {}", path.display(), last_words(&program));
    Ok(program.stdout())
}

/// The end of what a program wrote to stderr.
pub(super) fn last_words(program: &Program) -> String {
    let text = program.stderr();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(ERROR_LINES)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_put_in_wherever_they_stand() {
        assert_eq!(fill("a @X@ and @X@, @Y@", &[("X", "1"), ("Y", "@Z@")]), "a 1 and 1, @Z@");
    }
}
