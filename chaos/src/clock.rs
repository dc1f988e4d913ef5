//! A wall clock that jumps, of some processes only: libfaketime, preloaded, reads from a file how far it is off. Clocks
//! that only run forward stay true, as in the kernel when somebody sets the time.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The clock of a group of consumers.
#[derive(Debug, Clone)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// One that is right, with its file in `folder`.
    ///
    /// # Errors
    /// When libfaketime is not installed or the file cannot be written.
    pub fn new(folder: &Path) -> Result<Clock> {
        let libraries = fs::read_dir("/usr/lib")?.flatten();
        let library = libraries.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
        let library = library.into_iter().find(|path| path.exists());
        let library = library.context("libfaketime is not there: run scripts/setup")?;
        let clock = Clock { file: folder.join("clock"), library };
        clock.set(0)?;
        Ok(clock)
    }

    /// What a process gets into its environment to have this clock.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // Looked at so often, s: the file would be read at every look at the clock otherwise.
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }

    /// From within a second on it is off by so many seconds.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // Moved there, so that nobody reads half of it.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(&new, &self.file).with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Whether a process has this clock.
    ///
    /// # Errors
    /// When it has not.
    pub fn ensure_of(&self, pid: u32) -> Result<()> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).context("the process has ended")?;
        ensure!(maps.contains("libfaketime"), "process {pid} has the clock of the machine");
        Ok(())
    }

    /// Removes what a process leaves behind in shared memory that had this clock and was killed.
    pub fn forget(&self, pid: u32) {
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            fs::remove_file(Path::new("/dev/shm").join(name)).ok();
        }
    }
}
