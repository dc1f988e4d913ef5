//! Programs as a test or a bench runs them, Sluice's own and others: with captured output, signals and a deadline.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::process::{self, Lifetime, Process};

/// A running program. Killed when dropped and when this process ends in any way.
#[derive(Debug)]
pub struct Program {
    process: Process,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Program {
    /// Starts the program `name` that was built beside this one, with `arguments` and, on top of this
    /// process's environment, `environment`.
    ///
    /// Its working folder is `folder`, made if need be; its output goes there, into files of its own for every
    /// start: `NAME-1.out`, `NAME-1.err`.
    ///
    /// # Errors
    /// When the program was not built or cannot be started, or the folder cannot be written.
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Program> {
        Program::run(&built(name)?, arguments, environment, folder)
    }

    /// As [`Program::start`], but any program: by its path or, if that is a mere name, from `PATH`. What it starts
    /// itself is not killed with it.
    ///
    /// # Errors
    /// When it cannot be started or the folder cannot be written. A program that is not there ends at once, and
    /// says so on stderr.
    pub fn run<A: AsRef<OsStr>>(
        path: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Program> {
        static STARTS: AtomicUsize = AtomicUsize::new(1);
        let name = path.file_name().and_then(OsStr::to_str).context("a program needs a name")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let start = STARTS.fetch_add(1, Ordering::Relaxed);
        let stdout = folder.join(format!("{name}-{start}.out"));
        let stderr = folder.join(format!("{name}-{start}.err"));
        let mut command = process::command(path, Lifetime::WithParent);
        command.args(arguments).envs(environment.iter().copied()).current_dir(folder);
        command.stdout(process::output(&stdout)?).stderr(process::output(&stderr)?);
        Ok(Program { process: Process::start(name, command)?, stdout, stderr })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// True until it has ended.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Sends KILL, TERM, INT, STOP or CONT; [`Program::wait`] tells when it took effect.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills it with SIGKILL and waits for the end of it; nothing if it has ended already.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// When it still runs after `within`; the error holds what it wrote to stderr.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait(within).with_context(|| format!("stderr so far:\n{}", self.stderr()))
    }

    /// What it wrote to stdout so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }
}

/// Broken UTF-8 replaced; empty when somebody removed the file.
fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Path of the program `name` that was built beside this one.
///
/// # Errors
/// When it was not built.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = folder_of_programs()?.join(name);
    ensure!(path.exists(), "{} is not there: run cargo build --workspace with this profile", path.display());
    Ok(path)
}

/// `target/release` for a program there and for a test in its `deps`.
pub(crate) fn folder_of_programs() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot find this program's own path")?;
    let folder = exe.parent().context("this program lies in no folder")?;
    let inner = folder.ends_with("deps") || folder.ends_with("examples");
    Ok(if inner { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}
