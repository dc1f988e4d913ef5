//! Faults of the disk: what the kernel answers, how large a file may get, and what is left when the power fails.

use super::faults::Victim;
use super::{Arena, ENDED_WITHIN};
use anyhow::{Context, Result, ensure};
use harness::Program;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Whom to ask what was synced.
pub struct Watched {
    tracer: Program,
    log: PathBuf,
}

impl Arena<'_> {
    /// Has strace look at a consumer's calls about the files of its group.
    pub(super) fn trace(&self, victim: Victim, what: &[&str], log: &Path) -> Result<Program> {
        let pipeline = &self.pipelines[victim.pipeline];
        let (pid, log) = (pipeline.pid(victim.index).to_string(), log.display().to_string());
        let files: Vec<String> = pipeline.files()?.iter().map(|file| file.display().to_string()).collect();
        let mut arguments = vec!["-f", "-qq", "-o", &log, "-p", &pid];
        arguments.extend(what);
        arguments.extend(files.iter().flat_map(|file| ["-P", file.as_str()]));
        Program::run(Path::new("strace"), arguments, &[], &self.folder)
    }

    /// Lets the largest file that a consumer has open grow by half an event and no further.
    pub(super) fn limit_files(&self, Victim { pipeline, index }: Victim) -> Result<()> {
        let pid = self.pipelines[pipeline].pid(index).to_string();
        let open = fs::read_dir(format!("/proc/{pid}/fd")).context("the consumer has ended")?.flatten();
        let open: Vec<PathBuf> = open.filter_map(|link| fs::read_link(link.path()).ok()).collect();
        let files = self.pipelines[pipeline].files()?.into_iter().filter(|file| open.contains(file));
        let lengths = files.map(|file| fs::metadata(file).map_or(0, |metadata| metadata.len()));
        let limit = format!("--fsize={}", lengths.max().context("it has no file open")? + 80);
        let mut prlimit = Program::run(Path::new("prlimit"), ["--pid", &pid, &limit], &[], &self.folder)?;
        let ended = prlimit.wait(ENDED_WITHIN)?;
        ensure!(ended.success(), "prlimit ended with {ended}: {}", prlimit.stderr());
        Ok(())
    }

    /// Notes what a consumer writes and syncs; after a while a sync hangs, so that something is written and not synced.
    pub(super) fn watch_syncs(&self, victim: Victim) -> Result<Watched> {
        let log = self.folder.join("syncs");
        let calls = ["-y", "-s", "0", "-e", "trace=write,fdatasync"];
        // Not for long: who hangs there is gone only after that, killed or not.
        let hangs = ["-e", "inject=fdatasync:delay_enter=3000000:when=4+"];
        let tracer = self.trace(victim, &[calls.as_slice(), &hangs].concat(), &log)?;
        Ok(Watched { tracer, log })
    }

    /// Kills all consumers of the group, and cuts off what one of them had written and not synced.
    pub(super) fn lose_power(&mut self, victim: Victim, mut watched: Watched) -> Result<()> {
        self.pipelines[victim.pipeline].kill_all(|| {
            watched.tracer.wait(ENDED_WITHIN)?;
            let log = fs::read_to_string(&watched.log).context("strace has written nothing")?;
            let lost = unsynced(&log);
            ensure!(!lost.is_empty(), "strace saw no write: {}", watched.tracer.stderr());
            for (path, bytes) in lost {
                let file = File::options().write(true).open(&path)?;
                file.set_len(file.metadata()?.len().saturating_sub(bytes))?;
            }
            Ok(())
        })
    }
}

/// Bytes that were written to each file after its last sync, as the log of `strace -f -y` tells.
fn unsynced(log: &str) -> BTreeMap<PathBuf, u64> {
    let mut unsynced: BTreeMap<PathBuf, u64> = BTreeMap::new();
    // By thread: the file of its call that has not returned.
    let mut under_way: HashMap<&str, &str> = HashMap::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let call_path = call.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path);
        let (name, path) = match call.strip_prefix("<... ") {
            Some(resumed) => (resumed.split(' ').next(), under_way.remove(thread)),
            None => (call.split('(').next(), call_path),
        };
        let Some(path) = path else { continue };
        if call.ends_with("<unfinished ...>") {
            under_way.insert(thread, path);
            continue;
        }
        let returned =
            call.rsplit_once(" = ").and_then(|(_, value)| value.split(' ').next()?.parse::<u64>().ok());
        match (name, returned) {
            (Some("write"), Some(written)) => *unsynced.entry(path.into()).or_default() += written,
            (Some("fdatasync"), Some(0)) => *unsynced.entry(path.into()).or_default() = 0,
            _ => {}
        }
    }
    unsynced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_synced_is_what_was_written_behind_the_last_sync() {
        let log = "\
7 write(9</d/logs-0.txt>, \"\"..., 100) = 100
7 fdatasync(9</d/logs-0.txt>) = 0 (DELAYED)
7 write(9</d/logs-0.txt>, \"\"..., 30) = 30
7 write(9</d/logs-0.txt>, \"\"..., 40 <unfinished ...>
8 write(11</d/logs-1.txt>, \"\"..., 5) = 5
7 <... write resumed>) = 40
7 fdatasync(9</d/logs-0.txt>) = -1 EIO (Input/output error) (INJECTED)
8 fdatasync(11</d/logs-1.txt> <unfinished ...>
8 <... fdatasync resumed>) = 0
7 fdatasync(9</d/logs-0.txt> <unfinished ...>
7 +++ killed by SIGKILL +++
";
        let expected = [("/d/logs-0.txt", 70), ("/d/logs-1.txt", 0)];
        let expected = expected.map(|(path, bytes)| (PathBuf::from(path), bytes));
        assert_eq!(unsynced(log), BTreeMap::from(expected));
    }
}
