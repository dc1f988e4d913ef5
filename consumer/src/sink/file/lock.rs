//! One writer a file. The lock is the kernel's (`flock`), so it ends with its holder, however that dies.
//!
//! It is on a file beside the data, and on the data itself: somebody may remove the lock file of a consumer that runs,
//! taking it for left over, or lead two consumers to one file by two paths.

use super::checkpoint::{Links, create_durably};
use common::decode::harmless;
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whoever may write to the folder may write anything into a lock file; so much of it is a name.
const MAX_HOLDER_BYTES: u64 = 256;

/// Held as long as this lives.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("held by {0}")]
    Held(String),
    /// The lock file can't be used.
    #[error("{}: {error}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

impl FileLock {
    /// Takes the lock of `data_file` (its lock file is `logs.txt.lock`) if it is free, and signs it with
    /// `holder`, so that who comes later can say who has it.
    ///
    /// # Errors
    /// [`LockError::Held`] names the holder.
    pub fn try_take(data_file: &Path, holder: &str) -> Result<FileLock, LockError> {
        let mut path = data_file.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let io_error = |error| LockError::Io { path: path.clone(), error };
        match open_locked(&path, Links::Refuse).map_err(io_error)? {
            Ok(mut file) => {
                file.set_len(0).and_then(|()| file.rewind()).map_err(io_error)?;
                writeln!(file, "{holder}").map_err(io_error)?;
                Ok(FileLock { _file: file })
            }
            Err(file) => {
                let mut holder = Vec::new();
                file.take(MAX_HOLDER_BYTES).read_to_end(&mut holder).map_err(io_error)?;
                let holder = String::from_utf8_lossy(&holder);
                let holder = if holder.trim().is_empty() { "another process" } else { holder.trim() };
                Err(LockError::Held(harmless(holder).into_owned()))
            }
        }
    }
}

/// Opens the data file itself, with the lock on it; or without, if somebody has that.
///
/// # Errors
/// What the operating system says.
pub fn open_data(path: &Path, links: Links) -> io::Result<Result<File, File>> {
    let file = create_durably(path, links)?;
    if keeps_readers_out(&file)? { Ok(Ok(file)) } else { open_locked(path, links) }
}

/// On Windows' shares a lock keeps readers out, too, and those are to see the data.
fn keeps_readers_out(file: &File) -> io::Result<bool> {
    const CIFS: i64 = 0xff53_4d42;
    const SMB2: i64 = 0xfe53_4d42;
    Ok(matches!(rustix::fs::fstatfs(file)?.f_type & 0xffff_ffff, CIFS | SMB2))
}

/// Opens the file at a path, which is made if need be, with the lock on it; or without, if somebody has that.
fn open_locked(path: &Path, links: Links) -> io::Result<Result<File, File>> {
    loop {
        let file = create_durably(path, links)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(file)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Somebody may have moved the file away between open and lock: then ours is a lock on nothing.
        if is_at(&file, path) {
            return Ok(Ok(file));
        }
    }
}

/// Whether the path leads to this open file.
pub fn is_at(file: &File, path: &Path) -> bool {
    let same = |at_path: Metadata| {
        let ours = file.metadata()?;
        Ok(at_path.ino() == ours.ino() && at_path.dev() == ours.dev())
    };
    path.metadata().and_then(same).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("logs.txt");
        let lock = FileLock::try_take(&data, "first").unwrap();
        let refused = FileLock::try_take(&data, "second").unwrap_err();
        assert_eq!(refused.to_string(), "held by first");
        let refused = || FileLock::try_take(&data, "third").unwrap_err().to_string();
        std::fs::write(folder.path().join("logs.txt.lock"), b"\x1b[2J\nyou \xff\n").unwrap();
        assert_eq!(refused(), "held by \\u001b[2J\\nyou \u{fffd}");
        std::fs::write(folder.path().join("logs.txt.lock"), "x".repeat(1 << 20)).unwrap();
        assert_eq!(refused(), format!("held by {}", "x".repeat(256)));
        drop(lock);
        FileLock::try_take(&data, "second").unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (data, precious) = (folder.path().join("logs.txt"), folder.path().join("precious"));
        std::fs::write(&precious, "as it was").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("logs.txt.lock")).unwrap();
        let error = FileLock::try_take(&data, "me").unwrap_err();
        assert!(error.to_string().contains("logs.txt.lock: it is a symbolic link"), "{error}");
        assert_eq!(std::fs::read(&precious).unwrap(), b"as it was");
    }

    #[test]
    fn a_lock_in_a_missing_folder_names_the_path() {
        let error = FileLock::try_take(Path::new("no/such/folder/logs.txt"), "me").unwrap_err();
        assert!(error.to_string().contains("no/such/folder/logs.txt.lock"), "{error}");
    }
}
