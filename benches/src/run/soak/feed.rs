//! The audit of a run whose files no disk could hold: `consumer verify` reads them from a pipe, one after the other, and
//! what it has read is deleted.

use anyhow::{Context, Result, ensure};
use harness::built;
use serde::Deserialize;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Between two looks for files that were rotated.
const LOOK: Duration = Duration::from_millis(200);

/// What `consumer verify --json` says, as far as it is of use here.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    /// Lines that are events, each there once.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Events that prove a changed order within a partition; `verify` says so and still calls it good.
    reordered: u64,
}

/// Feeds all files `logs.*.txt` of a folder to the audit as they come, and once `over` is set `logs.txt`, too.
///
/// # Errors
/// When an event is lost, doubled or out of order, or a line is none.
pub fn verify(folder: &Path, partitions: u16, over: &AtomicBool) -> Result<Verdict> {
    let mut verify = start(folder, partitions)?;
    let mut pipe = verify.stdin.take().context("no pipe")?;
    loop {
        // In this order: what is rotated before the end is seen is among the files.
        let last = over.load(Ordering::Acquire);
        for path in rotated(folder)? {
            io::copy(&mut File::open(&path)?, &mut pipe)?;
            fs::remove_file(&path)?;
        }
        if last {
            break;
        }
        thread::park_timeout(LOOK);
    }
    io::copy(&mut File::open(folder.join("logs.txt"))?, &mut pipe)?;
    drop(pipe);
    let output = verify.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the audit found: {said}");
    let verdict: Verdict = serde_json::from_str(&said).with_context(|| format!("the audit said: {said}"))?;
    ensure!(verdict.reordered == 0, "the audit found events out of order: {said}");
    Ok(verdict)
}

/// Away from the terminal's Ctrl-C: with this process its input ends, and so it does, too.
fn start(folder: &Path, partitions: u16) -> Result<Child> {
    let program = built("consumer")?;
    let partitions = partitions.to_string();
    let arguments = ["verify", "--json", "--partitions", &partitions, "/dev/stdin"];
    let mut command = Command::new(&program);
    command.args(arguments).current_dir(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// In the order of their names, which is that of time.
fn rotated(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let is_rotated = |name: &str| name.starts_with("logs.") && name.ends_with(".txt") && name != "logs.txt";
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_rotated))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events 1 to 30 of two partitions in three files, and what the audit says once a change was made to the middle one.
    fn audit(change: impl Fn(&mut Vec<String>)) -> Result<Verdict> {
        let folder = tempfile::tempdir()?;
        let numbers: Vec<u64> = (1..=30).step_by(2).chain((2..=30).step_by(2)).collect();
        for (file, numbers) in
            ["logs.2026-1.txt", "logs.2026-2.txt", "logs.txt"].iter().zip(numbers.chunks(10))
        {
            let event =
                |seq| format!(r#"{{"level":"INFO","message":"m","producer":"p","seq":{seq}}}"#) + "\n";
            let mut lines: Vec<String> = numbers.iter().map(event).collect();
            if file.contains("-2") {
                change(&mut lines);
            }
            fs::write(folder.path().join(file), lines.concat())?;
        }
        let verdict = verify(folder.path(), 2, &AtomicBool::new(true));
        assert!(rotated(folder.path())?.is_empty(), "what was verified is deleted");
        verdict
    }

    #[test]
    fn an_event_that_is_wrong_in_one_of_many_files_is_found() {
        let good = audit(|_| ()).unwrap();
        assert_eq!(good.events, 30);
        let found = |change: fn(&mut Vec<String>)| format!("{:#}", audit(change).unwrap_err());
        let lost = found(|lines| drop(lines.remove(3)));
        assert!(lost.contains("FAILED: 1 lost"), "{lost}");
        let doubled = found(|lines| lines.push(lines[3].clone()));
        assert!(doubled.contains("FAILED: 1 doubled"), "{doubled}");
        let torn = found(|lines| lines[3].truncate(9));
        assert!(torn.contains("malformed"), "{torn}");
        let reordered = found(|lines| lines.reverse());
        assert!(reordered.contains("out of order"), "{reordered}");
    }
}
