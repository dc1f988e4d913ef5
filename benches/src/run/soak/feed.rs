//! The audit of a run whose files no disk could hold: `consumer verify` reads them from a pipe, one after the other, and
//! what it has read is deleted.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs::{self, File};
use std::io;
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
    serde_json::from_str(&said).with_context(|| format!("the audit said: {said}"))
}

/// It ends by itself when this process does: with that its input ends.
fn start(folder: &Path, partitions: u16) -> Result<Child> {
    let program = std::env::current_exe()?.with_file_name("consumer");
    let partitions = partitions.to_string();
    let arguments = ["verify", "--json", "--partitions", &partitions, "/dev/stdin"];
    let mut command = Command::new(&program);
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
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
